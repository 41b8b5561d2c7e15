"""What a classifier knows of its own word: trust, folds and curve, with few and odd photos too."""

import time

import numpy as np
import pytest
import torch
from PIL import Image

import budwood as bw
from budwood.capsule.pack import read_capsule, write_capsule
from budwood.classifier import Classifier
from budwood.data.splits import Split
from budwood.data.splitting import make_folds
from budwood.errors import ConfigError, DataError
from budwood.evaluation.calibration import fit_temperature
from budwood.features.engines import EngineSpec
from budwood.features.gathering import Extraction
from budwood.learning import fitting
from budwood.learning.probe import Probe
from budwood.learning.training import Training, train_graft
from budwood.models.info import info, set_info
from budwood.reporter import Reporter
from budwood.tasks.evaluate import evaluate
from budwood.tasks.predict import predict

CLASSES = ("blue", "green", "red")
QUICK = Training(epochs=3, lr=0.01, batch_size=8)


@pytest.fixture(autouse=True)
def torch_engine(monkeypatch):
    """Trunks run in fp32 torch only: exact, and quick to build."""
    specs = [EngineSpec("torch", "fp32")]
    monkeypatch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: specs)


@pytest.fixture
def images(tmp_path):
    """`images(n)`: a split of n noisy pictures, each of the colour that its class is called."""

    def draw(count=30, seed=0, shades=100, noise=120):
        random = np.random.default_rng(seed)
        paths, labels = [], [i % 3 for i in range(count)]
        for i, label in enumerate(labels):
            picture = random.integers(0, noise, (40, 52, 3))
            picture[..., 2 - label] += shades
            paths.append(tmp_path / f"{seed}/{CLASSES[label]}/{i}.png")
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.astype(np.uint8)).save(paths[-1])
        return Split("train", tuple(paths), tuple(labels), CLASSES)

    return draw


def built(*trained, head="linear", **options):
    torch.manual_seed(0)
    network = bw.build("timm/test_resnet", weights="none", classes=CLASSES, head=head)
    set_info(network, preprocessing=info(network).preprocessing.at_size(48))
    return Classifier(bw.unfreeze(bw.freeze(network, "*"), *(trained or ("fc",))), **options)


def same_state(network, before):
    now = network.state_dict()
    return all(torch.equal(now[name], tensor) for name, tensor in before.items())


# Trust


def test_held_out_photos_calibrate_a_head_that_is_solved(images):
    model = built().fit(images(60, shades=20))
    assert len(model.statistics_.confidence) == 60
    assert model.temperature == model.statistics_.temperature > 0


def test_the_penalty_may_be_given(images):
    model = built(probe=Probe(l2_strength=100.0)).fit(images(30))
    assert len(model.statistics_.confidence) == 30


@pytest.mark.parametrize("trained", [("fc",), ("layer4", "fc")])
def test_one_photo_in_five_calibrates_a_graft_that_is_trained(images, trained):
    model = built(*trained, training=QUICK).fit(images(30))
    assert len(model.statistics_.confidence) == 6
    assert model.statistics_.ood_detector.means.shape[0] == 3


def test_validation_photos_that_stopped_nothing_calibrate(images, monkeypatch):
    monkeypatch.setattr("budwood.learning.fitting.held_out_by_training", None)
    model = built(training=QUICK).fit(images(30), val=images(9, seed=1))
    assert len(model.statistics_.confidence) == 9


def test_photos_that_chose_the_epoch_do_not_calibrate(images):
    stopping = Training(epochs=30, lr=0.05, batch_size=8, patience=2)
    model = built("layer4", "fc", training=stopping).fit(images(30), val=images(9, seed=1))
    assert len(model.statistics_.confidence) == 6  # one training photo in five


def test_where_they_must_calibrate_after_all_that_is_said(images):
    notes = []
    stopping = Training(epochs=3, lr=0.05, patience=2)
    model = built(training=stopping, reporter=Reporter(note=notes.append)).fit(
        images(2), val=images(9, seed=1)
    )
    assert len(model.statistics_.confidence) == 9
    assert any("which chose its best epoch too" in note for note in notes)


