"""A saved classifier answers the same without torch, or leaves it to torch."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import budwood as bw
from budwood.compiled import compiled_classifier
from budwood.features.trunks import TRUST, kept_trunks
from budwood.images.splits import Split
from budwood.predictions import predict_run

CLASSES = ("dark", "light")


@pytest.fixture
def photos(tmp_path):
    """Drawn photos of two brightnesses."""
    rng = np.random.default_rng(0)
    paths, labels = [], []
    for i in range(16):
        low = 128 * (i % 2)
        pixels = rng.integers(low, low + 128, (10, 12, 3), np.uint8).repeat(9, 0).repeat(9, 1)
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels).save(paths[-1])
        labels.append(i % 2)
    return Split("train", tuple(paths), tuple(labels), CLASSES)


@pytest.fixture
def saved(photos, tmp_path):
    """Trains a classifier and saves it; the trunk is compiled and trusted then."""

    def make(head="linear", **training):
        network = bw.build("efficientnet_lite0", classes=CLASSES, head=head)
        bw.unfreeze(bw.freeze(network, "*"), "classifier")
        training = bw.Training(**training) if training else None
        return (
            bw.Classifier(network, training=training).fit(photos).save(tmp_path / "m.safetensors")
        )

    return make


@pytest.mark.parametrize("head", ["linear", "mlp:8"])
def test_the_answers_are_those_of_the_whole_classifier(head, saved, photos):
    path = saved(head, epochs=3)
    compiled = compiled_classifier(path, 1)
    assert compiled is not None
    assert compiled.classes == CLASSES
    found = compiled.answers(photos.paths)
    answers, broken = found.logits, found.unreadable
    expected = bw.load(path).answers(photos.paths).logits
    spread = expected.std()
    assert broken == {}
    np.testing.assert_allclose(answers, expected, atol=0.05 * spread)


def test_a_photo_that_cannot_be_read_is_named(saved, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    odd, notes = tmp_path / "odd.jpg", []
    Image.open(photos.paths[2]).save(odd)
    odd.write_bytes(odd.read_bytes()[:-2])  # without its end marker
    paths = [photos.paths[0], bad, odd]
    answers = compiled_classifier(saved(), 3).answers(paths, on_note=notes.append)
    assert len(answers.logits) == 2
    assert list(answers.unreadable) == [bad]
    (note,) = notes
    assert "1 photo has no end marker" in note
    assert "odd.jpg" in note


def test_an_engine_that_nobody_has_trusted_is_not_used(saved):
    path = saved()
    ((place, _),) = kept_trunks()
    (place / TRUST).unlink()
    assert compiled_classifier(path, 1) is None


def test_trust_is_for_one_processor(saved, monkeypatch):
    path = saved()
    monkeypatch.setattr("budwood.features.openvino.processor", lambda: "another")
    assert compiled_classifier(path, 1) is None


def test_a_capsule_that_was_changed_is_left_to_who_says_so(saved):
    path = saved()
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert compiled_classifier(path, 1) is None
    with pytest.raises(bw.BudwoodError, match="has changed since it was made"):
        bw.load(path)


def test_a_capsule_without_a_trunk_is_left_to_torch(saved, monkeypatch):
    monkeypatch.setattr("budwood.learning.plan.chain_of", lambda graft: None)
    assert compiled_classifier(saved(), 1) is None


def test_what_is_no_capsule_is_left_to_who_says_so(tmp_path):
    assert compiled_classifier(tmp_path / "nothing", 1) is None


def test_torch_is_not_imported(saved, photos):
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from budwood.predictions import predict_run\n"
        "said = predict_run(Path(sys.argv[1]), [Path(sys.argv[2])], 2, print, None).to_json()\n"
        "print(json.dumps({'torch': 'torch' in sys.modules, **said}))\n"
    )
    path = saved()
    done = subprocess.run(
        [sys.executable, "-c", script, path, photos.paths[1]], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["torch"] is False
    assert said["predictions"][0]["class"] == "light"


def test_random_weights_are_said(photos, tmp_path):
    network = bw.build("efficientnet_lite0", weights="none", classes=CLASSES)
    bw.unfreeze(bw.freeze(network, "*"), "classifier")
    path = bw.Classifier(network).fit(photos).save(tmp_path / "random.safetensors")
    said = predict_run(path, [photos.paths[0]], 1, lambda _: None, None)
    assert "this accuracy means nothing" in said.warning


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
    predict_run(path, paths, 1, lambda note: notes.append(str(note)), None)
    (said,) = notes
    assert said.startswith("1 photo of 17 holds 16-bit values from ")
