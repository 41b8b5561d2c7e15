"""Copies and pickles of a classifier, and what scikit-learn does with it."""

import copy
import pickle

import joblib
import numpy as np
import pandas
import pytest
from PIL import Image

import budwood as bw
from budwood.errors import DataError
from budwood.features.engines import EngineSpec
from budwood.learning.probe import Probe
from budwood.networks.info import info, set_info

CLASSES = ("blue", "green", "red")
SPECS = [EngineSpec("torch", "fp32")]


@pytest.fixture(autouse=True)
def torch_engine(monkeypatch):
    """Trunks run in fp32 torch only: exact, and quick to build."""
    monkeypatch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: SPECS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
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
    return bw.Classifier(bw.unfreeze(bw.freeze(network, "*"), "fc"), probe=Probe(penalty=1.0))


@pytest.fixture(scope="module")
def fitted(photos, tmp_path_factory):
    """A classifier that no test changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUDWOOD_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: SPECS)
        return unfitted().fit(*photos)


def through_joblib(model, tmp_path):
    joblib.dump(model, tmp_path / "m.joblib")
    return joblib.load(tmp_path / "m.joblib")


WAYS = {
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "joblib": through_joblib,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_gives_the_same_answers_and_goes_its_own_way(way, fitted, photos, tmp_path):
    paths, labels = photos
    expected = fitted.predict_proba(paths)
    twin = WAYS[way](fitted, tmp_path)
    np.testing.assert_array_equal(twin.predict_proba(paths), expected)
    assert (twin.temperature, twin.class_names) == (fitted.temperature, CLASSES)
    twin.fit(paths, labels[1:] + labels[:1])
    np.testing.assert_array_equal(fitted.predict_proba(paths), expected)
    assert twin.score(paths, labels) < fitted.score(paths, labels)


def test_a_copy_of_what_is_not_fitted_can_be_fitted(photos):
    twin = pickle.loads(pickle.dumps(unfitted()))
    assert twin.fit_ is None
    assert twin.fit(*photos).score(*photos) == 1.0


def test_a_graft_is_copied_with_its_frozen_parts(photos, tmp_path):
    network = bw.build("timm/test_resnet", weights="none", classes=CLASSES, head="mlp:4")
    set_info(network, preprocessing=info(network).preprocessing.at_size(32))
    bw.unfreeze(bw.freeze(network, "*"), "fc", "layer4")
    model = bw.Classifier(network, training=bw.Training(epochs=1)).fit(*photos)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict_proba(photos[0]), model.predict_proba(photos[0]))
    twin.network.train()
    assert not twin.network.layer1[0].bn1.training


LISTS = {
    "array": np.array,
    "array of text": lambda paths: np.array([str(path) for path in paths]),
    "series": pandas.Series,
    "tuple": tuple,
    "generator": lambda paths: (path for path in paths),
    "set of one": lambda paths: {paths[0]},
}


@pytest.mark.parametrize("kind", LISTS)
def test_photos_come_in_any_kind_of_list(kind, fitted, photos):
    given = LISTS[kind](photos[0][:4])
    expected = fitted.predict_proba(photos[0][:4])
    np.testing.assert_allclose(
        fitted.predict_proba(given), expected[: 1 if "one" in kind else 4], atol=1e-6
    )


def test_no_photos_are_no_answers_in_any_kind_of_list(fitted):
    for none in ([], (), np.array([], dtype=object), iter(())):
        assert fitted.predict_proba(none).shape == (0, 3)


def test_what_is_no_list_is_said(fitted):
    with pytest.raises(DataError, match=r"A int is no list of photos\. Files, Pillow images"):
        fitted.predict(7)


def test_scikit_learn_scores_it_by_its_probabilities(photos):
    from sklearn.model_selection import cross_val_predict, cross_val_score

    paths, labels = map(np.array, photos)
    assert cross_val_score(unfitted(), paths, labels, cv=2, scoring="roc_auc_ovr").min() == 1.0
    held_out = cross_val_predict(unfitted(), paths, labels, cv=2, method="predict_proba")
    assert [CLASSES[i] for i in held_out.argmax(1)] == labels.tolist()


def test_scikit_learn_scores_two_classes(photos):
    from sklearn.model_selection import cross_val_score

    paths, labels = map(np.array, photos)
    two = labels != "green"
    model = unfitted(("blue", "red"))
    scores = cross_val_score(model, paths[two], labels[two], cv=2, scoring="roc_auc")
    assert scores.tolist() == [1.0, 1.0]


def test_scikit_learn_searches_its_parameters(photos):
    from sklearn.model_selection import GridSearchCV

    grid = {"probe": [Probe(penalty=1.0), Probe(penalty=1e6)]}
    search = GridSearchCV(unfitted(), grid, cv=2, scoring="neg_log_loss")
    search.fit(*map(np.array, photos))
    assert search.best_params_["probe"].penalty == 1.0


def test_labels_may_be_the_numbers_of_classes(photos):
    paths, labels = photos
    numbers = np.array([CLASSES.index(label) for label in labels])
    assert unfitted().fit(paths, numbers).predict(paths).tolist() == labels


def test_a_number_that_no_class_has_is_said(photos):
    with pytest.raises(DataError, match=r"No class is called '3'\. There are blue, green, red"):
        unfitted().fit(photos[0][:2], [0, 3])


def test_numbers_of_classes_that_are_called_by_other_numbers_are_refused(photos):
    model = unfitted(("0", "1", "10"))
    assert model.fit(photos[0][:6], ["0", "1", "10"] * 2).class_names == ("0", "1", "10")
    with pytest.raises(DataError, match=r"label 10 may be the class called '10', or class number"):
        model.fit(photos[0][:3], [0, 1, 10])