def test_the_second_training_stops_early_as_the_first_did(images):
    seen = []
    stopping = Training(epochs=40, lr=0.05, batch_size=8, patience=1)
    model = built("layer4", "fc", training=stopping, reporter=Reporter(epoch=seen.append))
    trained = train_calls(model, images(30), images(9, seed=1))
    assert [patience for patience, _ in trained] == [1, 1]
    assert all(epochs < 40 for _, epochs in trained)


def train_calls(model, train, val):
    """The patience that each training had, and the epochs that it took."""
    calls = []

    def counted(*args):
        history = train_graft(*args)
        calls.append((args[3].patience, len(history)))
        return history

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "train_graft", counted)
        model.fit(train, val=val)
    return calls


def test_how_long_it_takes_changes_no_probability(images, monkeypatch):
    """Not even where every clock says that hours have passed."""
    split = images(30)
    one = built("layer4", "fc", training=QUICK).fit(split).predict_proba(split.paths)
    monkeypatch.setattr(time, "perf_counter", iter(range(0, 10**9, 3600)).__next__)
    two = built("layer4", "fc", training=QUICK).fit(split).predict_proba(split.paths)
    np.testing.assert_array_equal(one, two)


def test_a_second_training_changes_nothing_of_the_first(images, monkeypatch):
    split = images(30)
    one = built("layer4", "fc", training=QUICK).fit(split)
    monkeypatch.setattr(fitting, "held_out_by_training", lambda *args: None)
    two = built("layer4", "fc", training=QUICK).fit(split)
    assert same_state(one.network_, two.network_.state_dict())


def test_calibration_after_early_stopping_is_about_that_of_new_photos(images):
    """`mlp:64`, many epochs: without stopping early too, the second would be far too sure."""
    training = Training(epochs=200, lr=0.01, batch_size=16, patience=3)
    train, val = images(120, shades=12), images(60, seed=1, shades=12)
    model = built("fc", head="mlp:64", training=training).fit(train, val=val)
    answers = model.answers(images(600, seed=2, shades=12).paths)
    needed = fit_temperature(answers.logits, np.array([i % 3 for i in range(600)]))
    assert 0.5 < model.temperature / needed < 2


def test_abstaining_is_one_rule_for_files_and_for_images_in_memory(images):
    model, test = built().fit(images(150, shades=20)), images(45, seed=1, shades=10)
    rule = model.rule(0.3)
    assert rule.answered
    answers = model.answers(test.paths)
    expected = rule.answers(model.predict_proba(test.paths), answers.ood)
    found = model.predict(test.paths, abstain=0.3)
    assert [name is not None for name in found] == expected.tolist()
    assert model.judge(test, 0.3).calibration.selective.answered == expected.sum()
    named = model.predict(test.paths)
    assert named.dtype.kind == "U"
    assert all(one == other for one, other in zip(found, named, strict=True) if one is not None)
    in_memory = model.predict([Image.open(path) for path in test.paths], abstain=0.3)
    assert in_memory.tolist() == found.tolist()


