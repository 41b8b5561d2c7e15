"""Training in int8: a trial decides, its rows are found again, and what is refused goes on."""

import dataclasses
import pickle
import re
import shutil
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import budwood as bw
from budwood.capsule.fast import compiled_classifier
from budwood.capsule.pack import read_capsule, write_capsule
from budwood.data.splits import Split
from budwood.errors import ConfigError, EngineError
from budwood.features import engine_choice, int8
from budwood.features.engines import preferred_specs
from budwood.features.gathering import Extraction
from budwood.features.openvino import cpu_capabilities
from budwood.features.trunks import trunks_folder
from budwood.images.preprocessing import Preprocessing
from budwood.intervals import paired_interval
from budwood.learning import plan as planning
from budwood.learning.int8_trial import Trial
from budwood.learning.training import Training
from budwood.models.info import info, set_info
from budwood.reporter import Reporter

pytestmark = pytest.mark.slow

has_nncf = pytest.mark.skipif(find_spec("nncf") is None, reason="needs the extra int8")
CLASSES = ("blue", "green", "red")


class Small(nn.Module):
    """A small network with a trunk in two convolutions."""

    preprocessing = Preprocessing(size=(32, 32), resize=32, mean=(0.5,) * 3, std=(0.2,) * 3)

    def __init__(self):
        super().__init__()
        set_info(self, preprocessing=self.preprocessing)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(
                nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU()
            )
            self.neck = nn.Conv2d(16, 8, 1)
            self.head = nn.Linear(8, 3)

    def forward(self, images):
        return self.head(self.neck(self.body(images)).mean((2, 3)))


@pytest.fixture
def split(tmp_path):
    """Noisy pictures, each of the colour that its class is called."""
    random = np.random.default_rng(0)
    paths, labels = [], [i % 3 for i in range(30)]
    for i, label in enumerate(labels):
        picture = random.integers(0, 120, (32, 32, 3))
        picture[..., 2 - label] += 100
        paths.append(tmp_path / f"{i:02}.png")
        Image.fromarray(picture.astype(np.uint8)).save(paths[-1])
    return Split("train", tuple(paths), tuple(labels), CLASSES)


@pytest.fixture
def made(monkeypatch):
    """Counts the trunks that are quantised, and the engines that are timed."""
    count = {"quantised": 0, "timed": 0}

    def counted(name, function):
        def wrapper(*args):
            count[name] += 1
            return function(*args)

        return wrapper

    monkeypatch.setattr(int8, "quantised", counted("quantised", int8.quantised))
    monkeypatch.setattr(
        engine_choice, "seconds_per_image", counted("timed", engine_choice.seconds_per_image)
    )
    return count


def classifier(*trains, notes=None, **options):
    network = bw.unfreeze(bw.freeze(Small(), "*"), *(trains or ("head",)))
    notes = [] if notes is None else notes
    return bw.Classifier(
        network,
        extraction=Extraction(precision="int8"),
        reporter=Reporter(note=notes.append),
        **options,
    )


def losing(*args, named, speed, groups, was_asked_for):
    return Trial(
        images=30,
        reference=named,
        both_right=20,
        gained=0,
        lost=5,
        interval=(-0.3, 0.0),
        speed=speed,
    )


@has_nncf
def test_int8_that_is_as_good_is_used_and_said(split):
    notes = []
    model = classifier(notes=notes).fit(split)
    assert model.plan.trial.accepted
    assert model.plan.trial.images == 30
    assert model.plan.spec.precision == "int8"
    assert notes.count(str(model.plan.trial)) == 1
    assert model.evaluate(split).top1 > 0.9


@has_nncf
def test_int8_that_costs_accuracy_is_refused_and_training_goes_on(split, monkeypatch):
    monkeypatch.setattr(planning, "try_int8", losing)
    notes = []
    model = classifier(notes=notes).fit(split)
    assert model.plan.spec in preferred_specs("auto", "cpu")
    assert any(note.startswith("int8 is not used: top-1 on 30 photos") for note in notes)
    again = model.gather(split.paths)
    assert (again.hits, again.misses) == (30, 0)


