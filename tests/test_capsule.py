"""The capsule: one file, whole or not at all, that is checked to the last bit and runs no code."""

import io
import json
import pickle
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import budwood as bw
from budwood.capsule.format import FORMAT, Golden, digest
from budwood.capsule.golden import draw_golden_images, only_pixels
from budwood.capsule.pack import (
    TOLERANCES,
    Capsule,
    installed_versions,
    read_capsule,
    write_capsule,
)
from budwood.classifier import Classifier, load
from budwood.errors import CapsuleError
from budwood.images.decode import decode
from budwood.images.preprocessing import Preprocessing
from budwood.models.info import Origin, info, set_info

CAPSULE = Capsule(
    origin=Origin(architecture="torchvision/resnet18", weights="none", num_classes=2),
    preprocessing=Preprocessing(size=(8, 8), resize=9, mean=(0.5,) * 3, std=(0.25,) * 3),
    classes=("Kätzchen", "狗"),
    state={
        "weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
        "half": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "none": torch.empty(0, 3),
    },
    trainable=("weight",),
    precision="bf16",
    golden=(Golden(b"\x89PNG one", (1.5, -2.0)), Golden(b"two", (0.25, 0.0))),
    tolerances={"fp32": 0.01, "bf16": 0.123},
    data={"photos": 12, "fingerprint": "ab"},
    metrics={"test": {"top1": 0.93}},
    versions={"torch": "2.0"},
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    write_capsule(path, CAPSULE)
    return path


def built(name="timm/test_resnet", **options):
    network = bw.build(name, weights="none", classes=["cat", "dog"], **options)
    set_info(network, preprocessing=info(network).preprocessing.at_size(64))
    return network


# Round trip


def test_everything_comes_back_as_it_was(file):
    back = read_capsule(file)
    assert replace(back, state={}) == replace(CAPSULE, state={})
    assert set(back.state) == set(CAPSULE.state)
    for name, tensor in CAPSULE.state.items():
        assert back.state[name].dtype == tensor.dtype
        assert torch.equal(back.state[name], tensor)


def test_the_folder_of_a_run_stands_for_its_capsule(file):
    assert read_capsule(file.parent).classes == CAPSULE.classes


def test_a_capsule_is_a_plain_safetensors_file(file):
    with safe_open(file, "pt") as opened:
        assert opened.metadata()["format"] == FORMAT
        assert torch.equal(opened.get_tensor("network.weight"), CAPSULE.state["weight"])
        about = json.loads(opened.metadata()["about"])
    assert about["classes"] == ["Kätzchen", "狗"]


def test_tied_weights_are_saved_and_stay_tied(tmp_path):
    tied = nn.Linear(3, 3)
    state = {"a": tied.weight, "b": tied.weight, "c": tied.weight[1:]}
    write_capsule(tmp_path / "tied", replace(CAPSULE, state=state))
    back = read_capsule(tmp_path / "tied").state
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor)


def test_tensors_in_any_memory_layout_are_saved(tmp_path):
    image = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    state = {"last": image.to(memory_format=torch.channels_last), "turned": image[0, 0].T}
    write_capsule(tmp_path / "layout", replace(CAPSULE, state=state))
    back = read_capsule(tmp_path / "layout").state
    assert torch.equal(back["last"], image)
    assert torch.equal(back["turned"], image[0, 0].T)


def test_a_classifier_comes_back_as_it_was(tmp_path):
    network = bw.unfreeze(bw.freeze(built(), "*"), "layer4", "fc")
    with torch.no_grad():
        network.bn1.running_mean += 0.5
    model = bw.Classifier(network)
    again = load(model.save(tmp_path / "model.safetensors"))
    assert again.class_names == ("cat", "dog")
    assert again.preprocessing == model.preprocessing
    mine, theirs = network.state_dict(), again.network.state_dict()
    assert list(mine) == list(theirs)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    trains = [
        {n for n, p in m.network.named_parameters() if p.requires_grad} for m in (model, again)
    ]
    assert trains[0] == trains[1] != set()
    modes = [[m.training for m in x.network.train().modules()] for x in (model, again)]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("head", ["linear", "mlp:8"])
