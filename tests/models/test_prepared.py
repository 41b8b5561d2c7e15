import warnings

import pytest
import torch
from torch import nn

from budwood.images.preprocessing import Preprocessing
from budwood.models.prepared import Prepared, normalise

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def test_normalise_subtracts_mean_and_divides_by_std():
    preprocessing = Preprocessing(size=(1, 1), resize=1, mean=(0.5, 0.0, 1.0), std=(0.5, 1.0, 2.0))
    pixels = torch.tensor([[[[255, 51, 0]]]], dtype=torch.uint8)
    images = normalise(pixels, preprocessing)
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, torch.tensor([1.0, 0.2, -0.5]).view(1, 3, 1, 1))


class TestPrepared:
    @pytest.fixture
    def prepared(self):
        preprocessing = Preprocessing(size=(8, 8), resize=8, **IMAGENET)
        return Prepared(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()), preprocessing).eval()

    @pytest.fixture
    def pixels(self):
        return torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)

    def test_it_is_the_network_on_normalised_pixels(self, prepared, pixels):
        expected = prepared.network(normalise(pixels, prepared.preprocessing))
        assert torch.equal(prepared(pixels), expected)

    def test_torch_fx_traces_it_with_named_constants(self, prepared, pixels):
        traced = torch.fx.symbolic_trace(prepared)
        assert torch.equal(traced(pixels), prepared(pixels))
        names = {node.target for node in traced.graph.nodes if node.op == "get_attr"}
        assert names == {"mean", "std"}

    def test_jit_traces_it(self, prepared, pixels):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # jit is on its way out
            traced = torch.jit.trace(prepared, pixels)
        more = pixels.repeat(3, 1, 1, 1)
        assert torch.equal(traced(more), prepared(more))

    def test_torch_export_exports_it(self, prepared, pixels):
        exported = torch.export.export(prepared, (pixels,)).module()
        assert torch.equal(exported(pixels), prepared(pixels))

    def test_the_constants_are_no_part_of_the_state(self, prepared):
        assert set(prepared.state_dict()) == {"network.0.weight", "network.0.bias"}

    def test_grey_networks_normalise_their_one_channel(self):
        preprocessing = Preprocessing(size=(8, 8), resize=8, mean=(0.5,), std=(0.25,))
        prepared = Prepared(nn.Identity(), preprocessing)
        assert prepared(torch.zeros(1, 8, 8, 1, dtype=torch.uint8)).unique().item() == -2.0