@has_nncf
def test_a_second_run_quantises_times_and_computes_nothing(split, made):
    first = classifier().fit(split)
    assert made["quantised"] == 1
    before = dict(made)
    second = classifier().fit(split)
    assert made == before
    assert second.plan.trial == first.plan.trial
    assert second.plan._now.judging.choice.engine is None
    assert second.gather(split.paths).misses == 0


@has_nncf
def test_the_trial_counts_for_a_part_of_its_photos_and_not_for_others(split, monkeypatch):
    monkeypatch.setattr(Trial, "accepted", True)
    part = Split("train", split.paths[:15], split.labels[:15], CLASSES)
    plan = classifier().plan
    plan.settle_precision(part)
    first = plan.spec.calibration
    trial = plan.settle_precision(split)
    assert plan.spec.calibration != first
    assert plan.settle_precision(part) is trial


@has_nncf
def test_photos_that_cannot_be_read_are_passed_over(split):
    split.paths[4].write_bytes(b"no photo")
    split.paths[5].unlink()
    trial = classifier().plan.settle_precision(split)
    assert trial.images == 28


@has_nncf
def test_a_graft_in_front_of_maps_is_tried_by_their_means(split):
    model = classifier("neck", "head", training=Training(epochs=1)).fit(split)
    assert model.plan.layer is None
    assert model.plan.trial.images == 30


@has_nncf
def test_rows_in_int8_are_of_their_calibration(split):
    plan = classifier().plan
    plan.settle_precision(split)
    assert plan.spec.key.endswith(plan.spec.calibration)
    assert " int8 cpu nncf " in plan.spec.key
    assert "30 photos" in plan.spec.key


@has_nncf
def test_a_speed_that_was_lost_is_measured_again(split, made):
    classifier().fit(split)
    (speed,) = trunks_folder().glob("*/speed.json")
    for text in ("no json", "[]", '{"fp16": 2.0}'):
        speed.write_text(text)
        made["timed"] = 0
        assert classifier().plan.settle_precision(split).speed > 0
        assert made["timed"] > 0


@has_nncf
def test_before_a_trial_rows_are_in_the_usual_precision(split):
    gathered = classifier().gather(split.paths)
    assert gathered.engine in preferred_specs("auto", "cpu")


@has_nncf
def test_a_trunk_that_cannot_be_quantised_is_an_error_and_leaves_the_plan_usable(
    split, monkeypatch
):
    def refuse(model, images):
        raise EngineError("NNCF cannot quantise this trunk: no.", next="Use --precision auto.")

    monkeypatch.setattr(int8, "quantised", refuse)
    model = classifier()
    with pytest.raises(EngineError, match="Use --precision auto"):
        model.fit(split)
    assert model.gather(split.paths).hits == 30


