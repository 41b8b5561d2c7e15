"""The classifier as a scikit-learn estimator: copied, searched, stacked, and put to its checks."""

import copy
import pickle

import joblib
import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted

import budwood as bw
from budwood.errors import ConfigError, DataError
from budwood.features.engines import EngineSpec
from budwood.features.gathering import Extraction
from budwood.learning.probe import Probe
from budwood.models.info import info, set_info

CLASSES = ("blue", "green", "red")
SPECS = [EngineSpec("torch", "fp32")]


@pytest.fixture(autouse=True)
def torch_engine(monkeypatch):
    """Trunks run in fp32 torch only: exact, and quick to build."""
    monkeypatch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: SPECS)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Paths of noisy pictures, each of the colour that its class is called, and their classes."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    paths, labels = [], []
    for i in range(18):
        picture = random.integers(0, 120, (40, 52, 3))
        picture[..., 2 - i % 3] += 100
        paths.append(folder / f"{i:02}.png")
        Image.fromarray(picture.astype(np.uint8)).save(paths[-1])
        labels.append(CLASSES[i % 3])
    return paths, labels


def unfitted(classes=CLASSES):
    network = bw.build("timm/test_resnet", weights="none", classes=classes)
    set_info(network, preprocessing=info(network).preprocessing.at_size(32))
    return bw.Classifier(bw.unfreeze(bw.freeze(network, "*"), "fc"), probe=Probe(l2_strength=1.0))


