"""Photos of more than 8 bits through training and prediction: what is white belongs to training."""

import numpy as np
import pytest
from PIL import Image

import budwood as bw
from budwood.classifier import Classifier
from budwood.data.folder import load_folder
from budwood.evaluation.staged_networks import StagedNetwork
from budwood.features.engines import EngineSpec
from budwood.features.gathering import Extraction
from budwood.images.depth import Depth
from budwood.images.preprocessing import Preprocessing
from budwood.learning.probe import Probe
from budwood.models.candidates import Candidate
from budwood.models.info import info, preprocessing_of, set_depth, set_info
from budwood.reporter import Reporter
from budwood.reporting.pictures import SMALL, address_of, thumbnails
from budwood.settings import Settings
from budwood.tasks import train as runs
from budwood.tasks.compare import compare
from budwood.tasks.evaluate import evaluate
from budwood.tasks.predict import predict

pytestmark = pytest.mark.slow

CLASSES = ("dark", "light")
TWELVE, SIXTEEN = Depth({"uint16": (0, 4095)}), Depth({"uint16": (0, 65535)})
CLIPPED = (
    "6 photos of 6 hold 16-bit values from 0 to 65535, beyond 0 to 4095, the range of the training "
    "photos: those are clipped."
)


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as context:
        yield context


@pytest.fixture(scope="module", autouse=True)
def torch_engine(patch):
    """Trunks run in fp32 torch only: exact, and quick to build."""
    specs = [EngineSpec("torch", "fp32")]
    patch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: specs)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Draws class folders of photos whose values have so many bits."""

    def make(white=4095, number=6):
        random, root = np.random.default_rng(number), tmp_path_factory.mktemp("drawn") / "photos"
        for name, top in zip(CLASSES, (0.4, 1), strict=True):
            (root / name).mkdir(parents=True)
            for i in range(number):
                values = random.random((6, 8)).repeat(8, 0).repeat(8, 1) * top
                values[0, :2] = 0, top
                image = Image.fromarray((values * white).astype(np.uint16))
                image.save(root / name / f"{i}.png")
        return root

    return make


@pytest.fixture(scope="module")
def deep(drawn):
    return drawn()


@pytest.fixture(scope="module")
def bright(drawn):
    return drawn(white=65535, number=3)


def network(classes=CLASSES):
    made = bw.build("timm/test_resnet", weights="none", classes=list(classes))
    set_info(made, preprocessing=info(made).preprocessing.at_size(48))
    return bw.unfreeze(bw.freeze(made, "*"), "fc")


def classifier(**options):
    return Classifier(network(), probe=Probe(folds=2, l2_strength=1.0), **options)


def listed(folder):
    paths = sorted(folder.rglob("*.png"))
    return paths, [path.parent.name for path in paths]


@pytest.fixture(scope="module")
def fitted(deep, tmp_path_factory):
    """A classifier of deep photos, what was noted, and its capsule."""
    with pytest.MonkeyPatch.context() as context:
        context.setenv("BUDWOOD_HOME", str(tmp_path_factory.mktemp("home")))
        notes = []
        model = classifier(reporter=Reporter(note=notes.append)).fit(*listed(deep))
        return model, notes, model.save(tmp_path_factory.mktemp("saved") / "m.safetensors")


class TestAClassifier:
    def test_fitting_to_paths_finds_the_range_and_says_so(self, fitted):
        model, notes, _ = fitted
        assert model.preprocessing.depth == TWELVE
        assert sum("4095 is taken as white, here and for prediction" in note for note in notes) == 1

    def test_fitting_again_finds_another_range(self, fitted, bright):
        model = bw.load(fitted[2], probe=Probe(folds=2, l2_strength=1.0))
        assert model.preprocessing.depth == TWELVE
        assert model.fit(*listed(bright)).preprocessing.depth == SIXTEEN

    def test_cross_validating_a_fresh_one_finds_it(self, deep):
        fresh = classifier()
        fresh.cross_validate(load_folder(deep).train, k=2)
        assert preprocessing_of(fresh.plan.network).depth == TWELVE

    def test_cross_validating_a_fitted_one_leaves_it(self, fitted, bright):
        model = bw.load(fitted[2], probe=Probe(folds=2, l2_strength=1.0))
        model.cross_validate(load_folder(bright, test_fraction=None).train, k=2)
        assert model.preprocessing.depth == TWELVE

    def test_a_photo_alone_is_what_it_is_among_others(self, fitted, deep):
        paths, _ = listed(deep)
        together = fitted[0].predict_proba(paths)
        loaded = bw.load(fitted[2])
        for i in (0, 3, 8):
            np.testing.assert_allclose(loaded.predict_proba([paths[i]])[0], together[i], atol=1e-5)

    def test_it_answers_as_one_of_the_same_photos_of_8_bits(self, fitted, deep, tmp_path):
        paths, labels = listed(deep)
        shallow = []
        for path in paths:
            grey = np.asarray(Image.open(path)).astype(np.float64) * 255 / 4095
            shallow.append(tmp_path / f"{path.parent.name}-{path.name}")
            Image.fromarray(np.rint(grey).astype(np.uint8)).save(shallow[-1])
        other = classifier().fit(shallow, labels)
        assert other.preprocessing.depth == Depth()
        expected = other.predict_proba(shallow)
        np.testing.assert_allclose(fitted[0].predict_proba(paths), expected, atol=1e-5)

    def test_brighter_photos_are_clipped_and_told(self, fitted, bright):
        model, notes, _ = fitted
        paths, labels = listed(bright)
        for ask in (model.predict, lambda paths: model.score(paths, labels)):
            notes.clear()
            ask(paths)
            assert notes.count(CLIPPED) == 1

    def test_weights_of_others_leave_it_alone(self, fitted):
        other = network()
        set_depth(other, SIXTEEN)
        bw.load_weights(other, fitted[2])
        assert info(other).preprocessing.depth == SIXTEEN


def test_a_run_keeps_it_for_whatever_comes_after(deep, bright, tmp_path, patch):
    patch.setattr(runs, "prepared_network", lambda request, classes: network(classes))
    run = runs.run_training(Settings(data=deep, model="timm/test_resnet", out=tmp_path / "run"))
    assert bw.load(run.folder).preprocessing.depth == TWELVE
    assert any("12-bit values" in note for note in run.to_json()["notes"])
    notes = []
    predict(
        run.folder, [bright], top=1, reporter=Reporter(note=lambda note: notes.append(str(note)))
    )
    assert notes.count(CLIPPED) == 1
    judged = evaluate(run.folder, bright)
    assert judged.notes.count(CLIPPED) == 1


def test_comparing_reads_photos_in_their_range(deep, monkeypatch):
    class Asked(Exception):
        """What the first network that is compared would read photos with."""

    def gather(self, paths):
        raise Asked(self._gatherer._preprocessing.depth)

    monkeypatch.setattr(StagedNetwork, "gather", gather)
    with pytest.raises(Asked) as asked:
        compare(deep, [Candidate("lenet5", "none")], extraction=Extraction(precision="fp32"))
    assert asked.value.args == (TWELVE,)


def test_a_thumbnail_is_as_bright_as_the_photo(deep):
    path = deep / "light" / "0.png"
    shown = Preprocessing(**{**vars(SMALL), "depth": TWELVE}).pixels(path.read_bytes())
    assert shown.max() == 255
    assert thumbnails([path], TWELVE) == {path: address_of(shown)}