def test_groups_reach_every_fold_of_a_fit(images, monkeypatch):
    split = images(30)
    groups = [f"plant {i // 6}" for i in range(30)]
    names = [CLASSES[label] for label in split.labels]
    seen = []

    def spy(labels, folds=5, *, groups=None, seed=0):
        seen.append(groups)
        return make_folds(labels, folds, groups=groups, seed=seed)

    for module in ("learning.probe", "learning.fitting", "evaluation.ood"):
        monkeypatch.setattr(f"budwood.{module}.make_folds", spy)
    model = built().fit(split.paths, names, groups=groups)
    assert len(seen) >= 3
    assert all(np.array_equal(one, np.arange(30) // 6) for one in seen)
    np.testing.assert_array_equal(model.statistics_.groups, np.arange(30) // 6)
    with pytest.raises(DataError, match="30 photos and 29 groups"):
        built().fit(split.paths, names, groups=groups[:-1])


def test_the_forms_of_both_modes_are_copied_with_one_set_of_layers(images):
    network = bw.build("googlenet", weights="none", classes=CLASSES, aux_heads=True)
    set_info(network, preprocessing=info(network).preprocessing.at_size(64))
    trained = ("fc", "aux1.fc2", "aux2.fc2")
    model = Classifier(bw.unfreeze(bw.freeze(network, "*"), *trained), training=QUICK)
    copies, own = model.plan.copied_grafts(), dict(network.named_parameters())
    of_training = {id(p) for p in copies.training.parameters() if p.requires_grad}
    of_judging = {id(p) for p in copies.judging.parameters() if p.requires_grad}
    assert of_judging < of_training
    assert of_training.isdisjoint(map(id, own.values()))
    model.fit(images(15))
    assert len(model.statistics_.confidence) == 3


def test_a_fitted_and_a_loaded_classifier_say_the_same(images, tmp_path):
    model, test = built().fit(images(30, shades=20)), images(30, seed=1, shades=20)
    again = bw.load(model.save(tmp_path / "model.safetensors"))
    one, two = model.judge(test, 0.3), again.judge(test, 0.3)
    assert one.calibration == two.calibration
    assert one.evaluation == two.evaluation
    np.testing.assert_array_equal(one.right, two.right)


def test_judging_and_predicting_agree_photo_by_photo(images):
    model, test = built().fit(images(30, shades=20)), images(60, seed=1, shades=10)
    verdict = model.judge(test)
    named = model.predict(test.paths) == np.array(CLASSES)[test.targets]
    np.testing.assert_array_equal(verdict.right, named)
    assert verdict.evaluation.top1 == verdict.right.mean()


# Photos that are few, or odd


def test_a_class_of_one_photo_is_fitted_and_calibrated(images):
    split = images(21)
    kept = [i for i in range(21) if split.labels[i] != 2] + [2]
    few = Split(
        "x", tuple(split.paths[i] for i in kept), tuple(split.labels[i] for i in kept), CLASSES
    )
    model = built().fit(few)
    assert model.statistics_ is not None
    assert 0 < model.judge(split, 0.5).calibration.reliability.error < 1


def test_two_photos_in_all_are_fitted_and_nothing_is_promised(images):
    split, notes = images(2), []
    model = built(reporter=Reporter(note=notes.append)).fit(split)
    assert model.statistics_ is None
    assert "Its probabilities are not calibrated: no photo was held out of training." in notes
    assert model.judge(split).calibration.temperature is None
    with pytest.raises(ConfigError, match="cannot tell when to abstain"):
        model.judge(split, 0.1)
    assert "too few photos" in str(model.learning_curve(split))
    with pytest.raises(ConfigError, match=r"2 folds are too many: there are 0 photos of class"):
        model.cross_validate(split, 2)


def test_equal_photos_are_answered_by_chance_and_none_is_ood(images):
    split = images(30, shades=0, noise=1)
    model = built().fit(split)
    verdict = model.judge(split, 0.05)
    assert verdict.calibration.selective.rule.answered == 0
    assert verdict.calibration.ood == 0
    np.testing.assert_allclose(model.predict_proba(split.paths), 1 / 3, atol=0.05)
    curve = model.learning_curve(split)
    assert curve.forecast(100).top1 < 0.6


def test_a_rate_that_is_none_is_refused(images):
    model = built().fit(images(12))
    with pytest.raises(ConfigError, match="It must lie between 0 and 1"):
        model.judge(images(3, seed=1), 1.0)


def test_a_capsule_that_says_nothing_of_trust_still_judges_and_predicts(images, tmp_path):
    test = images(9, seed=1)
    path = built().fit(images(30)).save(tmp_path / "model.safetensors")
    capsule = read_capsule(path)
    object.__setattr__(capsule, "statistics", None)
    write_capsule(path, capsule)
    folder = test.paths[0].parents[1]
    judgement = evaluate(path, folder)
    assert judgement.calibration.temperature is None
    assert judgement.to_json()["ood"] is None
    assert "not calibrated" in str(judgement)
    for ask in (
        lambda: evaluate(path, folder, abstain=0.1),
        lambda: predict(path, [folder], top=1, abstain=0.1),
    ):
        with pytest.raises(ConfigError, match=r"model\.safetensors cannot tell when to abstain"):
            ask()


# Folds


def test_every_photo_is_in_one_fold_and_the_network_stays_as_it_is(images):
    model = built()
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    found = model.cross_validate(images(31), 4)
    assert sorted(fold.images for fold in found.folds) == [7, 8, 8, 8]
    assert found.top1 > 0.9
    assert same_state(model.network, before)


def test_folds_of_a_solved_head_are_as_good_as_its_own_cross_validation(images):
    split = images(90, shades=12)
    model = built().fit(split)
    found = model.cross_validate(split, 5)
    assert found.top1 == pytest.approx(model.fit_.probe.cross_validated_top1, abs=0.1)


@pytest.mark.parametrize("trained", [("fc",), ("layer4", "fc")])
def test_folds_of_a_graft_are_trained_and_the_network_stays_as_it_is(images, trained):
    split, model = images(30), built(*trained, training=Training(epochs=10, lr=0.01, batch_size=8))
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    found = model.cross_validate(split, 3)
    assert found.images == 30
    assert found.top1 > 0.5
    assert same_state(model.network, before)
    assert model.fit(split).cross_validate(split, 3) == found


def test_a_graft_that_was_trained_and_loaded_is_not_judged_on_folds(images, tmp_path):
    split, model = images(30), built("layer4", "fc", training=QUICK)
    again = bw.load(model.fit(split).save(tmp_path / "m.safetensors"), training=QUICK)
    with pytest.raises(ConfigError, match=r"trained already.*not trained on them"):
        again.cross_validate(split, 3)


def test_a_trial_of_int8_that_has_decided_is_not_repeated_for_the_folds(images, monkeypatch):
    model, tried = built(), []
    monkeypatch.setattr(model.plan, "settle_precision", tried.append)
    split = images(12)
    model.cross_validate(split, 2)
    assert tried == [split]
    model.plan.trial = "decided on the training photos"
    model.cross_validate(split, 2)
    assert tried == [split]


def test_the_seed_chooses_the_folds(images):
    split = images(60, shades=8)
    one, two, other = (built().cross_validate(split, 3, seed) for seed in (1, 1, 2))
    assert one == two
    assert one != other


@pytest.mark.parametrize(
    ("k", "text"),
    [
        (1, "1 folds were asked for.*at least 2"),
        (0, "0 folds were asked for.*at least 2"),
        (5, r"5 folds are too many: there are 4 photos.*Ask for at most 4 folds"),
    ],
)
def test_impossible_folds_are_refused(images, k, text):
    with pytest.raises(ConfigError, match=text):
        built().cross_validate(images(12), k)


def test_folds_of_photos_of_other_classes_are_refused(images):
    split = images(12)
    with pytest.raises(DataError, match="The photos have classes a, b, c"):
        built().cross_validate(Split("x", split.paths, split.labels, ("a", "b", "c")), 2)


# The curve


def test_the_curve_of_a_trained_graft_is_that_of_a_linear_head_on_its_features(images):
    split = images(60, shades=15)
    solved = built(extraction=Extraction(precision="fp32")).fit(split).learning_curve(split)
    notes = []
    trained = (
        built(training=QUICK, reporter=Reporter(note=notes.append)).fit(split).learning_curve(split)
    )
    assert "The learning curve is that of a linear head on the frozen features." in notes
    assert [point.images for point in solved.points] == [point.images for point in trained.points]
    assert solved.judged == trained.judged == 60