def test_without_nncf_nothing_is_computed(split, monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(int8, "version", absent)
    with pytest.raises(ConfigError, match=r"pip install 'budwood\[int8\]'"):
        classifier().fit(split)
    with pytest.raises(ConfigError, match="int8 needs NNCF"):
        preferred_specs("int8", "cpu")


@pytest.fixture
def long_pass(monkeypatch):
    """Thirty photos are a long pass, and its trial is made on all of them."""
    monkeypatch.setattr(planning, "LONG_PASS", 20)
    monkeypatch.setattr(planning, "SHARE", 1.0)
    monkeypatch.setattr(planning.Plan, "_speed", lambda *_: 2.0)
    return lambda allowed: monkeypatch.setattr("budwood.learning.int8_trial.ALLOWED_LOSS", allowed)


def open_classifier(notes):
    network = bw.unfreeze(bw.freeze(Small(), "*"), "head")
    return bw.Classifier(network, reporter=Reporter(note=notes.append))


@has_nncf
def test_on_a_long_pass_int8_is_tried_unasked_and_found_again(split, long_pass, made):
    long_pass(allowed=1.0)
    notes = []
    first = open_classifier(notes).fit(split)
    assert first.plan.spec.precision == "int8"
    assert not first.plan.trial.was_asked_for
    assert notes.count(str(first.plan.trial)) == 1
    assert made["quantised"] == 1
    second = open_classifier(notes).fit(split)
    assert made["quantised"] == 1
    assert second.plan.trial == first.plan.trial
    assert (second.plan.spec.key, second.gather(split.paths).misses) == (first.plan.spec.key, 0)
    extra = split.paths[0].with_name("extra.png")
    noise = np.random.default_rng(1).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    Image.fromarray(noise).save(extra)
    wider = Split("train", (*split.paths, extra), (*split.labels, 0), CLASSES)
    third = open_classifier(notes).fit(wider)
    assert third.plan.spec.key == first.plan.spec.key
    assert made["quantised"] == 1


@has_nncf
def test_rows_in_int8_without_their_trunk_are_not_gone_on_with(split, long_pass):
    long_pass(allowed=1.0)
    first = open_classifier([]).fit(split)
    shutil.rmtree(trunks_folder() / first.plan._int8_key)
    extra = split.paths[0].with_name("extra.png")
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(extra)
    wider = Split("train", (*split.paths, extra), (*split.labels, 0), CLASSES)
    second = open_classifier([]).fit(wider)
    assert second.plan.spec.precision != "int8"
    assert second.gather(wider.paths).misses == 0


@has_nncf
def test_unasked_int8_needs_the_whole_interval(split, long_pass, made):
    long_pass(allowed=0.003)
    notes = []
    model = open_classifier(notes).fit(split)
    assert model.plan.trial.difference == 0  # as good as can be seen on thirty photos
    assert model.plan.spec.precision != "int8"
    assert any(note.startswith("int8 is not used") for note in notes)
    assert open_classifier(notes).fit(split).plan.trial is None  # all rows are there
    assert made["quantised"] == 1


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_a_short_pass_and_an_arithmetic_that_was_asked_for_try_no_int8(
    precision, split, long_pass, monkeypatch, made
):
    if precision == "auto":
        monkeypatch.setattr(planning, "LONG_PASS", 31)
    if precision == "bf16" and "BF16" not in cpu_capabilities():
        pytest.skip("no bf16 here")
    network = bw.unfreeze(bw.freeze(Small(), "*"), "head")
    model = bw.Classifier(network, extraction=Extraction(precision=precision)).fit(split)
    assert model.plan.trial is None
    assert made["quantised"] == 0


@pytest.mark.parametrize(
    ("loss", "changed", "least", "most"),
    [(0.006, 0.02, 0.0, 0.002), (0.003, 0.02, 0.005, 0.04), (0.0, 0.004, 0.85, 1.0)],
)
def test_unasked_int8_that_costs_more_is_seldom_accepted(loss, changed, least, most):
    """True loss, and the share of photos that int8 answers otherwise; 10,000 of them."""
    random, n = np.random.default_rng(0), 10_000
    shares = [(changed - loss) / 2, (changed + loss) / 2]
    draws = random.multinomial(n, [*shares, 1 - changed], size=1000)
    accepted = [
        Trial(
            images=n, reference="fp32", both_right=int(same), gained=int(gained), lost=int(lost),
            interval=paired_interval(gained, lost, n), speed=2.0, was_asked_for=False,
        ).accepted
        for gained, lost, same in draws
    ]  # fmt: skip
    assert least <= np.mean(accepted) <= most


@pytest.fixture
def saved(split, tmp_path, monkeypatch):
    """A capsule that was trained in int8, what it answers, and another machine's empty home."""
    network = bw.build("timm/test_resnet", weights="none", classes=CLASSES)
    set_info(network, preprocessing=info(network).preprocessing.at_size(32))
    bw.unfreeze(bw.freeze(network, "*"), "fc")
    monkeypatch.setattr(Trial, "accepted", True)
    model = bw.Classifier(network, extraction=Extraction(precision="int8")).fit(split)
    path = model.save(tmp_path / "int8.safetensors")
    assert model.plan.spec.precision == "int8"
    return path, model.predict_proba(split.paths)


def another_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("BUDWOOD_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(int8, "require_nncf", lambda: pytest.fail("NNCF is not needed"))


@has_nncf
def test_a_capsule_predicts_elsewhere_with_the_scales_it_was_judged_with(
    saved, split, tmp_path, monkeypatch
):
    path, expected = saved
    another_machine(tmp_path, monkeypatch)
    loaded = bw.load(path)
    assert loaded.plan.spec.precision == "int8"
    np.testing.assert_allclose(loaded.predict_proba(split.paths), expected, atol=1e-3)
    compiled = compiled_classifier(path, len(split))
    assert compiled.engine.spec.precision == "int8"
    logits = bw.load(path).answers(split.paths).logits
    np.testing.assert_allclose(compiled.answers(split.paths).logits, logits, atol=1e-4)
    verification = bw.verify(path)
    assert verification.passed
    assert [check.precision for check in verification.checks] == ["fp32", "int8"]
    assert verification.notes == ()


@has_nncf
def test_a_copy_predicts_in_int8_and_a_network_that_was_changed_does_not(
    saved, split, tmp_path, monkeypatch
):
    path, expected = saved
    another_machine(tmp_path, monkeypatch)
    for copied in (pickle.loads(pickle.dumps(bw.load(path))), bw.load(path)):
        monkeypatch.setenv("BUDWOOD_HOME", str(tmp_path / "third"))
        assert copied.plan.spec.precision == "int8"
        np.testing.assert_allclose(copied.predict_proba(split.paths), expected, atol=1e-3)
    with torch.no_grad():
        next(copied.network_.parameters()).mul_(2)
    assert copied.plan.spec.precision != "int8"
    asked = bw.load(path, extraction=Extraction(precision="fp32"))
    assert asked.plan.spec.precision == "fp32"


@has_nncf
def test_int8_that_answers_otherwise_here_is_said_and_not_used(saved, split, tmp_path, monkeypatch):
    path, _ = saved
    another_machine(tmp_path, monkeypatch)
    capsule = read_capsule(path)
    other = dataclasses.replace(capsule.int8, logits=-capsule.int8.logits)
    write_capsule(path, dataclasses.replace(capsule, int8=other))
    notes = []
    loaded = bw.load(path, reporter=Reporter(note=notes.append))
    assert "int8 disagrees here with the answers that the capsule holds" in notes[0]
    assert loaded.plan.spec.precision != "int8"
    assert compiled_classifier(path, 4) is None
    assert "int8 disagrees here" in bw.verify(path).notes[0]


@has_nncf
@pytest.mark.parametrize("graph", [b"", b"no graph", b"<?xml version='1.0'?><net"])
def test_a_damaged_trunk_in_int8_is_said_and_not_used(graph, saved, tmp_path, monkeypatch):
    path, _ = saved
    another_machine(tmp_path, monkeypatch)
    capsule = read_capsule(path)
    other = dataclasses.replace(capsule.int8, graph=graph)
    write_capsule(path, dataclasses.replace(capsule, int8=other))
    notes = []
    loaded = bw.load(path, reporter=Reporter(note=notes.append))
    assert re.match(r"(The trunk in int8 is none that|OpenVINO cannot read the trunk)", notes[0])
    assert loaded.plan.spec.precision != "int8"
    assert not any(trunks_folder().rglob("model.xml"))
