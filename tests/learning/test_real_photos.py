"""The probe on real photos, against plain scikit-learn on the same stored rows."""

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import budwood as bw
from budwood.data.splits import Split

pytestmark = pytest.mark.slow

PER_CLASS = 40


def thinned(split: Split, every: int) -> Split:
    """The first photos of each class."""
    kept = [
        i
        for label in range(len(split.classes))
        for i in [j for j, own in enumerate(split.labels) if own == label][:every]
    ]
    return Split(
        split.name,
        tuple(split.paths[i] for i in kept),
        tuple(split.labels[i] for i in kept),
        split.classes,
    )


@pytest.mark.photos
def test_the_probe_is_as_good_as_scikit_learn_on_flowers(real_photos):
    flowers = bw.load_folder(real_photos / "flowers")
    train, test = thinned(flowers.train, PER_CLASS), thinned(flowers.test, 80)
    network = bw.build("efficientnet_lite0", classes=flowers.classes)
    model = bw.Classifier(bw.unfreeze(bw.freeze(network, "*"), "classifier")).fit(train)
    ours = model.score(test)
    rows = {
        split: model.plan.features(model.gather(split.paths)).take(range(len(split)))[0].numpy()
        for split in (train, test)
    }
    plain = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
        {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1]},
        scoring="neg_log_loss",
        refit=True,
    )
    plain.fit(rows[train], train.targets)
    theirs = plain.best_estimator_.score(rows[test], test.targets)
    assert ours >= theirs - 0.005
    assert ours > 0.8
    assert model.gather(train.paths).misses == 0
