"""Comparing networks on a folder: one pass for all stages, what is stored, and awkward photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from budwood.data.folder import load_folder
from budwood.data.splitting import make_folds
from budwood.errors import ConfigError, DataError, ImageError, WeightsError
from budwood.evaluation import staged_networks
from budwood.evaluation import staged_networks as stage_times
from budwood.evaluation.staged_networks import StagedNetwork
from budwood.features import extraction as extracting
from budwood.features.gathering import Extraction
from budwood.learning.probe import Probe
from budwood.models.candidates import Candidate
from budwood.reporter import SILENT, Reporter
from budwood.tasks.compare import compare

LENET = Candidate("lenet5", "none")
RESNET = Candidate("resnet20_cifar", "none")
NOWHERE = Candidate("lenet5", "nowhere.pth")


def draw(folder, count, bright, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([seed, bright])
    for i in range(count):
        noise = random.integers(0, 120, (40, 40, 3)) + bright
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03}.png")


@pytest.fixture
def images(tmp_path):
    """Two classes that brightness tells apart, with parts."""
    root = tmp_path / "photos"
    for part, count in (("train", 12), ("test", 3)):
        draw(root / part / "dark", count, 0, len(part))
        draw(root / part / "light", count, 120, len(part))
    return root


@pytest.fixture(autouse=True)
def layers_are_timed_once(monkeypatch):
    monkeypatch.setattr(stage_times, "SECONDS", 0.0)


def compared(data, *networks, **changes):
    settings = {"extraction": Extraction(precision="fp32")} | changes
    return compare(data, networks, **settings)


def test_every_stage_of_every_network_is_judged_on_the_training_photos(images):
    found = compared(images, LENET, RESNET)
    assert found.images == 24
    assert found.folds == 10
    assert found.largest_class == 0.5
    names = [[stage.name for stage in network.stages] for network in found.networks]
    assert names[0] == ["s2", "s4", "c5", "f6"]
    assert len(names[1]) == len(set(names[1])) >= 4
    for network in found.networks:
        assert network.download is None
        assert network.misses == 24
        costs = [(stage.macs, stage.memory, stage.seconds) for stage in network.stages]
        assert all(min(cost) > 0 for cost in costs)
        assert [cost[0] for cost in costs] == sorted(cost[0] for cost in costs)
        assert all(stage.right.shape == (24,) for stage in network.stages)
    assert found.best.stage.top1 > 0.8


def test_a_second_comparison_computes_nothing_and_says_the_same(images):
    first, second = compared(images, LENET, RESNET), compared(images, LENET, RESNET)
    assert [network.misses for network in second.networks] == [0, 0]
    assert [network.hits for network in second.networks] == [24, 24]
    for a, b in zip(first.places, second.places, strict=True):
        assert (a.stage.top1, a.stage.logme, a.stage.h_score) == (
            b.stage.top1,
            b.stage.logme,
            b.stage.h_score,
        )


def test_an_interrupted_comparison_goes_on_where_it_was(images, monkeypatch):
    monkeypatch.setattr(extracting, "FLUSH_IMAGES", 1)
    passes = []

    def stop(progress):
        passes.append(progress.done)
        if len(passes) > 1 and passes[-1] < passes[-2]:  # the second network has begun
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compared(images, LENET, RESNET, reporter=Reporter(progress=stop))
    again = compared(images, LENET, RESNET)
    assert again.networks[0].misses == 0
    assert 0 < again.networks[1].hits < 24
    assert again.networks[1].hits + again.networks[1].misses == 24


@pytest.mark.parametrize("candidate", [LENET, RESNET])
def test_figures_are_those_of_scikit_learn_on_the_stored_features(images, candidate):
    train = load_folder(images).train
    network = StagedNetwork(candidate, Extraction(precision="fp32"), SILENT)
    gathered = network.gather(train.paths)
    judged = network.judged(gathered, train, Probe(seed=4), SILENT)
    folds = make_folds(train.targets, groups=train.group_numbers, seed=4)
    for stage, features in zip(judged.stages, gathered.rows.take(range(len(train))), strict=True):
        z = StandardScaler().fit_transform(features.double().numpy())
        right = 0
        for fold in np.unique(folds):
            out = folds == fold
            model = LogisticRegression(
                C=1 / (stage.l2_strength * (~out).mean()), max_iter=10_000, tol=1e-8
            )
            model.fit(z[~out], train.targets[~out])
            right += int((model.predict(z[out]) == train.targets[out]).sum())
        assert abs(right - stage.right.sum()) <= 1


def test_a_broken_photo_is_left_out_and_named(images):
    torn = images / "train" / "dark" / "000.png"
    torn.write_bytes(torn.read_bytes()[:200])
    notes = []
    found = compared(
        images, LENET, RESNET, reporter=Reporter(note=lambda note: notes.append(str(note)))
    )
    assert found.images == 23
    assert sum("000.png" in note for note in notes) == 1
    with pytest.raises(DataError, match="--strict allows none"):
        compared(images, LENET, strict=True)


def test_a_class_of_one_photo_counts_as_wrong_and_is_told(images):
    draw(images / "train" / "lonely", 1, 60)
    notes = []
    found = compared(images, LENET, reporter=Reporter(note=lambda note: notes.append(str(note))))
    lonely = found.classes.index("lonely")
    at = load_folder(images).train.labels.index(lonely)
    assert not any(place.stage.right[at] for place in found.places)
    assert any("Class 'lonely' has one training photo only" in note for note in notes)


def test_two_photos_are_too_few(tmp_path):
    draw(tmp_path / "two" / "a", 1, 0)
    draw(tmp_path / "two" / "b", 1, 120)
    with pytest.raises(DataError, match=r"2 photos of 2 classes cannot be held out"):
        compared(tmp_path / "two", LENET)


def test_one_class_is_too_few(tmp_path):
    draw(tmp_path / "one" / "a", 6, 0)
    with pytest.raises(DataError, match="only one class, 'a'"):
        compared(tmp_path / "one", LENET)


def test_photos_that_nothing_tells_apart_are_compared_and_nothing_is_recommended(tmp_path):
    for seed, name in enumerate("ab"):
        draw(tmp_path / "alike" / name, 8, 50, seed)
    found = compared(tmp_path / "alike", LENET)
    assert found.recommended is None
    assert found.recommendation.startswith("None: no stage is shown to be better")
    assert all(np.isfinite(place.stage.logme) for place in found.places)


def test_photos_that_are_all_the_same_cannot_be_held_out(tmp_path):
    for name in "ab":
        draw(tmp_path / "same" / name, 4, 50)
    data = (tmp_path / "same" / "a" / "000.png").read_bytes()
    for image in (tmp_path / "same").rglob("*.png"):
        image.write_bytes(data)
    with pytest.raises(DataError, match="that do not belong together"):
        compared(tmp_path / "same", LENET)


def in_a_list(images, group_of):
    """The training photos as a list with a column of groups."""
    rows = [
        f"{path},{path.parent.name},train,{group_of(path)}"
        for path in sorted((images / "train").rglob("*.png"))
    ]
    file = images.parent / "photos.csv"
    file.write_text("\n".join(["path,label,split,group", *rows]) + "\n")
    return file


def test_photos_of_a_group_are_held_out_together_and_count_as_one(images):
    data = in_a_list(images, lambda path: f"{path.parent.name}{int(path.stem) // 4}")
    alone, together = compared(images, LENET), compared(data, LENET)
    assert alone.groups is None or len(np.unique(alone.groups)) == 24
    assert together.folds == 6  # as many as groups
    assert len(np.unique(together.groups)) == 6
    widths = [np.subtract(*found.best.stage.interval[::-1]) for found in (alone, together)]
    assert widths[1] > widths[0]


def test_a_class_of_one_group_counts_as_wrong_and_is_told(images):
    draw(images / "train" / "lonely", 3, 60)
    data = in_a_list(images, lambda path: path.parent.name if "lonely" in str(path) else path)
    notes = []
    found = compared(data, LENET, reporter=Reporter(note=lambda note: notes.append(str(note))))
    at = [label == found.classes.index("lonely") for label in load_folder(data).train.labels]
    assert not any(place.stage.right[at].any() for place in found.places)
    assert any("photos of class 'lonely' all belong together" in note for note in notes)


def test_the_margin_is_asked_for_before_any_work(images):
    with pytest.raises(ConfigError, match=r"margin is 2\.0"):
        compared(images / "nowhere", LENET, margin=2.0)
    assert compared(images, LENET, margin=0.2).margin == 0.2


def test_a_network_that_cannot_be_had_is_left_out_with_the_reason(images):
    notes = []
    found = compared(images, NOWHERE, LENET, reporter=Reporter(note=notes.append))
    assert [network.model for network in found.networks] == ["lenet5"]
    ((name, reason),) = found.skipped
    assert name == "lenet5=nowhere.pth"
    assert "nowhere.pth" in reason
    assert f"{name} is left out: {reason}" in notes


def test_the_only_network_that_cannot_be_had_is_an_error(images):
    with pytest.raises(WeightsError, match=r"nowhere\.pth"):
        compared(images, NOWHERE)


def test_no_network_that_can_be_had_is_an_error_with_all_reasons(images):
    other = Candidate("lenet5", "neither.pth")
    with pytest.raises(ConfigError, match=r"(?s)No network could be.*nowhere.*neither.*=none"):
        compared(images, NOWHERE, other)


def test_nothing_to_compare_is_an_error(images):
    with pytest.raises(ConfigError, match="Name some with --models"):
        compared(images)


def test_a_network_with_features_that_are_not_finite_is_left_out(images, monkeypatch):
    def judged(self, *args):
        if self._model == "resnet20_cifar":
            raise DataError("Some features are not finite.")
        return original(self, *args)

    original = StagedNetwork.judged
    monkeypatch.setattr(StagedNetwork, "judged", judged)
    found = compared(images, RESNET, LENET)
    assert found.skipped == (("resnet20_cifar=none", "Some features are not finite."),)
    with pytest.raises(DataError, match="not finite"):
        compared(images, RESNET)


def test_a_photo_that_goes_missing_meanwhile_is_an_error(images):
    def note(text):
        if str(text).startswith("resnet20"):
            (images / "train" / "dark" / "003.png").unlink()

    with pytest.raises(ImageError, match=r"003\.png can no longer be read.*(?s:.)*in place"):
        compared(images, LENET, RESNET, reporter=Reporter(note=note))


def test_weights_that_must_be_downloaded_are_announced(images, monkeypatch):
    def build(*args, **kwargs):
        raise WeightsError("offline.")

    monkeypatch.setattr(staged_networks, "build", build)
    notes = []
    found_error = pytest.raises(WeightsError, match="offline")
    with found_error:
        compared(images, Candidate("resnet18"), reporter=Reporter(note=notes.append))
    assert "The weights of resnet18 are not on this machine: they are downloaded." in notes


def test_a_file_of_weights_has_a_size(images, tmp_path):
    import budwood

    file = tmp_path / "mine.pth"
    torch.save(budwood.build("lenet5", weights="none").state_dict(), file)
    found = compared(images, Candidate("lenet5", str(file)))
    assert found.networks[0].download == Path(file).stat().st_size
