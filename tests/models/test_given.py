"""Networks that are built for a file: what of it is loaded, and what stays new."""

import copy

import pytest
import torch
from torchvision.models import get_model

from budwood.models.building import build
from budwood.models.heads import replace_head
from budwood.models.info import info

NAMES = ("cat", "dog", "emu")


@pytest.fixture
def saved(tmp_path):
    """Saves anything by torch.save and gives its path."""

    def save(content, name="net.pth"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def names_of(network, status) -> list[str]:
    return [line.name for line in info(network).receipt.having(status)]


def test_what_a_file_lacks_is_random_and_told(saved):
    state = get_model("resnet18").state_dict()
    for name in ("layer4.1.conv2.weight", "fc.weight", "fc.bias"):
        del state[name]
    one, other = (build("resnet18", weights=saved(state), seed=seed) for seed in (1, 2))
    assert names_of(one, "missing") == [
        "layer4.1.conv2.weight",
        "fc.weight",
        "fc.bias",
    ]
    assert one.layer4[1].conv2.weight.std() > 0.01
    assert not torch.equal(one.fc.weight, other.fc.weight)
    assert torch.equal(one.conv1.weight, state["conv1.weight"])


def test_a_new_head_is_told(saved):
    network = build("resnet18", weights=saved(get_model("resnet18").state_dict()), classes=5)
    assert str(info(network).receipt).endswith(
        "2 differ in shape: fc.weight [1000, 512] in the file, [5, 512] here, "
        "fc.bias [1000] in the file, [5] here"
    )


def test_a_new_head_of_the_same_size_stays_new(saved):
    donor = get_model("resnet18", num_classes=3)
    network = build("resnet18", weights=saved(donor.state_dict()), classes=NAMES)
    assert names_of(network, "other classes") == ["fc.weight", "fc.bias"]
    assert not torch.equal(network.fc.weight, donor.fc.weight)


def test_a_new_linear_head_takes_over_rows_by_name(saved):
    donor = get_model("resnet18", num_classes=3)
    path = saved({"model": donor.state_dict(), "classes": NAMES})
    network = build("resnet18", weights=path, classes=["emu", "owl"])
    fresh = build("resnet18", weights="none", classes=["emu", "owl"]).fc
    assert torch.equal(network.fc.weight[0], donor.fc.weight[2])
    assert torch.equal(network.fc.weight[1], fresh.weight[1])
    assert info(network).receipt.having("by name")[0].rows == (1, 2)


def test_a_deeper_head_stays_new(saved):
    donor = build("resnet18", weights="none", classes=NAMES, head="mlp:8", seed=1)
    path = saved({"model": donor.state_dict(), "classes": NAMES})
    network = build("resnet18", weights=path, classes=NAMES, head="mlp:8")
    assert same(
        network.fc.state_dict(),
        build("resnet18", weights="none", classes=NAMES, head="mlp:8").fc.state_dict(),
    )
    assert len(names_of(network, "other classes")) == 4


def test_a_head_larger_than_the_network_is_no_lack_of_the_file(saved):
    path = saved(build("squeezenet1_1", weights="none").state_dict())
    network = build("squeezenet1_1", weights=path, classes=2, head="mlp:4096,4096")
    assert info(network).receipt.share < 0.1


def test_published_weights_have_no_receipt():
    assert info(build("resnet18", weights="none", device="meta")).receipt is None
    assert info(build("efficientnet_lite0")).receipt is None


def test_a_receipt_survives_copies_and_new_heads(saved):
    network = build("squeezenet1_1", weights=saved(get_model("squeezenet1_1").state_dict()))
    again = replace_head(copy.deepcopy(network), 3)
    assert info(again).receipt == info(network).receipt