def test_a_loaded_classifier_gives_the_same_answers(head, tmp_path):
    model = Classifier.of_fitted(bw.unfreeze(bw.freeze(built(head=head), "*"), "fc"))
    paths = []
    for i, image in enumerate(draw_golden_images(3, seed=5)):
        paths.append(tmp_path / f"{i}.png")
        paths[-1].write_bytes(image)
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path)
    assert again.predict_proba(paths).tolist() == model.predict_proba(paths).tolist()


def test_class_names_that_the_photos_gave_are_kept(tmp_path):
    network = bw.build("timm/test_resnet", weights="none", classes=2)
    model = Classifier.of_fitted(bw.unfreeze(bw.freeze(network, "*"), "fc"), ("x", "y"))
    assert load(model.save(tmp_path / "model.safetensors")).class_names == ("x", "y")


def test_figures_of_fit_and_evaluation_are_in_it(tmp_path):
    from budwood.data.splits import Split

    paths = []
    for i, image in enumerate(draw_golden_images(8)):
        paths.append(tmp_path / f"{i}.png")
        paths[-1].write_bytes(image)
    split = Split("train", tuple(paths), (0, 1) * 4, ("cat", "dog"))
    model = bw.Classifier(bw.unfreeze(bw.freeze(built(), "*"), "fc")).fit(split)
    evaluation = model.evaluate(split)
    capsule = read_capsule(model.save(tmp_path / "model.safetensors", evaluation))
    assert capsule.data == {"photos": 8, "fingerprint": model.fit_.fingerprint}
    assert capsule.metrics["test"]["top1"] == evaluation.top1
    assert capsule.metrics["train"] == {"top1": model.fit_.train_top1}
    assert capsule.versions == installed_versions()


def test_tolerances_default_to_the_published_ones():
    fields = {name: getattr(CAPSULE, name) for name in CAPSULE.__dataclass_fields__}
    del fields["tolerances"]
    assert Capsule(**fields).tolerances == TOLERANCES


# Privacy


def test_golden_images_are_drawn_and_always_the_same():
    one, two = draw_golden_images(), draw_golden_images()
    assert one == two
    assert len(set(one)) == 8
    assert all(image.startswith(b"\x89PNG") for image in one)
    assert draw_golden_images(2, seed=1) != one[:2]


def test_golden_images_are_drawn_unless_photos_are_given(tmp_path):
    model = bw.Classifier(bw.unfreeze(bw.freeze(built(), "*"), "fc"))
    drawn = read_capsule(model.save(tmp_path / "drawn"))
    assert [golden.image for golden in drawn.golden] == draw_golden_images()
    image = tmp_path / "mine.png"
    image.write_bytes(draw_golden_images(1, seed=8)[0])
    own = read_capsule(model.save(tmp_path / "own", golden=[image]))
    assert [decode(golden.image).tobytes() for golden in own.golden] == [
        decode(image.read_bytes()).tobytes()
    ]


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_of_golden_photos_only_the_pixels_are_kept(tmp_path, ending):
    exif = Image.Exif()
    exif[0x010E] = "SECRET caption"
    exif[0x0112] = 6  # stored lying on its side
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 30.0, 0.0), 29: "SECRET date"})
    image = tmp_path / f"mine.{ending}"
    with Image.open(io.BytesIO(draw_golden_images(1)[0])) as opened:
        opened.save(image, exif=exif)
    with image.open("ab") as file:
        file.write(b"SECRET trailer")
    assert b"SECRET" in image.read_bytes()
    kept = only_pixels(image.read_bytes())
    assert b"SECRET" not in kept
    assert b"eXIf" not in kept
    assert np.array_equal(decode(kept), decode(image.read_bytes()))
    assert decode(kept).shape == (320, 280, 3)


def test_a_buffer_called_image_is_no_golden_image(tmp_path):
    state = {"prototype.image": torch.ones(2), "golden.image": torch.ones(1)}
    write_capsule(tmp_path / "odd", replace(CAPSULE, state=state))
    read = read_capsule(tmp_path / "odd")
    assert len(read.golden) == len(CAPSULE.golden)
    assert set(read.state) == set(state)


