"""Files of weights are read without running them, and whatever they are wrapped in."""

import argparse
import io
import json
import pickle
import shlex
import sys
import tarfile
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from budwood.errors import WeightsError
from budwood.models.checkpoints import names_beside, names_within, read_checkpoint
from budwood.models.loading import load_weights
from budwood.models.pickled import PlainValue, read_pickled

STATE = {"conv.weight": torch.arange(6.0).view(2, 3), "bn.num_batches_tracked": torch.tensor(3)}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def saved(tmp_path):
    """Saves anything by torch.save and gives its path."""

    def save(content, name="net.pth", **options):
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.mark.parametrize("zipped", [True, False])
def test_both_formats_of_torch_are_read(saved, zipped):
    assert same(read_checkpoint(saved(STATE, _use_new_zipfile_serialization=zipped)).state, STATE)


@pytest.mark.parametrize("name", ["net.safetensors", "net.bin"])
def test_safetensors_is_read_under_any_name(tmp_path, name):
    save_file(STATE, tmp_path / name)
    assert same(read_checkpoint(tmp_path / name).state, STATE)


@pytest.mark.parametrize("key", ["state_dict", "model", "state_dict_ema", "model_ema"])
def test_a_state_inside_a_training_checkpoint_is_found(saved, key):
    checkpoint = {"epoch": 3, key: STATE, "optimizer": {"lr": 0.1}, "args": argparse.Namespace(a=1)}
    assert same(read_checkpoint(saved(checkpoint)).state, STATE)


def test_the_average_of_a_training_checkpoint_comes_first(saved):
    other = {name: tensor + 1 for name, tensor in STATE.items()}
    assert same(read_checkpoint(saved({"model": other, "model_ema": STATE})).state, STATE)


def test_averaged_weights_that_were_taken_are_noted(saved):
    other = {name: tensor + 1 for name, tensor in STATE.items()}
    (note,) = read_checkpoint(saved({"state_dict": other, "state_dict_ema": STATE})).notes
    assert "(state_dict_ema) and those of the last step (state_dict): the averaged ones" in note
    assert not read_checkpoint(saved({"state_dict_ema": STATE})).notes
    assert not read_checkpoint(saved({"state_dict": STATE})).notes


def test_the_receipt_says_which_weights_were_taken(saved):
    own = nn.Linear(2, 3)
    state = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    path = saved({"model": state, "model_ema": {name: t + 1 for name, t in state.items()}})
    receipt = load_weights(nn.Linear(2, 3), path)
    assert "the averaged ones were taken" in str(receipt)


