"""Grafts: made of donors' layers and new ones; frozen, saved and copied as any other network."""

import copy
import json

import pytest
import torch
from torch import nn

from budwood.errors import ConfigError, CutError, UnknownName, WeightsError
from budwood.grafting.donors import take
from budwood.grafting.graft_recipes import DonorLayers
from budwood.grafting.grafted import graft, regraft
from budwood.grafting.new_layers import NewLayer
from budwood.inspection.summarizing import summarize
from budwood.models.building import build
from budwood.models.heads import replace_head
from budwood.models.info import Origin, info
from budwood.surgery.cutting import cut

END = (
    NewLayer(type="AdaptiveAvgPool2d", options={"output_size": 1}),
    NewLayer(type="Flatten"),
    NewLayer(type="Linear", options={"out_features": "classes"}),
)
TWO_DONORS = ("resnet18.conv1..layer2", "googlenet.inception4a..inception5b", *END)


def meta(layers, **options):
    return graft(layers, weights="none", device="meta", **options)


@pytest.fixture(scope="module")
def two_donors():
    return graft(TWO_DONORS, classes=["a", "b"], adapt=True, weights="none")


def trainable(network):
    return [name for name, parameter in network.named_parameters() if parameter.requires_grad]


def test_two_donors_with_an_adapter(two_donors):
    x = torch.rand(2, 3, 224, 224)
    assert two_donors(x).shape == (2, 2)
    assert trainable(two_donors) == [
        "adapter1.weight",
        "adapter1.bias",
        "linear1.weight",
        "linear1.bias",
    ]
    assert info(two_donors).notes == (
        "resnet18.layer2 gives 128x28x28 and googlenet.inception4a takes 480x14x14: adapter1 is a "
        "1x1 convolution from 128 to 480 channels between them.",
    )


def test_without_an_adapter_the_error_names_both_layers_and_shapes():
    with pytest.raises(CutError, match=r"layer2 gives 128x28x28, .*inception4a takes 480x14x14"):
        meta(TWO_DONORS, classes=2)


def test_layers_of_donors_are_the_donors(two_donors):
    donor = build("resnet18", weights="none", seed=0)
    assert torch.equal(two_donors.get_parameter("resnet18.conv1.weight"), donor.conv1.weight)


def test_a_layer_that_comes_alone_stands_at_the_top():
    net = meta([nn.Conv2d(1, 3, 3), "vgg16.features.0", "vgg16.features.2"], input=(1, 32, 32))
    assert [name for name, _ in net.named_children()] == [
        "conv1",
        "vgg16_features_0",
        "vgg16_features_2",
    ]


def test_a_layer_taken_twice_is_two_layers():
    net = graft(["resnet18.layer1", "resnet18.layer1"], input=(64, 8, 8), weights="none")
    first, second = net.get_submodule("resnet18_layer1"), net.get_submodule("resnet18_layer1_2")
    assert first[0].conv1.weight is not second[0].conv1.weight
    assert torch.equal(first[0].conv1.weight, second[0].conv1.weight)


def test_a_donor_can_stay_trainable():
    layers = [DonorLayers.named("resnet18.conv1..layer1", frozen=False), *END]
    assert "resnet18.conv1.weight" in trainable(meta(layers, classes=2))


def test_a_piece_of_ones_own_network_is_copied_as_it_is():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    network[0].weight.requires_grad_(False)
    net = graft([take(network, "0", "1"), nn.Flatten(), nn.Linear(36, 2)], input=(3, 5, 5))
    assert trainable(net) == [
        "sequential.0.bias",
        "sequential.1.weight",
        "sequential.1.bias",
        "linear1.weight",
        "linear1.bias",
    ]
    copied = net.get_submodule("sequential.0")
    assert torch.equal(copied.weight, network[0].weight)
    assert copied.weight is not network[0].weight


def test_same_seed_same_weights():
    one, other, third = (
        graft([nn.Flatten(), *END[2:]], input=(3, 2, 2), classes=2, seed=seed).state_dict()
        for seed in (0, 0, 1)
    )
    assert torch.equal(one["linear1.weight"], other["linear1.weight"])
    assert not torch.equal(one["linear1.weight"], third["linear1.weight"])


def test_the_global_random_state_is_not_touched():
    before = torch.get_rng_state()
    graft(["resnet18.conv1", *END], classes=2, weights="none")
    assert torch.equal(before, torch.get_rng_state())


# Photos


def test_the_donor_that_sees_the_photo_says_how_it_is_prepared():
    net = meta(["efficientnet_lite0.conv_stem..bn1", *END], classes=2)
    donor = build("efficientnet_lite0", weights="none", device="meta")
    assert info(net).preprocessing == info(donor).preprocessing
    smaller = meta(["resnet18.conv1", *END], classes=2, input=(3, 96, 96))
    assert info(smaller).preprocessing.size == (96, 96)


def test_grey_photos_get_the_average_of_the_colours():
    net = meta([nn.Conv2d(1, 3, 3), "vgg16.features.0"], input=(1, 224, 224))
    assert info(net).preprocessing.mean == (0.449,)
    assert info(net).preprocessing.std == (0.226,)
    (note,) = info(net).notes
    assert "vgg16.features.0 was trained on photos" in note
    assert "conv1 feeds it, so that normalisation plays no part" in note


