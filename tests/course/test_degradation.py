"""The lesson on degradation: four equal trainings, figures, a chart, and a finding from them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from budwood.course import degradation
from budwood.course.degradation import NETWORKS, TrainedNetwork, show_degradation
from budwood.errors import ConfigError, DataError
from budwood.models.building import build
from budwood.reporter import Reporter


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Noise in two colours, six photos a class to train on, one of them broken."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for part, number in (("train", 6), ("test", 1)):
        for channel, name in enumerate(("green", "red")):
            (folder / part / name).mkdir(parents=True)
            for i in range(number):
                pixels = random.integers(0, 120, (40, 32, 3))
                pixels[..., channel] += 120
                Image.fromarray(pixels.astype(np.uint8)).save(folder / part / name / f"{i}.png")
    (folder / "train" / "red" / "5.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return folder


@pytest.fixture(scope="module")
def shown(images, tmp_path_factory):
    """A lesson of two epochs, with what was said meanwhile; nothing has more than 20 layers."""
    home = tmp_path_factory.mktemp("home")
    notes, epochs = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUDWOOD_HOME", str(home))
        patch.setattr(
            degradation, "build", lambda name, **how: build(name.replace("56", "20"), **how)
        )
        result = show_degradation(
            images,
            home / "lesson",
            epochs=2,
            reporter=Reporter(note=notes.append, epoch=epochs.append),
        )
    return result, [str(note) for note in notes], epochs


def test_four_networks_are_trained(shown):
    result, notes, epochs = shown
    assert [network.name for network in result.networks] == list(NETWORKS)
    assert len(epochs) == 4 * 2
    for network in result.networks:
        assert [row["epoch"] for row in network.history] == [1, 2]
        assert network.loss == network.history[-1]["loss"]
        assert 0 <= network.error <= 1
    assert "Training resnet56_cifar, 4 of 4." in notes


def test_equal_depth_begins_with_equal_weights():
    plain, residual = (build(f"{kind}20_cifar", weights="none") for kind in ("plain", "resnet"))
    for one, other in zip(plain.parameters(), residual.parameters(), strict=True):
        assert torch.equal(one, other)


def test_networks_that_are_equal_are_trained_equally(shown):
    plain20, plain56, *_ = shown[0].networks  # 20 layers both, here
    assert [row["loss"] for row in plain20.history] == [row["loss"] for row in plain56.history]


def test_a_broken_photo_is_named_once_and_left_out_for_all(shown):
    result, notes, _ = shown
    assert sum("5.png" in note for note in notes) == 1
    assert result.images == 11


def test_figures_and_chart_are_written(shown):
    result, _, _ = shown
    written = json.loads((result.chart.parent / "degradation.json").read_text("utf-8"))
    assert written == {"version": 2, **json.loads(json.dumps(result.to_json()))}
    assert "residual, 56 layers" in result.chart.read_text("utf-8")
    assert sorted(path.name for path in result.chart.parent.iterdir()) == [
        ".budwood",
        "degradation.json",
        "degradation.svg",
    ]


def test_the_table_has_every_network_with_its_figures(shown):
    text = str(shown[0])
    for network in shown[0].networks:
        (row,) = [line for line in text.splitlines() if network.name in line]
        assert f"{network.parameters:,}" in row
        assert f"{network.loss:.3f}" in row
    assert shown[0].finding in text


@pytest.fixture
def untrained(monkeypatch):
    """Trainings that only note on which photos, and with what."""
    seen = []

    def train(name, images, training, *_):
        seen.append((images.train, training))
        return TrainedNetwork(
            name, *NETWORKS[name], 1, ({"epoch": 1, "loss": 1.0},), 0.1, 1.0
        ), images

    monkeypatch.setattr(degradation, "_train", train)
    return seen


def test_the_pictures_of_the_demo_are_the_default(untrained, tmp_path, budwood_home):
    result = show_degradation(folder=tmp_path)
    assert (result.data, result.images, len(result.classes)) == ("surfaces", 500, 10)
    assert (budwood_home / "lessons" / "surfaces" / "train" / "brick").is_dir()
    assert all(seen == untrained[0] for seen in untrained)


def test_some_photos_are_the_same_share_of_each_class(untrained, tmp_path):
    result = show_degradation(folder=tmp_path, images=50, seed=3)
    assert set(untrained[0][0].counts().values()) == {5}
    assert result.images == 50
    assert untrained[0][1].seed == 3


@pytest.mark.parametrize(
    ("option", "problem"),
    [({"images": 1}, "images must be at least 2, got 1"), ({"epochs": 0}, "epochs must be")],
)
def test_impossible_options_are_refused_first(option, problem, tmp_path):
    with pytest.raises(ConfigError, match=problem):
        show_degradation(tmp_path / "nowhere", tmp_path / "out", **option)


def test_a_folder_that_cannot_be_written_is_told_first(tmp_path, images):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file is a file"):
        show_degradation(images, tmp_path / "file")


def test_photos_that_are_not_there_are_told(tmp_path):
    with pytest.raises(DataError, match="no folder or CSV file"):
        show_degradation(tmp_path / "nowhere", tmp_path / "out")


def test_figures_of_an_earlier_lesson_are_not_replaced_unasked(tmp_path):
    (tmp_path / "degradation.json").write_text("earlier")
    with pytest.raises(ConfigError, match=r"degradation.json is there already.*--replace"):
        show_degradation(tmp_path / "nowhere", tmp_path)
    assert (tmp_path / "degradation.json").read_text() == "earlier"