BESIDE = {
    "numpy scalar": np.float64(0.9),
    "numpy array": np.array([1.0, 2.0]),
    "numpy names": np.array(["cat", "dog"], dtype=object),
    "path": Path("data"),
    "pure path": PureWindowsPath("C:/data"),
    "defaultdict": defaultdict(list, {"cat": [1]}),
    "ordered": OrderedDict(cat=0),
    "counter": Counter("cat"),
    "deque": deque([1, 2], maxlen=2),
    "datetime": datetime(2025, 11, 3, tzinfo=timezone(timedelta(hours=1))),
    "namespace": argparse.Namespace(lr=0.1, data=Path("data"), since=date(2025, 11, 3)),
    "simple namespace": SimpleNamespace(lr=np.float32(0.1)),
    "sets": ({1, 2}, frozenset("ab"), range(3), slice(1, 2)),
    "numbers": (Decimal("0.1"), Fraction(1, 3), UUID(int=1), 1j),
    "torch": (torch.__version__, torch.Size([1]), torch.float16, torch.device("cpu")),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("what", BESIDE)
def test_plain_values_beside_the_weights_are_no_obstacle(saved, what, zipped):
    content = {"state_dict": STATE, "args": BESIDE[what]}
    assert same(read_checkpoint(saved(content, _use_new_zipfile_serialization=zipped)).state, STATE)


def test_weights_in_a_defaultdict_are_read(saved):
    assert same(read_checkpoint(saved(defaultdict(int, STATE))).state, STATE)


def test_no_constructor_of_another_library_is_called(saved):
    """A crafted dtype or array could make NumPy read memory that is not its own."""
    content = {"state_dict": STATE, "dtype": np.dtype("f8"), "array": np.ones(3)}
    loaded = read_pickled(saved(content))
    assert {type(loaded["dtype"]), type(loaded["array"])} == {PlainValue}


class Config:
    """What many training scripts save whole."""


@pytest.mark.parametrize("is_network", [False, True])
def test_the_line_that_takes_the_weights_out_works(saved, tmp_path, monkeypatch, is_network):
    network = nn.Linear(2, 3)
    content = network if is_network else {"model": network.state_dict(), "config": Config()}
    monkeypatch.setattr(sys.modules["__main__"], "Config", Config, raising=False)
    monkeypatch.setattr(Config, "__module__", "__main__")
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(saved(content, "whole.pth"))
    monkeypatch.chdir(tmp_path)
    line = str(caught.value).split("yourself: ")[1]
    python, option, code = shlex.split(line)
    assert (python, option) == ("python", "-c")
    exec(code, {})
    assert same(read_checkpoint(tmp_path / "whole-weights.pth").state, network.state_dict())


def test_a_state_wrapped_twice_is_found(saved):
    assert same(read_checkpoint(saved({"model": {"state_dict": STATE}})).state, STATE)


@given(st.lists(st.sampled_from(["module.", "model.", "net.", "_orig_mod."]), max_size=3))
def test_prefixes_that_all_names_share_are_taken_off(tmp_path_factory, prefixes):
    path = tmp_path_factory.mktemp("state") / "net.pth"
    torch.save({"".join(prefixes) + name: tensor for name, tensor in STATE.items()}, path)
    assert same(read_checkpoint(path).state, STATE)


def test_a_prefix_that_some_names_lack_stays(saved):
    state = {"module.weight": torch.ones(1), "bias": torch.ones(1)}
    assert same(read_checkpoint(saved(state)).state, state)


class RunsCode:
    """Its pickle, when loaded, creates a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_and_not_run(saved, tmp_path, zipped):
    marker = tmp_path / "it ran"
    path = saved({"w": RunsCode(marker)}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        WeightsError,
        match=r"not loaded: besides plain values it names io.open.*is run.*python -c \"import",
    ):
        read_checkpoint(path)
    assert not marker.exists()


def test_a_bare_pickle_that_would_run_code_is_refused_and_not_run(tmp_path):
    marker, path = tmp_path / "it ran", tmp_path / "net.pth"
    path.write_bytes(pickle.dumps(RunsCode(marker)))
    with pytest.raises(WeightsError, match=r"not loaded: it is a pickle that"):
        read_checkpoint(path)
    assert not marker.exists()


def test_a_whole_network_is_refused_with_the_way_out(saved):
    with pytest.raises(
        WeightsError, match=r"it names torch.nn.modules.linear.Linear.*network.state_dict"
    ):
        read_checkpoint(saved(nn.Linear(1, 1)))


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit")
def test_torchscript_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=r"not loaded: it is a TorchScript"):
        read_checkpoint(tmp_path / "net.pt")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_file_cut_short_is_named(saved, zipped, keep):
    path = saved(STATE | {"big": torch.ones(9999)}, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(
        WeightsError, match=r"net.pth is damaged, cut short.*Download or copy it again"
    ):
        read_checkpoint(path)


@pytest.mark.parametrize("keep", [5, 40, 100])
def test_safetensors_cut_short_are_named(tmp_path, keep):
    save_file(STATE, tmp_path / "net.safetensors")
    content = (tmp_path / "net.safetensors").read_bytes()
    (tmp_path / "net.safetensors").write_bytes(content[:keep])
    with pytest.raises(WeightsError, match=r"net.safetensors is damaged, cut short"):
        read_checkpoint(tmp_path / "net.safetensors")


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "net.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"it is empty.*must be a .safetensors file or one made"):
        read_checkpoint(tmp_path / "net.pth")


def test_a_file_of_no_known_kind_is_named(tmp_path):
    (tmp_path / "net.pth").write_bytes(b"something else altogether")
    with pytest.raises(WeightsError, match=r"of no format that is known\. It must be"):
        read_checkpoint(tmp_path / "net.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no file of weights .*net.pth.*Give the path of a"):
        read_checkpoint(tmp_path / "net.pth")


@pytest.mark.parametrize("content", [[1, 2], {}, torch.ones(3), {"epoch": 3}, {"w": [1.0]}])
def test_a_file_without_a_state_is_named(saved, content):
    with pytest.raises(WeightsError, match=r"[Tt]ensors by name"):
        read_checkpoint(saved(content))


@pytest.mark.parametrize(
    "checkpoint",
    [
        {"classes": ["cat", "dog"]},
        {"class_names": ("cat", "dog")},
        {"class_to_idx": {"dog": 1, "cat": 0}},
        {"idx_to_class": {1: "dog", 0: "cat"}},
        {"classes": 2, "class_names": ["cat", "dog"]},
    ],
)
def test_names_are_found_in_a_checkpoint(checkpoint):
    assert names_within(checkpoint | {"epoch": 3}) == ("cat", "dog")


@pytest.mark.parametrize(
    "checkpoint",
    [{}, {"classes": 5}, {"classes": [0, 1]}, {"classes": []}, {"class_to_idx": {"cat": 1}}],
)
def test_what_are_no_names_is_none(checkpoint):
    assert names_within(checkpoint) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", "\ufeff雏菊 \n\n tulip\n"),
        ("class_indices.json", json.dumps({"0": "雏菊", "1": "tulip"})),
        ("class_indices.json", json.dumps({"tulip": 1, "雏菊": 0})),
    ],
)
def test_names_are_found_beside_the_weights(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert names_beside(tmp_path / "net.pth") == ("雏菊", "tulip")


def test_without_such_a_file_there_are_no_names(tmp_path):
    assert names_beside(tmp_path / "net.pth") is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("class_indices.json", b"{", r"class_indices.json cannot be read: .*must be JSON such as"),
        ("class_indices.json", b"3", "no table of names and numbers.*Mend it, or move it away"),
        ("classes.txt", b"\xff\xfe\xff", r"classes.txt cannot be read: .*must be one name a line"),
    ],
)
def test_a_file_of_names_that_cannot_be_read_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        names_beside(tmp_path / "net.pth")


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 46827520\n"


def zipped(*names):
    """The bytes of a zip archive with these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"...")
    return file.getvalue()


