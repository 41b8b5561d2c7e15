"""Which published weights are on this machine."""

import pytest

from budwood.networks.at_hand import at_hand, published_file
from budwood.networks.catalog import find
from budwood.networks.weights import folder


@pytest.fixture
def downloaded():
    """Makes empty files where downloaded weights are."""

    def make(*names):
        folder().mkdir(parents=True)
        for name in names:
            (folder() / name).write_bytes(b"12345")

    return make


def named(found):
    return {(one.architecture.name, one.weights, one.is_default) for one in found}


def test_installed_weights_are_at_hand():
    found = {one.architecture.name: one for one in at_hand()}
    lite = found["efficientnet_lite0"]
    assert (lite.weights, lite.is_default) == ("packaged", True)
    assert lite.bytes > 10**7
    assert published_file(find("efficientnet_lite0"), "packaged") == lite.file


def test_downloaded_weights_are_at_hand_whatever_tag_they_have(downloaded):
    downloaded(
        "resnet18-f37072fd.pth",
        "resnet50-0676ba61.pth",
        "convnextv2_atto.fcmae.safetensors",
        ".resnet34-b627a593.pth.partial",
        "mine.pth",
    )
    found = at_hand()
    new = {one for one in named(found) if one[1] != "packaged"}
    assert new == {
        ("resnet18", "IMAGENET1K_V1", True),
        ("resnet50", "IMAGENET1K_V1", False),
        ("convnextv2_atto", "fcmae", False),
    }
    assert [one.architecture.parameters for one in found] == sorted(
        one.architecture.parameters for one in found
    )
    assert {one.bytes for one in found if one.weights != "packaged"} == {5}


def test_the_file_of_published_weights_is_found(downloaded):
    assert published_file(find("resnet18"), "IMAGENET1K_V1") is None
    downloaded("resnet18-f37072fd.pth")
    assert published_file(find("resnet18"), "IMAGENET1K_V1") == folder() / "resnet18-f37072fd.pth"
    assert published_file(find("resnet34"), "IMAGENET1K_V1") is None


def test_a_classic_has_the_weights_of_the_library_it_is_equal_to(downloaded):
    downloaded("resnet18-f37072fd.pth")
    assert published_file(find("resnet18_2015"), "IMAGENET1K_V1") is not None
    assert "resnet18_2015" not in {one.architecture.name for one in at_hand()}
