"""Which networks are meant by names, globs and NAME=WEIGHTS."""

import pytest

from budwood.errors import UnknownName
from budwood.models.candidates import Candidate, at_hand, candidates, published_file
from budwood.models.catalog import find
from budwood.models.weights import folder


def test_names_globs_and_weights():
    found = candidates(["vgg1[69]=none", "resnet18", "resnet18=IMAGENET1K_V1"])
    assert found == (
        Candidate("vgg16", "none"),
        Candidate("vgg19", "none"),
        Candidate("resnet18", "imagenet"),
        Candidate("resnet18", "IMAGENET1K_V1"),
    )


def test_a_network_is_taken_once():
    assert len(candidates(["resnet18", "resnet1?", "RESNET18"])) == 1


def test_a_glob_without_a_match_is_an_error():
    with pytest.raises(UnknownName, match=r"No network matches 'resnot\*'.*quote the glob"):
        candidates(["resnet18", "resnot*"])


def test_an_unknown_name_is_an_error_with_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'resnet18'"):
        candidates(["resnet81"])


def test_without_names_all_at_hand_are_meant():
    assert Candidate("efficientnet_lite0") in candidates([])


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
