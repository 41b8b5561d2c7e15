"""A saved classifier answers the same without torch, or leaves it to torch."""

import dataclasses
import json
import shutil
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

import budwood as bw
from budwood.capsule import fast
from budwood.capsule.fast import compiled_classifier
from budwood.data.splits import Split
from budwood.features.openvino import OpenVINOEngine
from budwood.features.trunks import VERIFIED, kept_trunks
from budwood.models.info import info, set_info
from budwood.reporter import Reporter
from budwood.tasks.predict import predict

CLASSES = ("dark", "light")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Drawn photos of two brightnesses."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    paths, labels = [], []
    for i in range(16):
        low = 128 * (i % 2)
        pixels = rng.integers(low, low + 128, (10, 12, 3), np.uint8).repeat(9, 0).repeat(9, 1)
        paths.append(folder / f"{i}.png")
        Image.fromarray(pixels).save(paths[-1])
        labels.append(i % 2)
    return Split("train", tuple(paths), tuple(labels), CLASSES)


def small(head="linear"):
    """A network that takes no time, its first layers frozen."""
    network = bw.build("timm/test_resnet", weights="none", classes=CLASSES, head=head)
    set_info(network, preprocessing=info(network).preprocessing.at_size(48))
    return bw.unfreeze(bw.freeze(network, "*"), "fc")


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    """Trains a classifier and saves it, once; the trunk is compiled and trusted then."""

    @cache
    def train(head, epochs):
        home = tmp_path_factory.mktemp("trained")
        training = bw.Training(epochs=epochs) if epochs else None
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BUDWOOD_HOME", str(home))
            bw.Classifier(small(head), training=training).fit(images).save(home / "m.safetensors")
        return home

    return train


@pytest.fixture
def saved(trained, budwood_home):
    """A capsule, on a machine that has trained it."""

    def make(head="linear", epochs=None):
        shutil.copytree(trained(head, epochs), budwood_home, dirs_exist_ok=True)
        return budwood_home / "m.safetensors"

    return make


@pytest.mark.parametrize("head", ["linear", "mlp:8"])
def test_the_answers_are_those_of_the_whole_classifier(head, saved, images):
    path = saved(head, epochs=3)
    compiled = compiled_classifier(path, 1)
    assert compiled is not None
    assert compiled.class_names == CLASSES
    found = compiled.answers(images.paths)
    answers, broken = found.logits, found.unreadable
    expected = bw.load(path).answers(images.paths).logits
    spread = expected.std()
    assert broken == {}
    np.testing.assert_allclose(answers, expected, atol=0.05 * spread)


def test_a_photo_that_cannot_be_read_is_named(saved, images, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    odd, notes = tmp_path / "odd.jpg", []
    Image.open(images.paths[2]).save(odd)
    odd.write_bytes(odd.read_bytes()[:-2])  # without its end marker
    paths = [images.paths[0], bad, odd]
    answers = compiled_classifier(saved(), 3, Reporter(note=notes.append)).answers(paths)
    assert len(answers.logits) == 2
    assert list(answers.unreadable) == [bad]
    (note,) = notes
    assert "1 photo has no end marker" in note
    assert "odd.jpg" in note


def test_an_engine_that_nobody_has_trusted_is_not_used(saved):
    path = saved()
    ((place, _),) = kept_trunks()
    (place / VERIFIED).unlink()
    assert compiled_classifier(path, 1) is None


def test_trust_is_for_one_processor(saved, monkeypatch):
    path = saved()
    monkeypatch.setattr("budwood.features.openvino.processor", lambda: "another")
    assert compiled_classifier(path, 1) is None


def names_in(path):
    with safe_open(path, "np") as file:
        return list(file.keys())


def changed_in(path, name):
    """Turn one bit of a tensor in a capsule."""
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    content[start + header[name]["data_offsets"][0]] ^= 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["fc.weight", "golden.3.logits", "trust.wrong"])
def test_a_capsule_that_was_changed_is_left_to_who_says_so(name, saved):
    path = saved()
    key = f"network.{name}" if name.startswith("fc") else name
    changed_in(path, key)
    assert compiled_classifier(path, 1) is None
    with pytest.raises(bw.BudwoodError, match="has changed since it was made"):
        bw.load(path)


def test_of_a_capsule_only_what_answers_is_read(saved, images, monkeypatch):
    """The trunk is known by its keys: of its weights in the capsule nothing is used."""
    path, read = saved(), []

    class Watched:
        def __init__(self, *given):
            self._file = safe_open(*given)

        def __enter__(self):
            self._file = self._file.__enter__()
            return self

        def __exit__(self, *problem):
            return self._file.__exit__(*problem)

        def __getattr__(self, name):
            return getattr(self._file, name)

        def get_tensor(self, name):
            read.append(name)
            return self._file.get_tensor(name)

    monkeypatch.setattr("budwood.capsule.format.safe_open", Watched)
    expected = compiled_classifier(path, 1).answers(images.paths[:1]).logits
    names = {name for name in read if not name.startswith(("golden.", "trust."))}
    assert names == {"network.fc.weight", "network.fc.bias"}
    other = next(n for n in names_in(path) if n.startswith("network.layer1"))
    answers = compiled_classifier(changed_in(path, other), 1).answers(images.paths[:1]).logits
    np.testing.assert_array_equal(answers, expected)


def test_a_capsule_of_the_first_version_is_checked_as_a_whole(saved, monkeypatch):
    path = saved()
    with safe_open(path, "np") as file:
        metadata = {k: v for k, v in file.metadata().items() if k != "answer_digest"}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata)
    assert compiled_classifier(path, 1) is not None
    assert compiled_classifier(changed_in(path, "network.fc.bias"), 1) is None