def test_normalisations_that_contradict_are_told():
    net = meta(
        ["resnet18.conv1..layer1", "efficientnet_lite0.blocks.1", *END], classes=2, adapt=True
    )
    assert any(
        "efficientnet_lite0.blocks.1 was trained on photos with mean" in n for n in info(net).notes
    )


# What takes a graft


def test_a_graft_is_an_ordinary_module(two_donors):
    twin = copy.deepcopy(two_donors)
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(twin(x), two_donors(x))
    assert info(twin).origin == info(two_donors).origin
    assert info(twin).preprocessing == info(two_donors).preprocessing
    assert two_donors.train().resnet18.bn1.training is False
    two_donors.eval()


def test_the_cut_takes_a_graft(two_donors):
    parts = cut(two_donors)
    (tensor,) = parts.frontier
    assert tensor.shape == (128, 28, 28)
    x = torch.rand(2, 3, 224, 224)
    assert torch.equal(parts.graft(parts.trunk(x)), two_donors(x))


def test_the_summary_takes_a_graft(two_donors):
    rows = {row.name: row for row in summarize(two_donors).rows}
    assert rows["googlenet.inception4a"].output == (1, 512, 28, 28)
    assert rows["resnet18.layer1"].state == "frozen"


def test_a_graft_is_made_again_from_its_origin(two_donors):
    origin = Origin.from_json(json.loads(json.dumps(info(two_donors).origin.to_json())))
    again = regraft(origin)
    again.load_state_dict(two_donors.state_dict())
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(again.eval()(x), two_donors(x))
    assert info(again).origin == origin


def test_a_new_head_is_made_again(two_donors):
    net = replace_head(copy.deepcopy(two_donors), ["a", "b", "c"], "mlp:8")
    again = regraft(Origin.from_json(info(net).origin.to_json()))
    assert [tuple(t.shape) for t in again.state_dict().values()] == [
        tuple(t.shape) for t in net.state_dict().values()
    ]


def test_modules_that_can_be_described_are_made_again():
    net = graft([nn.Conv2d(3, 4, 3, stride=2), nn.Flatten(), nn.Linear(16, 2)], input=(3, 5, 5))
    again = regraft(info(net).origin)
    assert repr(again.conv1) == repr(net.conv1)
    assert info(net).origin.weights == "new"


def test_a_module_of_ones_own_leaves_no_origin():
    class Own(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    assert info(graft([Own()], input=(3, 5, 5))).origin is None


def test_what_is_no_graft_cannot_be_grafted_again():
    origin = Origin(architecture="torchvision/resnet18", weights="none", num_classes=2)
    with pytest.raises(ConfigError, match=r"torchvision/resnet18 is no graft"):
        regraft(origin)


def test_grafts_of_several_sources_say_all_of_them(two_donors):
    assert info(two_donors).origin.weights == "none"
    layers = ["efficientnet_lite0.conv_stem", DonorLayers.named("resnet18.layer1", weights="none")]
    net = graft([*layers, *END], classes=2, adapt=True)
    assert (
        info(net).origin.weights
        == "packaged/efficientnet_lite0 packaged, torchvision/resnet18 none"
    )


# Errors


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (["vgg61.features.0"], UnknownName, "No architecture is called 'vgg61'. Did you mean 'vgg"),
        (["resnet18.layer9"], UnknownName, "no layer 'layer9'. Did you mean 'layer"),
        (["resnet18.layer2..layer1"], CutError, "wrong order: layer1 comes before layer2"),
        ([], ConfigError, "A graft of no layers"),
        (
            [nn.LazyLinear(2)],
            ConfigError,
            r"LazyLinear has no size yet. Use NewLayer\(type='Linear'",
        ),
        (
            [NewLayer(type="ReLU", name="a"), NewLayer(type="ReLU", name="a")],
            ConfigError,
            "cannot be called 'a': it is taken",
        ),
        ([NewLayer(type="ReLU", name="a.b")], ConfigError, "it needs a name without dots"),
    ],
)
def test_wrong_grafts_are_told(layers, error, message):
    with pytest.raises(error, match=message):
        meta(layers, input=(3, 64, 64))


def test_a_graft_must_end_in_one_number_a_class():
    head = NewLayer(type="Linear", name="fc", options={"out_features": 2})
    with pytest.raises(CutError, match=r"ends in fc, which gives 2 numbers a photo, .* 5 classes"):
        meta(["resnet18.conv1", *END[:2], head], classes=5)
    with pytest.raises(CutError, match=r"ends in resnet18.conv1, which gives maps of 64x112x112 a"):
        meta(["resnet18.conv1"], classes=5)


def test_weights_of_several_donors_cannot_be_one_file(tmp_path):
    with pytest.raises(ConfigError, match=r"for one network, and this graft has 2 donors"):
        graft(TWO_DONORS, classes=2, adapt=True, weights=tmp_path / "a.pth", device="meta")


def test_a_missing_file_of_weights_is_told(tmp_path):
    with pytest.raises(WeightsError, match=r"There is no file of weights"):
        graft(["resnet18.conv1", *END], classes=2, weights=tmp_path / "a.pth")


def test_nothing_is_downloaded_before_the_plan_holds():
    # Sockets are blocked: with weights to download the misfit is still the first error.
    with pytest.raises(CutError, match=r"does not fit"):
        graft(TWO_DONORS, classes=2)
