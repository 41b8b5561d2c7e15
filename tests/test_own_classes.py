"""Prediction with a network of the catalogue: its own classes, without any training."""

from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

import budwood as bw
from budwood.errors import ConfigError, DataError, WeightsError
from budwood.models.sources import source
from budwood.models.torchvision_source import imagenet_classes
from budwood.run_folders import run_or_network
from budwood.tasks import preparing

pytestmark = pytest.mark.slow

DOGS, CATS = slice(151, 269), slice(281, 286)
"""Rows of ImageNet's breeds."""


@pytest.fixture
def images(tmp_path):
    """Two pictures that are nothing in particular."""
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for i, path in enumerate(paths):
        Image.linear_gradient("L").rotate(90 * i).convert("RGB").save(path)
    return paths


def test_a_network_answers_with_its_own_classes_as_timm_does(images):
    """The same weights behind timm's own transforms; the pictures need no resizing."""
    said = bw.predict("efficientnet_lite0", images, every_class=True)
    assert said.classes == imagenet_classes()
    assert [len(image.top) for image in said.images] == [5, 5]
    other = timm.create_model("tf_efficientnet_lite0").eval()
    other.load_state_dict(bw.build("efficientnet_lite0").state_dict())
    transform = create_transform(**resolve_data_config({}, model=other))
    with torch.inference_mode():
        logits = other(torch.stack([transform(Image.open(p).convert("RGB")) for p in images]))
    probabilities = logits.softmax(1)
    for image, row in zip(said.images, probabilities, strict=True):
        assert image.top[0][0] == said.classes[int(row.argmax())]
        assert image.probabilities == pytest.approx(row.numpy(), abs=0.05)
        assert sum(image.probabilities) == pytest.approx(1, abs=1e-4)


def test_its_json_is_that_of_a_run_and_says_what_it_is_not(images):
    said = bw.predict("efficientnet_lite0", images[:1], top=2).to_json()
    assert list(said) == ["classes", "abstain", "predictions", "skipped", "warning"]
    assert len(said["classes"]) == 1000
    assert len(said["predictions"][0]["top"]) == 2
    assert "not calibrated" in said["warning"]
    assert said["abstain"] is None


def test_dogs_are_named_dogs_and_cats_cats(real_photos):
    folders = {"cats": CATS, "dogs": DOGS}
    right = 0
    for kind, rows in folders.items():
        folder = real_photos / "catdog" / "test_set" / kind
        paths = sorted(folder.glob("*.jpg"))[:6]
        said = bw.predict("efficientnet_lite0", paths)
        right += sum(image.top[0][0] in said.classes[rows] for image in said.images)
    assert right >= 9  # of 12; at random it would be 1 in 16


def test_it_cannot_abstain(images):
    with pytest.raises(ConfigError, match=r"efficientnet_lite0 cannot tell when.*budwood train"):
        bw.predict("efficientnet_lite0", images, abstain=0.1)


def test_a_network_without_published_weights():
    with pytest.raises(WeightsError, match=r"lenet5 knows no classes yet.*--model lenet5 --wei"):
        preparing.published_network("lenet5")


def test_a_network_that_nothing_names_the_classes_of(monkeypatch):
    monkeypatch.setattr(source("timm"), "classes", lambda name, tag: None)
    with pytest.raises(ConfigError, match=r"what the classes of timm/resnet50 .* are.*budwood tra"):
        preparing.published_network("timm/resnet50")


def test_as_many_names_as_outputs(monkeypatch):
    monkeypatch.setattr(source("packaged"), "classes", lambda name, tag: ("cat", "dog"))
    with pytest.raises(ConfigError, match="1000 outputs, and 2 names are known"):
        preparing.published_network("efficientnet_lite0")


def test_offline_another_network_is_named(monkeypatch):
    def refuse(*_):
        raise WeightsError("It cannot be downloaded.", next="Pass --weights PATH.")

    monkeypatch.setattr(source("torchvision"), "file", refuse)
    with pytest.raises(WeightsError, match=r"Try again when online; efficientnet_lite0 needs no"):
        preparing.published_network("resnet18")


@pytest.mark.parametrize(
    ("name", "tag", "count", "first"),
    [
        ("resnet50", "a1_in1k", 1000, "tench"),
        ("vit_base_patch16_224", "augreg_in21k", 21843, "organism, being"),
        ("convnext_tiny", "in12k", 11821, "abstraction, abstract entity"),
        ("vit_base_patch16_clip_224", "openai", None, None),
    ],
)
def test_timm_tells_the_classes_of_its_weights(name, tag, count, first):
    classes = source("timm").classes(name, tag)
    assert (classes and len(classes)) == count
    if first is not None:
        assert len(classes[0]) > 1


def test_classics_have_the_classes_of_their_donors():
    classics = source("budwood")
    assert classics.classes("vgg_d", "IMAGENET1K_V1") == imagenet_classes()
    assert classics.classes("lenet5", "any") is None
    assert len(set(source("torchvision").classes("resnet50", "IMAGENET1K_V2"))) == 1000


# What is meant: a run or a network


def test_a_path_that_is_there_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_or_network("resnet50") == "resnet50"
    Path("resnet50").mkdir()
    assert run_or_network("resnet50") == Path("resnet50")


def test_what_is_neither_gets_the_nearest_of_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs", "resnet5").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no run resnet5O, .*mean runs/resnet5 or resnet50\? `bud"):
        run_or_network("resnet5O")
    with pytest.raises(DataError, match=r"mean runs/resnet5\?"):
        run_or_network("runs/resnet")
    with pytest.raises(DataError, match=r"so\. `budwood train` makes a run; `budwood models`"):
        run_or_network("@@@@@@")
