"""Files of weights are read without running them, and whatever they are wrapped in."""

import argparse
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from budwood.errors import WeightsError
from budwood.networks.checkpoints import read_state

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
    assert same(read_state(saved(STATE, _use_new_zipfile_serialization=zipped)), STATE)


@pytest.mark.parametrize("name", ["net.safetensors", "net.bin"])
def test_safetensors_is_read_under_any_name(tmp_path, name):
    save_file(STATE, tmp_path / name)
    assert same(read_state(tmp_path / name), STATE)


@pytest.mark.parametrize("key", ["state_dict", "model", "state_dict_ema", "model_ema"])
def test_a_state_inside_a_training_checkpoint_is_found(saved, key):
    checkpoint = {"epoch": 3, key: STATE, "optimizer": {"lr": 0.1}, "args": argparse.Namespace(a=1)}
    assert same(read_state(saved(checkpoint)), STATE)


def test_the_average_of_a_training_checkpoint_comes_first(saved):
    other = {name: tensor + 1 for name, tensor in STATE.items()}
    assert same(read_state(saved({"model": other, "model_ema": STATE})), STATE)


def test_a_state_wrapped_twice_is_found(saved):
    assert same(read_state(saved({"model": {"state_dict": STATE}})), STATE)


@given(st.lists(st.sampled_from(["module.", "model.", "net.", "_orig_mod."]), max_size=3))
def test_prefixes_that_all_names_share_are_taken_off(tmp_path_factory, prefixes):
    path = tmp_path_factory.mktemp("state") / "net.pth"
    torch.save({"".join(prefixes) + name: tensor for name, tensor in STATE.items()}, path)
    assert same(read_state(path), STATE)


def test_a_prefix_that_some_names_lack_stays(saved):
    state = {"module.weight": torch.ones(1), "bias": torch.ones(1)}
    assert same(read_state(saved(state)), state)


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
        WeightsError, match=r"would run code when loaded.*open.*\.safetensors or a plain"
    ):
        read_state(path)
    assert not marker.exists()


def test_a_bare_pickle_that_would_run_code_is_refused_and_not_run(tmp_path):
    marker, path = tmp_path / "it ran", tmp_path / "net.pth"
    path.write_bytes(pickle.dumps(RunsCode(marker)))
    with pytest.raises(WeightsError, match=r"would run code when loaded: it is a pickle that"):
        read_state(path)
    assert not marker.exists()


def test_a_whole_network_is_refused_with_the_way_out(saved):
    with pytest.raises(
        WeightsError, match=r"names torch.nn.modules.linear.Linear.*network.state_dict"
    ):
        read_state(saved(nn.Linear(1, 1)))


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit")
def test_torchscript_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=r"would run code when loaded: it is a TorchScript"):
        read_state(tmp_path / "net.pt")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_file_cut_short_is_named(saved, zipped, keep):
    path = saved(STATE | {"big": torch.ones(9999)}, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(
        WeightsError, match=r"net.pth is damaged, cut short.*Download or copy it again"
    ):
        read_state(path)


@pytest.mark.parametrize("keep", [5, 40, 100])
def test_safetensors_cut_short_are_named(tmp_path, keep):
    save_file(STATE, tmp_path / "net.safetensors")
    content = (tmp_path / "net.safetensors").read_bytes()
    (tmp_path / "net.safetensors").write_bytes(content[:keep])
    with pytest.raises(WeightsError, match=r"net.safetensors is damaged, cut short"):
        read_state(tmp_path / "net.safetensors")


def test_an_archive_of_another_kind_is_named(tmp_path):
    np.savez(tmp_path / "net.npz", a=np.ones(1))
    with pytest.raises(WeightsError, match="damaged, cut short or holds no weights"):
        read_state(tmp_path / "net.npz")


@pytest.mark.parametrize(
    ("content", "said"), [(b"\x89HDF\r\n\x1a\n", "known"), (b"", "it is empty")]
)
def test_an_unknown_format_is_named(tmp_path, content, said):
    (tmp_path / "net.h5").write_bytes(content)
    with pytest.raises(
        WeightsError, match=rf"{said}.*must be a .safetensors file or one made with"
    ):
        read_state(tmp_path / "net.h5")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no file of weights .*net.pth.*Give the path of a"):
        read_state(tmp_path / "net.pth")


@pytest.mark.parametrize("content", [[1, 2], {}, torch.ones(3), {"epoch": 3}, {"w": [1.0]}])
def test_a_file_without_a_state_is_named(saved, content):
    with pytest.raises(WeightsError, match=r"[Tt]ensors by name"):
        read_state(saved(content))
