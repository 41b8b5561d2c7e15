"""Files that name the tensors of a network in another way."""

import pytest
import torch
from efficientnet_pytorch import EfficientNet
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from budwood.models.building import build
from budwood.models.info import info
from budwood.models.key_layouts import (
    Prefixes,
    best_layout,
    best_prefixes,
    from_efficientnet_pytorch,
    with_prefixes,
)
from budwood.models.loading import load_weights

TIMM_B0 = "timm/tf_efficientnet_b0"
DONORS = {"b0": "efficientnet-b0-355c32eb.pth", "b7": "efficientnet-b7-dcc49843.pth"}


def only(state):
    yield state


def randomise(network: nn.Module) -> nn.Module:
    """Statistics and shifts, too, so that a wrong order of tensors shows."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.ndim > 1:
                nn.init.kaiming_normal_(tensor, nonlinearity="linear")
            elif name.endswith((".running_var", ".weight")):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith((".running_mean", ".bias")):
                tensor.normal_(0, 0.1)
    return network.eval()


def paddings(network: nn.Module) -> list[object]:
    return [getattr(m, "padding", None) for n, m in network.named_modules() if "static_pad" in n]


@pytest.fixture(scope="module")
def b0(tmp_path_factory):
    """The library's own B0 at its declared size, and the file of its weights."""
    torch.manual_seed(0)
    donor = randomise(EfficientNet.from_name("efficientnet-b0"))
    file = tmp_path_factory.mktemp("b0") / DONORS["b0"]
    torch.save(donor.state_dict(), file)
    return donor, file


class TestEfficientNetPytorch:
    """The layout of the efficientnet_pytorch library."""

    @pytest.mark.parametrize("name", [TIMM_B0, "efficientnet_b0_2019"])
    def test_b0_answers_as_in_its_own_library(self, b0, name):
        donor, file = b0
        network = build(name, weights=file)
        assert info(network).receipt.is_full
        assert len(info(network).receipt.having("renamed")) == len(donor.state_dict())
        torch.manual_seed(0)
        images = torch.randn(2, 3, 224, 224)
        with torch.no_grad():
            expected = donor(images)
            assert expected.std() > 0.1
            torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)

    def test_b7_answers_as_in_its_own_library(self, tmp_path):
        # At 88 pixels every layer is padded as at the 600 that the library fixes for B7, at a
        # fiftieth of the cost; 55 blocks of random weights need double precision.
        with torch.device("meta"):
            usual = paddings(EfficientNet.from_name("efficientnet-b7"))
        torch.manual_seed(0)
        donor = randomise(EfficientNet.from_name("efficientnet-b7", image_size=88))
        assert any(usual)
        assert paddings(donor) == usual
        torch.save(donor.state_dict(), tmp_path / DONORS["b7"])
        network = build("efficientnet_b7_2019", weights="none", device="meta").to_empty(
            device="cpu"
        )
        receipt = load_weights(network, tmp_path / DONORS["b7"])
        assert (receipt.is_full, receipt.share) == (True, 1.0)
        assert len(receipt.lines) == len(donor.state_dict())
        images = torch.randn(1, 3, 88, 88, dtype=torch.float64)
        with torch.no_grad():
            expected = donor.double()(images)
            torch.testing.assert_close(network.double()(images), expected, rtol=1e-9, atol=1e-9)

    def test_timms_b7_has_every_tensor(self):
        with torch.device("meta"):
            donor = EfficientNet.from_name("efficientnet-b7").state_dict()
        network = build("timm/tf_efficientnet_b7", weights="none", device="meta")
        layout = best_layout(network, donor, only)
        assert shapes(layout.state) == shapes(network.state_dict())

    @pytest.mark.parametrize("size", ["b1", "b3", "b5", "b8"])
    def test_every_size_has_its_stages(self, size):
        with torch.device("meta"):
            donor = EfficientNet.from_name(f"efficientnet-{size}").state_dict()
        network = build(f"efficientnet_{size}_2019", weights="none", device="meta")
        assert shapes(from_efficientnet_pytorch(donor)) == shapes(network.state_dict())

    def test_inside_wrappers_on_both_sides(self, b0, tmp_path):
        donor, _ = b0
        state = {f"model.{name}": tensor for name, tensor in donor.state_dict().items()}
        torch.save(state | {"fc1.weight": torch.ones(5, 7)}, tmp_path / "course.pth")
        network = nn.ModuleDict({"body": build("efficientnet_b0_2019", weights="none")})
        receipt = load_weights(network, tmp_path / "course.pth")
        assert receipt.is_full
        assert [line.name for line in receipt.having("unexpected")] == ["fc1.weight"]
        line = next(each for each in receipt.lines if each.name == "body.classifier.bias")
        assert line.source == "model._fc.bias"
        assert torch.equal(network["body"].classifier.bias, donor._fc.bias)

    def test_other_files_are_none_of_it(self):
        assert from_efficientnet_pytorch(nn.Conv2d(1, 1, 1).state_dict()) is None

    def test_tensors_without_a_counterpart_keep_their_names(self):
        state = {
            "_conv_stem.weight": torch.ones(1),
            "_blocks.0._new.weight": torch.ones(1),
            "_blocks.1._bn2.bias": torch.ones(1),
            "other": torch.ones(1),
        }
        assert list(from_efficientnet_pytorch(state)) == ["conv_stem.weight", *list(state)[1:]]


def shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def test_the_names_as_they_are_come_first():
    network = nn.Sequential(nn.Linear(2, 2))
    state = {"0.weight": torch.ones(2, 2), "0.bias": torch.ones(2), "a.0.bias": torch.zeros(2)}
    assert best_layout(network, state, only).state == state


def test_a_converter_of_the_library_is_used_where_names_do_not_fit():
    network = nn.Sequential(nn.Linear(2, 2, bias=False))

    def convert(state):
        yield state
        yield {"0.weight": state["old.weight"].T}

    layout = best_layout(network, {"old.weight": torch.tensor([[1.0, 2], [3, 4]])}, convert)
    assert layout.state["0.weight"].tolist() == [[1, 3], [2, 4]]


def test_a_converter_is_tried_under_other_prefixes_too():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    state = {
        "backbone.0.weight": torch.ones(2, 2),
        "backbone.0.bias": torch.ones(2),
        "backbone.old.weight": torch.ones(2, 2),
    }

    def convert(state):
        yield {name.replace("old", "1"): tensor for name, tensor in state.items()}

    assert best_layout(network, state, convert).state.keys() == network.state_dict().keys()


def test_two_networks_in_one_file_are_told():
    network = nn.Linear(2, 2)
    state = {f"{who}.{name}": t for who in "qk" for name, t in network.state_dict().items()}
    layout = best_layout(network, state, only)
    assert layout.state["weight"] is state["q.weight"]
    assert layout.notes == (
        "The file holds this network more than once: what begins with 'q.' was taken, not 'k.'.",
    )


def test_heads_of_another_size_do_not_send_it_on():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    state = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 7)).state_dict()

    def convert(state):
        yield state
        raise AssertionError

    assert best_layout(network, state, convert, ("1.",)).state == state


NETWORK = nn.Sequential(
    nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8))
)
STATE = NETWORK.state_dict()
SHAPES = {name: tuple(tensor.shape) for name, tensor in STATE.items()}

words = st.lists(st.sampled_from(["backbone", "encoder", "body", "model"]), max_size=3)


def under(words, state):
    return {".".join([*words, name]): tensor for name, tensor in state.items()}


@given(words, words)
def test_any_two_wrappers_are_seen_through(around_file, around_network):
    own = under(around_network, SHAPES)
    state = under(around_file, STATE) | {"queue": torch.ones(2, 2)}
    best = best_prefixes(own, state)
    moved = with_prefixes(own, state, best[0])
    assert len(moved) == len(state)
    assert own.keys() <= moved.keys()
    assert all(moved[".".join([*around_network, name])] is STATE[name] for name in STATE)


def test_two_networks_in_one_file_tie_in_its_order():
    state = {f"{who}.{name}": STATE[name] for who in ("student", "teacher") for name in STATE}
    assert best_prefixes(SHAPES, state) == [Prefixes("student.", ""), Prefixes("teacher.", "")]


def test_nothing_in_common_has_no_prefixes():
    assert best_prefixes(SHAPES, {"queue": torch.ones(2, 2)}) == []
    assert best_prefixes(SHAPES, {}) == []


def test_what_has_its_counterpart_stays_where_it_is():
    own = {"model.conv.weight": (2, 3), "fc.weight": (5, 2)}
    state = {"conv.weight": torch.ones(2, 3), "fc.weight": torch.ones(5, 2)}
    moved = with_prefixes(own, state, Prefixes("", "model."))
    assert moved.keys() == own.keys()


def test_two_tensors_never_get_one_name():
    own = {"conv.weight": (2, 3), "fc.weight": (5, 2)}
    state = {
        "backbone.conv.weight": torch.ones(2, 3),
        "backbone.fc.weight": torch.ones(1000, 2),
        "fc.weight": torch.ones(5, 2),
    }
    moved = with_prefixes(own, state, Prefixes("backbone.", ""))
    assert {name: len(tensor) for name, tensor in moved.items()} == {
        "fc.weight": 5,
        "conv.weight": 2,
        "backbone.fc.weight": 1000,
    }