def arrays():
    file = io.BytesIO()
    np.savez(file, a=np.ones(1))
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("net.pth"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net.safetensors", LFS, r"Git LFS pointer.*`git lfs pull`"),
        ("net.pth", LFS, r"Git LFS pointer.*`git lfs pull`"),
        ("net.pth", b"<!DOCTYPE html><html>Google Drive", r"a web page.*in a browser"),
        ("net.safetensors", b"\n<html lang=en>Not found", r"a web page.*in a browser"),
        ("net.h5", b"\x89HDF\r\n\x1a\n" + bytes(200), r"an HDF5 file, as Keras.*\.safetensors"),
        ("net.keras", zipped("config.json", "model.weights.h5"), r"a Keras model.*PyTorch"),
        ("net.npz", arrays(), r"a NumPy archive \(\.npz\)"),
        ("net.zip", zipped("half.pth"), r"a zip archive that holds half\.pth\. Unpack it"),
        ("net.zip", zipped("a/half.pth", "b.txt"), r"holds a/half\.pth and 1 more\. Unpack it"),
        ("net.pth", zipped(), r"holds no weights|of no format"),
        ("net.tar", tarred(), r"a tar archive\. Unpack it"),
        ("net.pth.gz", b"\x1f\x8b\x08" + bytes(30), r"a gzip archive\. Unpack it"),
        ("net.npy", b"\x93NUMPY\x01\0", r"a NumPy array"),
        ("net.onnx", b"\x08\x07\x12\x07pytorch", r"an ONNX model"),
        ("net.tflite", b"\x1c\0\0\0TFL3" + bytes(100), r"a TensorFlow Lite model"),
        ("net.safetensors.index.json", b'{"weight_map": {}}', r"a JSON text.*lies beside it"),
        ("photo.jpg", b"\xff\xd8\xff\xe0" + bytes(40), r"a JPEG photo"),
    ],
)
def test_it_is_said_what_the_file_is(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=said) as caught:
        read_checkpoint(tmp_path / name)
    assert caught.value.file == str(tmp_path / name)


@pytest.mark.parametrize("name", ["net.onnx", "net.json", "net.zip"])
def test_an_odd_ending_hides_no_weights(tmp_path, name):
    state = {"w": torch.ones(2)}
    for save in (
        lambda path: torch.save(state, path),
        lambda path: torch.save(state, path, _use_new_zipfile_serialization=False),
        lambda path: save_file(state, path),
    ):
        save(tmp_path / name)
        assert torch.equal(read_checkpoint(tmp_path / name).state["w"], state["w"])