@pytest.fixture(scope="module")
def fitted(images, tmp_path_factory):
    """A classifier that no test changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUDWOOD_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: SPECS)
        return unfitted().fit(*images)


def through_joblib(model, tmp_path):
    joblib.dump(model, tmp_path / "m.joblib")
    return joblib.load(tmp_path / "m.joblib")


WAYS = {
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "joblib": through_joblib,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_gives_the_same_answers_and_goes_its_own_way(way, fitted, images, tmp_path):
    paths, labels = images
    expected = fitted.predict_proba(paths)
    twin = WAYS[way](fitted, tmp_path)
    np.testing.assert_array_equal(twin.predict_proba(paths), expected)
    assert (twin.temperature, twin.class_names) == (fitted.temperature, CLASSES)
    twin.fit(paths, labels[1:] + labels[:1])
    np.testing.assert_array_equal(fitted.predict_proba(paths), expected)
    assert twin.score(paths, labels) < fitted.score(paths, labels)


def test_a_copy_of_what_is_not_fitted_can_be_fitted(images):
    twin = pickle.loads(pickle.dumps(unfitted()))
    assert twin.fit_ is None
    assert twin.fit(*images).score(*images) == 1.0


def test_a_graft_is_copied_with_its_frozen_parts(images, tmp_path):
    network = bw.build("timm/test_resnet", weights="none", classes=CLASSES, head="mlp:4")
    set_info(network, preprocessing=info(network).preprocessing.at_size(32))
    bw.unfreeze(bw.freeze(network, "*"), "fc", "layer4")
    model = bw.Classifier(network, training=bw.Training(epochs=1)).fit(*images)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict_proba(images[0]), model.predict_proba(images[0]))
    twin.network_.train()
    assert not twin.network_.layer1[0].bn1.training


LISTS = {
    "array": np.array,
    "array of text": lambda paths: np.array([str(path) for path in paths]),
    "series": pandas.Series,
    "tuple": tuple,
    "generator": lambda paths: (path for path in paths),
    "set of one": lambda paths: {paths[0]},
}


@pytest.mark.parametrize("kind", LISTS)
def test_photos_come_in_any_kind_of_list(kind, fitted, images):
    given = LISTS[kind](images[0][:4])
    expected = fitted.predict_proba(images[0][:4])
    np.testing.assert_allclose(
        fitted.predict_proba(given), expected[: 1 if "one" in kind else 4], atol=1e-6
    )


def test_no_photos_are_no_answers_in_any_kind_of_list(fitted):
    for none in ([], (), np.array([], dtype=object), iter(())):
        assert fitted.predict_proba(none).shape == (0, 3)


def test_what_is_no_list_is_said(fitted):
    with pytest.raises(DataError, match=r"A int is no list of photos\. Files, Pillow images"):
        fitted.predict(7)


def test_scikit_learn_scores_it_by_its_probabilities(images):
    paths, labels = map(np.array, images)
    assert cross_val_score(unfitted(), paths, labels, cv=2, scoring="roc_auc_ovr").min() == 1.0
    held_out = cross_val_predict(unfitted(), paths, labels, cv=2, method="predict_proba")
    assert [CLASSES[i] for i in held_out.argmax(1)] == labels.tolist()


def test_scikit_learn_scores_two_classes(images):
    paths, labels = map(np.array, images)
    two = labels != "green"
    model = unfitted(("blue", "red"))
    scores = cross_val_score(model, paths[two], labels[two], cv=2, scoring="roc_auc")
    assert scores.tolist() == [1.0, 1.0]


def test_scikit_learn_searches_its_parameters(images):
    grid = {"probe": [Probe(l2_strength=1.0), Probe(l2_strength=1e6)]}
    search = GridSearchCV(unfitted(), grid, cv=2, scoring="neg_log_loss")
    search.fit(*map(np.array, images))
    assert search.best_params_["probe"].l2_strength == 1.0


def test_labels_may_be_the_numbers_of_classes(images):
    paths, labels = images
    numbers = np.array([CLASSES.index(label) for label in labels])
    model = unfitted().fit(paths, numbers)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.class_names == CLASSES
    assert model.predict(paths).tolist() == numbers.tolist()
    assert model.score(paths, numbers) == model.score(paths, labels) == 1.0


def test_a_number_that_no_class_has_is_said(images):
    with pytest.raises(DataError, match=r"No class is called '3'\. There are blue, green, red"):
        unfitted().fit(images[0][:2], [0, 3])


def test_numbers_of_classes_that_are_called_by_other_numbers_are_refused(images):
    model = unfitted(("0", "1", "10"))
    assert model.fit(images[0][:6], ["0", "1", "10"] * 2).class_names == ("0", "1", "10")
    with pytest.raises(DataError, match=r"label 10 may be the class called '10', or class number"):
        model.fit(images[0][:3], [0, 1, 10])


# What it is made with, and what a fit adds


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def deep():
    """A classifier of which a stage and the head are trained."""
    network = bw.unfreeze(unfitted().network, "layer4")
    return bw.Classifier(network, training=bw.Training(epochs=2, lr=0.01, batch_size=8))


def test_a_fit_leaves_its_network_alone_and_the_next_begins_afresh(deep, images):
    before, modes = state(deep.network), [m.training for m in deep.network.modules()]
    first = state(deep.fit(*images).network_)
    assert same(state(deep.network), before)
    assert [m.training for m in deep.network.modules()] == modes
    assert not same(first, before)
    second = deep.fit(images[0][:6], images[1][:6]).network_
    assert not same(state(second), first)
    assert same(state(deep.fit(*images).network_), first)


def test_what_is_frozen_is_shared_and_what_trains_is_not(deep, images):
    deep.fit(*images)
    given, own = deep.network, deep.network_
    assert own.layer1[0].conv1.weight is given.layer1[0].conv1.weight
    assert own.layer1[0].bn1.running_mean is given.layer1[0].bn1.running_mean
    assert own.layer4[0].conv1.weight is not given.layer4[0].conv1.weight
    assert own.layer4[0].bn1.running_mean is not given.layer4[0].bn1.running_mean


def test_it_is_fitted_once_it_was_fitted_or_loaded(images, tmp_path):
    model = unfitted()
    for ask in (check_is_fitted, lambda m: m.predict(images[0]), lambda m: m.answers(images[0])):
        with pytest.raises(NotFittedError):
            ask(model)
    assert not hasattr(model, "classes_")
    assert check_is_fitted(model.fit(*images)) is None
    again = bw.load(model.save(tmp_path / "m.safetensors"))
    assert check_is_fitted(again) is None
    assert again.classes_.tolist() == list(CLASSES)
    with pytest.raises(NotFittedError):
        check_is_fitted(clone(model))


def test_a_change_of_its_parameters_counts_at_the_next_fit(images):
    model = unfitted().fit(*images)
    expected = model.predict_proba(images[0])
    model.training = bw.Training(epochs=2)
    np.testing.assert_array_equal(model.predict_proba(images[0]), expected)
    assert len(model.fit(*images).fit_.history) == 2
    model.set_params(training=None, probe=Probe(l2_strength=7.0))
    assert model.fit(*images).fit_.probe.l2_strength == 7.0
    assert model.set_params(training__epochs=1) is model
    assert len(model.fit(*images).fit_.history) == 1


def test_its_parameters_are_its_arguments_and_their_parts():
    network, training, probe = unfitted().network, bw.Training(epochs=1), Probe(folds=3)
    model = bw.Classifier(network, training=training, probe=probe)
    params = model.get_params(deep=False)
    assert params["network"] is network
    assert (params["training"], params["probe"], params["extraction"]) == (training, probe, None)
    assert bw.Classifier(**params).get_params(deep=False) == params
    deep = model.get_params()
    assert (deep["training__epochs"], deep["probe__folds"]) == (1, 3)
    assert model.set_params(**deep).get_params() == deep
    model.set_params(probe__l2_strength=2.0, training__lr=0.5, extraction__precision="fp32")
    assert model.probe == Probe(folds=3, l2_strength=2.0)
    assert model.training == bw.Training(epochs=1, lr=0.5)
    assert model.extraction == Extraction(precision="fp32")
    assert training == bw.Training(epochs=1)


def test_unknown_parameters_are_named():
    with pytest.raises(ConfigError, match=r"no parameter 'epochs'\. It has network, training"):
        unfitted().set_params(epochs=3)
    with pytest.raises(ConfigError, match=r"'training__rate'\. training has epochs, lr"):
        unfitted().set_params(training__rate=3)


def test_a_clone_is_not_fitted_and_goes_its_own_way(images):
    model = unfitted().fit(*images)
    before = state(model.network_)
    twin = clone(model)
    assert twin.network is not model.network
    assert (twin.fit_, twin.probe, twin.class_names) == (None, model.probe, CLASSES)
    twin.fit(images[0][:6], images[1][:6])
    assert same(state(model.network_), before)
    assert not same(state(twin.network_), before)


def test_folds_begin_with_what_no_fold_has_seen(deep, images):
    paths, labels = map(np.array, images)
    before = cross_val_score(deep, paths, labels, cv=2, scoring="neg_log_loss")
    after = cross_val_score(deep.fit(paths, labels), paths, labels, cv=2, scoring="neg_log_loss")
    np.testing.assert_array_equal(before, after)


# What scikit-learn makes of it, by names and by numbers

KINDS = {"names": np.array, "numbers": lambda labels: np.array([CLASSES.index(n) for n in labels])}


@pytest.fixture(params=["names", pytest.param("numbers", marks=pytest.mark.slow)])
def data(request, images):
    return np.array(images[0]), KINDS[request.param](images[1])


def test_it_is_cross_validated(data):
    assert cross_val_score(unfitted(), *data, cv=3, scoring="accuracy").tolist() == [1.0] * 3
    held_out = cross_val_predict(unfitted(), *data, cv=2, method="predict_proba")
    assert np.unique(data[1])[held_out.argmax(1)].tolist() == data[1].tolist()


def test_its_parts_are_searched(data):
    grid = {"training__lr": [1e-9, 0.01]}
    model = unfitted().set_params(training=bw.Training(epochs=10, batch_size=4))
    search = GridSearchCV(model, grid, cv=2, scoring="neg_log_loss").fit(*data)
    assert search.best_params_ == {"training__lr": 0.01}
    assert search.best_estimator_.training.lr == 0.01
    assert search.predict(data[0]).dtype.kind == data[1].dtype.kind


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_it_votes(data, voting):
    vote = VotingClassifier([("one", unfitted()), ("two", unfitted())], voting=voting).fit(*data)
    assert vote.predict(data[0]).tolist() == data[1].tolist()


def test_it_is_stacked(data):
    stack = StackingClassifier([("one", unfitted())], LogisticRegression(), cv=2).fit(*data)
    assert stack.predict(data[0]).tolist() == data[1].tolist()


def test_it_is_calibrated_by_others(data):
    other = CalibratedClassifierCV(unfitted(), cv=2).fit(*data)
    assert other.predict(data[0]).tolist() == data[1].tolist()


# scikit-learn's own checks

NOT_IMAGES = "It fits random rows of numbers, and this estimator takes images."
NOT_APPLICABLE = dict.fromkeys(
    (
        "check_fit_score_takes_y",
        "check_estimators_overwrite_params",
        "check_dont_overwrite_parameters",
        "check_estimators_fit_returns_self",
        "check_readonly_memmap_input",
        "check_positive_only_tag_during_fit",
        "check_estimators_dtypes",
        "check_pipeline_consistency",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_classifier_data_not_an_array",
        "check_classifiers_classes",
        "check_classifiers_train",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_fit2d_1sample",
        "check_dict_unchanged",
        "check_fit_idempotent",
        "check_fit_check_is_fitted",
    ),
    NOT_IMAGES,
) | {
    "check_estimator_sparse_array": "Images are no sparse matrix.",
    "check_estimator_sparse_matrix": "Images are no sparse matrix.",
    "check_fit2d_1feature": "Images have no features to count.",
    "check_array_api_input": "Images are files, not arrays of a device.",
    "check_parameters_default_constructible": "Its network is given.",
}
"""Checks of scikit-learn that are not run, and why."""


class Flat(bw.Classifier):
    """Says that it takes rows of numbers, without which most checks are not offered at all."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


def applicable():
    network = torch.nn.Linear(1, 2)
    checks = estimator_checks_generator(Flat(network), legacy=True)
    named = ((check.func.__name__, check) for _, check in checks)
    return {name: check for name, check in named if name not in NOT_APPLICABLE}


CHECKS = applicable()


@pytest.mark.parametrize("name", CHECKS)
def test_it_passes_the_checks_of_scikit_learn(name):
    CHECKS[name](Flat(unfitted().network))


def test_the_checks_that_matter_most_are_among_them():
    assert {"check_no_attributes_set_in_init", "check_estimators_unfitted"} <= set(CHECKS)
    assert {"check_get_params_invariance", "check_set_params"} <= set(CHECKS)