def test_no_path_of_the_machine_is_in_it(tmp_path, budwood_home):
    weights = tmp_path / "secret-folder" / "mine.safetensors"
    weights.parent.mkdir()
    save_file(bw.build("timm/test_resnet", weights="none").state_dict(), weights)
    network = bw.build("timm/test_resnet", weights=weights, classes=["cat", "dog"])
    path = bw.Classifier(bw.unfreeze(bw.freeze(network, "*"), "fc")).save(tmp_path / "model")
    content = path.read_bytes()
    for private in ("secret-folder", tmp_path.name, budwood_home.name, str(Path.home())):
        assert private.encode() not in content
    assert b"file:mine.safetensors" in content


# Whole or not at all


def test_a_crash_while_writing_leaves_the_old_file(file, monkeypatch):
    before = file.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("budwood.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_capsule(file, replace(CAPSULE, classes=("new", "names")))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_new_capsule_replaces_the_old_one(file):
    write_capsule(file, replace(CAPSULE, classes=("new", "names")))
    assert read_capsule(file).classes == ("new", "names")


# Damage


def refused(path, text):
    with pytest.raises(CapsuleError, match=text) as caught:
        read_capsule(path)
    assert caught.value.file == str(path)
    assert caught.value.next or caught.value.expected


def test_a_file_cut_short_anywhere_is_refused(file):
    content = file.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for end in {0, 1, 7, 8, 9, header - 1, header, header + 1, *range(0, len(content), 97)}:
        file.write_bytes(content[:end])
        refused(file, "damaged, cut short")


def test_a_file_with_more_behind_it_is_refused(file):
    file.write_bytes(file.read_bytes() + b"\0")
    refused(file, "damaged, cut short")


def test_a_bit_flipped_anywhere_is_found(file):
    content = file.read_bytes()
    bits = random.Random(0).sample(range(8 * len(content)), 1500)
    for bit in [*range(64), *bits]:
        broken = bytearray(content)
        broken[bit // 8] ^= 1 << bit % 8
        file.write_bytes(broken)
        refused(file, "Copy it again from where it was made|no capsule of this version")


def test_a_change_of_what_it_says_of_itself_is_found(file):
    content = file.read_bytes()
    for old, new in [(b"0.25", b"0.24"), (b"torchvision/", b"torchvisiom/"), (b"0.93", b"0.99")]:
        assert old in content
        file.write_bytes(content.replace(old, new))
        refused(file, "does not match its digest. Copy it again")


def test_bare_weights_are_no_capsule(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"fc.weight": torch.zeros(2, 2)}, path)
    refused(path, rf"should be {FORMAT}, it is None\. .*budwood train --weights")
    save_file({"fc.weight": torch.zeros(2, 2)}, path, {"format": "pt"})
    refused(path, "it is 'pt'")
    save_file({"fc.weight": torch.zeros(2, 2)}, path, {"format": "budwood-capsule-9"})
    refused(path, "this version of Budwood")


@pytest.mark.parametrize("metadata", [{}, {"about": "{}"}, {"about": "{}", "digest": "00"}])
def test_a_forged_header_is_refused(metadata, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"network.x": torch.zeros(2)}, path, {"format": FORMAT, **metadata})
    refused(path, "does not match its digest")


@pytest.mark.parametrize(
    "about",
    [
        "{}",
        "[]",
        "no json",
        '{"origin": {}}',
        '{"origin": {"architecture": "resnet18", "weights": "none", "num_classes": 2}}',
    ],
)
def test_a_description_that_says_too_little_is_refused(about, tmp_path):

    path, tensors = tmp_path / "model.safetensors", {"network.x": torch.zeros(2)}
    its_digest = digest(tensors, about)
    save_file(tensors, path, {"format": FORMAT, "about": about, "digest": its_digest})
    refused(path, "no capsule that Budwood wrote .* Make it again with `budwood train`")


def test_a_missing_file_is_said(tmp_path):
    refused(tmp_path / "none.safetensors", r"no capsule at .*none\.safetensors.*budwood train")
    refused_folder = tmp_path / "run"
    refused_folder.mkdir()
    with pytest.raises(CapsuleError, match=r"folder with model\.safetensors in it"):
        read_capsule(refused_folder)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    refused(path, "no safetensors file")
    torch.save({"state": Bomb()}, path)
    refused(path, "no safetensors file")


def test_weights_of_another_network_are_refused(tmp_path):
    from budwood.errors import WeightsError

    write_capsule(tmp_path / "model.safetensors", CAPSULE)
    with pytest.raises(WeightsError, match="Check that the weights are of this architecture"):
        load(tmp_path)