def test_the_graph_for_a_few_photos_is_checked_once_for_each_size(saved, monkeypatch):
    path, checks = saved(), []
    real = fast._golden_error
    monkeypatch.setattr(fast, "_golden_error", lambda *g: checks.append(g) or real(*g))
    for images in (1, 1, 3, 9, 4):
        compiled_classifier(path, images)
    assert len(checks) == 3  # for batches of 1, 3 and 4


def test_rows_of_the_store_answer_for_many_photos_in_their_order(saved, images, monkeypatch):
    path = saved()
    many = [*images.paths, *images.paths[:3]] * 9
    expected = bw.load(path).answers(many).logits
    assert len(many) > fast.FEW
    found = compiled_classifier(path, len(many))
    plain = dataclasses.replace(found, store=None).answers(many)
    np.testing.assert_allclose(plain.logits, expected, atol=1e-4 * expected.std())
    decoded = []
    real = fast.decoded
    monkeypatch.setattr(fast, "decoded", lambda paths, *a, **k: real(decoded_of(paths), *a, **k))

    def decoded_of(paths):
        decoded.extend(paths)
        return paths

    extra = images.paths[0].with_name("another.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)).save(extra)
    broken = images.paths[0].with_name("broken.png")
    broken.write_bytes(b"no photo")
    answers = found.answers([*many[:5], extra, broken, *many[5:]])
    assert decoded == [extra, broken]
    assert list(answers.unreadable) == [broken]
    kept = np.delete(answers.logits, 5, axis=0)
    np.testing.assert_allclose(kept, expected, atol=1e-4 * expected.std())
    np.testing.assert_array_equal(np.delete(answers.ood, 5), plain.ood)


def test_a_graph_that_disagrees_is_said_and_not_used(saved, images, monkeypatch):
    path, notes = saved(), []
    expected = bw.load(path).answers(images.paths).logits

    class Wrong(OpenVINOEngine):
        def __init__(self, model, spec, *, latency=False):
            super().__init__(model, spec, latency=latency)
            self.is_wrong = latency

        def stream(self, batches):
            for tag, rows in super().stream(batches):
                yield tag, tuple(-r for r in rows) if self.is_wrong else rows

    monkeypatch.setattr("budwood.features.openvino.OpenVINOEngine", Wrong)
    for _ in range(2):  # it is not taken for one that agreed
        found = compiled_classifier(path, 4, Reporter(note=notes.append))
        answers = found.answers(images.paths).logits
        np.testing.assert_allclose(answers, expected, atol=0.05 * expected.std())
    assert len(notes) == 2
    assert "disagrees with the golden images" in notes[0]
    assert str(path) in notes[0]


def test_probabilities_of_all_classes_are_kept_where_they_are_asked_for(saved, images):
    path = saved()
    for every_class in (False, True):
        said = predict(path, images.paths[:2], top=1, every_class=every_class).images
        kept = [image.probabilities for image in said]
        assert [row is not None for row in kept] == [every_class] * 2
    for image in said:
        assert image.probabilities.dtype == np.float64
        best = CLASSES[image.probabilities.argmax()], image.probabilities.max()
        assert image.top[0] == (best[0], pytest.approx(best[1]))


def test_a_capsule_without_a_trunk_is_left_to_torch(saved, monkeypatch, tmp_path):
    monkeypatch.setattr("budwood.learning.plan.chain_of", lambda graft: None)
    path = bw.load(saved()).save(tmp_path / "again.safetensors")
    assert compiled_classifier(path, 1) is None


def test_what_is_no_capsule_is_left_to_who_says_so(tmp_path):
    assert compiled_classifier(tmp_path / "nothing", 1) is None


def test_torch_is_not_imported(saved, images):
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from budwood.tasks.predict import predict\n"
        "said = predict(sys.argv[1], [sys.argv[2]], top=2).to_json()\n"
        "print(json.dumps({'torch': 'torch' in sys.modules, **said}))\n"
    )
    path = saved()
    done = subprocess.run(
        [sys.executable, "-c", script, path, images.paths[1]], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["torch"] is False
    assert said["predictions"][0]["class"] == "light"


def test_random_weights_are_said(images, tmp_path):
    path = bw.Classifier(small()).fit(images).save(tmp_path / "random.safetensors")
    said = predict(path, [images.paths[0]], top=1)
    assert "this accuracy means nothing" in said.warning


@pytest.mark.slow
def test_photos_of_12_bits_are_read_without_torch_as_with_it(tmp_path):
    rng, paths = np.random.default_rng(0), []
    for i in range(17):
        values = rng.random((10, 12)).repeat(9, 0).repeat(9, 1) * (0.4, 1)[i % 2]
        paths.append(tmp_path / f"{i}.png")
        white = 65535 if i == 16 else 4095
        Image.fromarray((values * white).astype(np.uint16)).save(paths[-1])
    network = bw.unfreeze(
        bw.freeze(bw.build("efficientnet_lite0", classes=CLASSES), "*"), "classifier"
    )
    model = bw.Classifier(network).fit(paths[:16], [CLASSES[i % 2] for i in range(16)])
    path, notes = model.save(tmp_path / "m.safetensors"), []
    compiled = compiled_classifier(path, 1)
    expected = model.answers(paths).logits
    np.testing.assert_allclose(compiled.answers(paths).logits, expected, atol=0.05 * expected.std())
    predict(path, paths, top=1, reporter=Reporter(note=lambda note: notes.append(str(note))))
    (said,) = notes
    assert said.startswith("1 photo of 17 holds 16-bit values from ")
