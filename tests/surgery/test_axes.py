"""Features are found on the axis where layers put them, whatever the shape looks like."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.swin_transformer import SwinTransformer

from budwood.features.rows import RowsInMemory, RowSubset
from budwood.images.preprocessing import Preprocessing
from budwood.learning.int8_trial import pooled
from budwood.models.info import info, set_info
from budwood.models.prepared import Prepared
from budwood.surgery.axes import place_axes
from budwood.surgery.cutting import cut
from budwood.surgery.freezing import freeze, unfreeze
from budwood.surgery.recording import probe_shapes
from budwood.surgery.stages import stages_of
from budwood.surgery.tracing import trace


def swin():
    torch.manual_seed(0)
    return SwinTransformer([4, 4], 12, [1, 1], [2, 2], [2, 2], num_classes=3).eval()


def convolutions():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 1))
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)).eval()


def axes(network, size=(1, 3, 16, 24)):
    shapes = probe_shapes(trace(network), torch.zeros(size))
    names = {node: str(node.target) for node in shapes.traced.graph.nodes}
    return {names[n]: shapes.record.axes.get(n) for n in shapes.rows}


def test_maps_of_a_swin_hold_features_on_their_last_axis():
    found = axes(swin())
    assert found["features.0.0"] == 1  # a convolution
    assert found["features.0.2"] == found["features.3.0.mlp.3"] == found["norm"] == 3
    assert found["avgpool"] == found["head"] == 1


def test_maps_of_convolutions_hold_features_on_axis_one():
    assert set(axes(convolutions()).values()) == {1}


class Opaque(nn.Module):
    """Cannot be traced: it looks at values."""

    def __init__(self, last):
        super().__init__()
        self.layer, self.last = nn.Linear(3, 7) if last else nn.Conv2d(3, 7, 1), last

    def forward(self, x):
        if x.sum() < -1e9:
            return x
        return self.layer(x.permute(0, 2, 3, 1)) if self.last else self.layer(x)


@pytest.mark.parametrize(("last", "axis"), [(True, 3), (False, 1)])
def test_code_that_cannot_be_traced_is_followed_all_the_same(last, axis):
    network = nn.Sequential(Opaque(last), nn.ReLU())
    assert set(axes(network).values()) == {1, axis}
    assert axes(network)["1"] == axis


class Steps(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.conv, self.linear = nn.Conv2d(3, 8, 1), nn.Linear(8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.function(self, self.conv(x))


STEPS = {  # n 8 16 24, and where its 8 features are afterwards
    "tokens": (lambda s, x: x.flatten(2).transpose(1, 2), 2),
    "tokens before": (lambda s, x: x.flatten(2), 1),
    "class token": (
        lambda s, x: torch.cat([x.new_zeros(x.shape[0], 1, 8), x.flatten(2).mT], 1), 2),
    "attention": (lambda s, x: s.attention(*[x.flatten(2).mT] * 3)[0], 2),
    "heads": (lambda s, x: x.flatten(2).mT.unflatten(2, (2, 4)).transpose(1, 2), 3),
    "heads joined": (
        lambda s, x: x.flatten(2).mT.unflatten(2, (2, 4)).mT.mT.flatten(2), 2),
    "linear": (lambda s, x: s.linear(x.permute(0, 2, 3, 1)) + 1, 3),
    "and back": (lambda s, x: s.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), 1),
    "norm": (lambda s, x: functional.layer_norm(x.movedim(1, -1), (8,)), 3),
    "mean": (lambda s, x: x.movedim(1, -1).mean((1, 2)), 1),
    "mean that stays": (lambda s, x: x.movedim(1, -1).mean((1, 2), keepdim=True), 3),
    "rows": (lambda s, x: x.movedim(1, -1).mean(1), 2),
    "first place": (lambda s, x: x[:, :, 0], 1),
    "added axis": (lambda s, x: x.unsqueeze(1), 2),
    "squeezed": (lambda s, x: x.mean((2, 3), keepdim=True).squeeze(3), 1),
    "gated": (lambda s, x: x * x.mean((2, 3), keepdim=True).sigmoid(), 1),
    "no features": (lambda s, x: x.mean(1), None),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_each_step_says_where_the_axis_goes(name):
    function, expected = STEPS[name]
    shapes = probe_shapes(trace(Steps(function).eval()), torch.zeros(1, 3, 16, 24))
    (output,) = shapes.traced.graph.find_nodes(op="output")
    assert shapes.record.axes.get(output.args[0]) == expected


@pytest.mark.parametrize(
    ("make", "trained", "sought", "shape"),
    [
        (swin, ("features.3", "norm", "head"), "features.2", (2, 3, 24)),
        (convolutions, ("0.3", "3"), "0.2", (6, 7, 11)),
    ],
)
def test_stored_maps_are_pooled_to_their_features(make, trained, sought, shape):
    network = make()
    set_info(
        network,
        preprocessing=Preprocessing(size=(16, 24), resize=24, mean=(0.5,) * 3, std=(0.5,) * 3),
    )
    unfreeze(freeze(network, "*"), *trained)
    parts = cut(Prepared(network, info(network).preprocessing).eval())
    (tensor,) = parts.frontier
    assert tensor.shape == shape
    pixels = torch.randint(0, 256, (3, 16, 24, 3), dtype=torch.uint8)
    with torch.no_grad():
        rows = RowsInMemory(parts.trunk(pixels), (tensor.feature_axis,))
    (maps,) = rows.take(range(3))
    width = shape[-1] if make is swin else shape[0]
    found = pooled(rows)
    assert found.shape == (3, width)
    torch.testing.assert_close(found, maps.mean((1, 2) if make is swin else (2, 3)))
    torch.testing.assert_close(pooled(RowSubset(rows, [2, 0], [0])), found[[2, 0]])


def test_stages_of_a_swin_are_means_over_places_of_photos_that_are_no_squares():
    network = swin()
    normal = Preprocessing(size=(16, 24), resize=24, mean=(0.5,) * 3, std=(0.5,) * 3)
    prepared = Prepared(network, normal)
    pixels = torch.randint(0, 256, (2, 16, 24, 3), dtype=torch.uint8)
    stages = stages_of(prepared, pixels[:1])
    assert [stage.width for stage in stages.stages] == [12, 12, 24, 24]
    seen = []
    handle = network.features[1].register_forward_hook(lambda _, __, out: seen.append(out.clone()))
    with torch.no_grad():
        prepared.eval()(pixels)
        rows = stages.cut.trunk(pixels)
    handle.remove()
    torch.testing.assert_close(rows[1], seen[0].mean((1, 2)))


def test_the_rule_where_nothing_was_traced():
    assert [place_axes(dims) for dims in (2, 3, 4, 5)] == [(), (1,), (2, 3), (2, 3, 4)]
    maps = torch.arange(24.0).view(1, 2, 3, 4)
    torch.testing.assert_close(pooled(RowsInMemory((maps,))), maps.mean((2, 3)))
