"""How far a classifier's word can be taken: train, evaluate and predict say it, as asked for."""

import json
import math

import pytest

from budwood.evaluation.reliability import CrossValidation, Fold

from .conftest import draw_class

TELLING = ["train", "photos", "--abstain", "0.4", "--kfold", "5", "--learning-curve"]
"""A training of which all is to be told."""


@pytest.fixture(scope="module")
def told(place, run):
    """Commands on a training of which everything is told, as JSON and for people."""
    commands = {
        "train": [*TELLING, "--json", "--out", "runs/told"],
        "train text": [*TELLING, "--out", "runs/told-again"],
        "evaluate": ["evaluate", run, "photos", "--abstain", "0.4", "--json"],
        "evaluate text": ["evaluate", run, "photos", "--abstain", "0.4"],
        "one": ["evaluate", run, "photos", "--json"],
        "two": ["evaluate", run, "runs/told", "photos", "--abstain", "0.4", "--json"],
        "two text": ["evaluate", run, "runs/told", "photos", "--abstain", "0.4"],
        "predict": ["predict", run, "photos", "--abstain", "0.4", "--json"],
        "mlp": ["train", "photos", "--head", "mlp:8", "--epochs", "3", "--kfold", "3", "--json"],
        "two photos": ["train", "two-photos", "--abstain", "0.1", "--learning-curve", "--json"],
        "singles": ["train", "singles", "--abstain", "0.1", "--json"],
        "strict": ["evaluate", run, "photos", "--abstain", "0.0001"],
        "too many folds": ["train", "photos", "--kfold", "11"],
        "one fold": ["train", "photos", "--kfold", "1"],
        "no rate": ["evaluate", run, "photos", "--abstain", "1.5"],
        "no rate to train": ["train", "photos", "--abstain", "0"],
    }
    for name, hue in (("blue", 160), ("green", 90), ("pink", 200), ("red", 0)):
        draw_class(place.folder / "singles" / name, hue, 1)
    for name, hue in (("blue", 160), ("red", 0)):
        draw_class(place.folder / "two-photos" / name, hue, 1)
    outcomes = place.run_several([*commands.values()])
    return dict(zip(commands, outcomes, strict=True))


def test_a_training_says_whether_its_probabilities_mean_what_they_say(told):
    said = told["train"].json["calibration"]
    assert said["temperature"] > 0
    assert 0 <= said["ece_if_perfect"][0] <= said["ece_if_perfect"][1] <= 1
    low, high = said["overconfidence_interval"]
    assert low <= said["overconfidence"] <= high
    assert "a perfect classifier shows" in told["train text"].out
    assert sum(part["images"] for part in said["bins"]) == told["train"].json["images"]["test"]
    assert "Probabilities are calibrated (temperature" in told["train text"].out


def test_a_training_says_what_abstaining_came_to(told):
    said = told["train"].json["abstain"]
    assert (said["target_error"], said["confidence"]) == (0.4, 0.9)
    assert said["images"] == told["train"].json["images"]["train"]
    assert said["test"]["images"] == 6
    assert "Abstaining, it answers" in told["train text"].out


def test_what_a_run_says_is_kept_in_its_folder(told, place):
    kept = json.loads((place.folder / "runs/told/result.json").read_text())
    assert kept == {"version": 2, **told["train"].json}


def test_folds_take_the_test_photos_too_where_they_were_set_aside(told):
    said = told["train"].json["kfold"]
    assert said["images"] == 30
    assert [fold["images"] for fold in said["folds"]] == [6] * 5
    assert said["interval"][0] < said["top1"] <= said["interval"][1]
    folds = tuple(Fold(fold["images"], round(6 * fold["top1"])) for fold in said["folds"])
    assert str(CrossValidation(folds, tuple(said["interval"]))) in told["train text"].out


def test_a_test_part_of_its_own_takes_no_part_in_the_folds(place):
    out = place.run("train", "photos", "--test", "photos-to-test", "--kfold", "2", "--json")
    assert out.code == 1
    (place.folder / "photos-to-test").mkdir()
    for name in ("blue", "green", "red"):
        folder = place.folder / "photos-to-test" / name
        folder.mkdir()
        (folder / "copy.png").write_bytes(
            (place.folder / f"photos/{name}/{name}-00.png").read_bytes()
        )
    out = place.run("train", "photos", "--test", "photos-to-test", "--kfold", "2", "--json")
    assert out.json["kfold"]["images"] == 30
    assert out.json["images"] == {"train": 30, "val": 0, "test": 3, "unreadable": 0}


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_run_is_judged_again_as_it_was_judged_when_it_was_trained(place, precision):
    folder = place.folder / "other-photos"
    for name, hue in (("blue", 140), ("green", 100), ("red", 10)):
        draw_class(folder / name, hue, 4)
    asked = ["--test", "other-photos", "--precision", precision, "--out", f"runs/{precision}"]
    trained, judged = place.run_several(
        [
            ["train", "photos", *asked, "--json"],
            ["evaluate", f"runs/{precision}", "other-photos", "--json"],
        ]
    )
    assert judged.json["precision"] == trained.json["precision"]
    for name in ("test", "calibration", "ood"):
        assert judged.json[name] == trained.json[name]


def test_folds_of_a_head_that_is_trained_are_trained(told):
    said = told["mlp"].json
    assert said["kfold"]["images"] == 30
    assert said["probe"] is None
    assert said["seconds"]["kfold"] > 0


def test_folds_change_nothing_of_the_training(told, trained):
    same = ("test", "train", "probe", "calibration", "ood")
    assert [told["train"].json[name] for name in same] == [trained.json[name] for name in same]


