"""A network knows whose weights it has, and how photos are prepared for them."""

import pytest
import torch
from torchvision.models import get_model

from budwood.models.building import build, rebuild
from budwood.models.info import info, preprocessing_of, set_info
from budwood.models.loading import load_weights
from budwood.models.sources import source


@pytest.fixture
def saved(tmp_path):
    """Saves a state by torch.save and gives its path."""

    def save(state, name):
        torch.save(state, tmp_path / name)
        return tmp_path / name

    return save


def hollow(network):
    """A state of the right shapes: one number each, seen as many times as it takes."""
    return {
        name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)
        for name, tensor in network.state_dict().items()
    }


def names_of(receipt, status) -> list[str]:
    return [line.name for line in receipt.having(status)]


def test_published_weights_by_name(saved, monkeypatch):
    donor = get_model("resnet50")
    path = saved(donor.state_dict(), "resnet50-0676ba61.pth")
    asked = []
    monkeypatch.setattr(source("torchvision"), "file", lambda *given: asked.append(given) or path)
    network = build("resnet50", weights="none", classes=2)
    assert preprocessing_of(network).resize == 232
    progress = print
    receipt = load_weights(network, "IMAGENET1K_V1", on_progress=progress)
    assert asked == [("resnet50", "IMAGENET1K_V1", progress)]
    assert names_of(receipt, "shape differs") == ["fc.weight", "fc.bias"]
    assert torch.equal(network.conv1.weight, donor.conv1.weight)
    assert info(network).origin.weights == "IMAGENET1K_V1"
    assert preprocessing_of(network).resize == 256
    assert preprocessing_of(rebuild(info(network).origin)).resize == 256


def test_an_unknown_file_says_nothing_of_the_preprocessing(saved):
    network = build("resnet18", weights="none", device="meta")
    before = preprocessing_of(network)
    load_weights(network, saved(get_model("resnet18").state_dict(), "mine.pth"))
    assert info(network).origin.weights == "file:mine.pth"
    assert preprocessing_of(network) == before


def test_a_preprocessing_of_ones_own_is_kept(saved):
    network = build("resnet50", weights="none", device="meta")
    own = preprocessing_of(network).at_size(128)
    set_info(network, preprocessing=own)
    receipt = load_weights(network, saved(hollow(network), "resnet50-0676ba61.pth"))
    assert preprocessing_of(network) == own
    assert "trained on photos prepared otherwise: shorter side to 256" in receipt.notes[0]


def test_a_structure_for_photos_of_another_size_keeps_its_origin(saved):
    network = build("vit_b_16", weights="none", device="meta")
    large = build("vit_b_16", weights="IMAGENET1K_SWAG_E2E_V1", device="meta")
    receipt = load_weights(network, saved(hollow(large), "vit_b_16_swag-9ac1b537.pth"))
    assert names_of(receipt, "shape differs") == ["encoder.pos_embedding"]
    assert info(network).origin.weights == "none"