def test_a_learning_curve_is_told(told):
    said = told["train"].json["learning_curve"]
    images = [point["images"] for point in said["points"]]
    assert images == sorted(images)
    assert said["evaluated"] == 24
    low, high = said["naive"]["interval"]
    assert low <= said["naive"]["top1"] <= high
    assert said["forecast"] is None
    assert said["reason"] in told["train text"].out
    assert "What more photos would bring cannot be forecast." in told["train text"].out


def test_without_being_asked_neither_folds_nor_a_curve_nor_a_rule_are_told(trained):
    assert (
        trained.json["kfold"] is trained.json["learning_curve"] is trained.json["abstain"] is None
    )
    assert {"kfold", "learning_curve"}.isdisjoint(trained.json["seconds"])


def test_evaluate_measures_the_target_error_on_its_photos(told):
    said = told["evaluate"].json["abstain"]
    assert said["test"]["images"] == 30
    assert said["test"]["coverage"] == said["test"]["covered"] / 30
    assert (
        said["test"]["interval"][0]
        <= said["test"]["selective_error"]
        <= said["test"]["interval"][1]
    )
    assert "% of the answers are wrong" in told["evaluate text"].out


def test_train_evaluate_predict_and_both_pages_count_the_same_photos_as_unknown(place, told):
    """One rule: whatever applies it, with torch or without."""
    for name, hue in (("blue", 160), ("green", 90), ("red", 0)):
        draw_class(place.folder / "unknowns" / "train" / name, hue, 40)
        draw_class(place.folder / "unknowns" / "test" / name, hue + 45, 9)
    asked = ["--abstain", "0.2", "--json"]
    trained = place.run("train", "unknowns", *asked, "--out", "runs/unknowns")
    evaluated, torch_free, report = place.run_several(
        [
            ["evaluate", "runs/unknowns", "unknowns", *asked],
            ["predict", "runs/unknowns", "unknowns/test", *asked],
            ["report", "runs/unknowns", "--json"],
        ]
    )
    test = trained.json["abstain"]["test"]
    unknown = [p["unknown"] for p in torch_free.json["predictions"]]
    assert test["covered"] == unknown.count(None) > 0
    assert test["low_confidence"] == unknown.count("too unsure")
    assert test["ood"] == unknown.count("out of distribution") > 0
    assert evaluated.json["abstain"] == trained.json["abstain"]
    rule = {name: value for name, value in trained.json["abstain"].items() if name != "test"}
    assert torch_free.json["abstain"] == rule
    assert report.code == 0
    page = (place.folder / "runs/unknowns/report.html").read_text()
    assert (
        f"it answers {test['covered']} of the 27 test photos and says unknown to the others: "
        f"{test['low_confidence']} are too unsure, {test['ood']} out of distribution"
    ) in page
    with_torch = place.python(
        "import budwood as bw, pathlib;"
        "paths = sorted(pathlib.Path('unknowns/test').rglob('*.png'));"
        "print([name is not None for name in "
        "bw.load('runs/unknowns').predict(paths, abstain=0.2)])"
    )
    assert with_torch.strip() == str([why is None for why in unknown])


def test_out_of_distribution_photos_are_told_apart_from_unsure_ones(told):
    said = told["evaluate"].json["ood"]
    named = [p["unknown"] for p in told["predict"].json["predictions"]]
    assert said["flagged"] == named.count("out of distribution")
    assert said["share"] == said["flagged"] / 30
    assert "were called out of distribution" in told["evaluate text"].out


def test_a_target_that_cannot_be_shown_answers_nothing(told):
    assert told["strict"].code == 0
    assert "it answers nothing, 24 held-out images are too few" in told["strict"].out


def test_two_photos_are_trained_on_and_it_is_said_that_nothing_can_be_promised(told):
    said = told["two photos"].json
    assert [said[name] for name in ("calibration", "ood", "abstain")] == [None] * 3
    assert said["learning_curve"]["points"] == []
    assert said["learning_curve"]["forecast"] is None
    assert "It cannot tell when to abstain: no photo was held out" in told["two photos"].err


def test_a_rule_that_no_photo_tests_is_told_all_the_same(told):
    assert told["singles"].json["images"]["test"] == 0
    assert (
        "There is no test set to check the target error rate on. Abstaining, target error"
        in told["singles"].err
    )


def test_one_run_and_two_say_the_same_of_it(told):
    one, (first, second) = told["one"].json, told["two"].json["runs"]
    assert first["test"] == one["test"]
    assert first["calibration"] == one["calibration"]
    paired = told["two"].json["paired"]
    for side, name in ((first, "only_first_correct"), (second, "only_second_correct")):
        assert math.isclose(side["test"]["top1"], (paired["both_correct"] + paired[name]) / 30)
    assert told["two text"].out.count("Abstaining, it answers") == 2


def test_more_folds_than_photos_of_a_class_are_refused_before_anything_runs(told):
    assert told["too many folds"].code == 1
    assert "there are 10 photos of class 'blue'" in told["too many folds"].err
    assert "Ask for at most 10 folds." in told["too many folds"].err


def test_one_fold_is_refused(told):
    assert told["one fold"].code == 2
    assert "--kfold" in told["one fold"].err


@pytest.mark.parametrize("command", ["no rate", "no rate to train"])
def test_a_rate_out_of_range_is_refused(told, command):
    assert told[command].code == 2
    assert "--abstain" in told[command].err


def test_photos_without_labels_are_no_test(place, run):
    folder = place.folder / "unlabelled"
    folder.mkdir()
    (folder / "one.png").write_bytes((place.folder / "photos/red/red-00.png").read_bytes())
    outcome = place.run("evaluate", run, "unlabelled", "--abstain", "0.1")
    assert outcome.code == 1
    assert "lie in no class folder" in outcome.err
