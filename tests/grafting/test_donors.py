"""Pieces of networks: what they hold, what enters them, and what cannot be taken."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from budwood.errors import CutError, UnknownName
from budwood.grafting.donors import take
from budwood.models.building import build


@pytest.fixture(scope="module")
def resnet():
    return build("resnet18", weights="none", device="meta")


@pytest.fixture(scope="module")
def googlenet():
    return build("googlenet", weights="none", device="meta")


def test_a_range_holds_what_lies_between_its_ends(resnet):
    piece = take(resnet, "conv1", "layer2")
    assert piece.paths == ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2")
    assert (piece.takes, piece.gives) == ((3, 224, 224), (128, 28, 28))
    assert piece.begins_with_the_image


def test_open_ends_reach_to_the_photo_and_the_output(resnet):
    piece = take(resnet)
    assert (piece.first, piece.last) == ("conv1", "fc")
    assert (piece.takes, piece.gives) == ((3, 224, 224), (1000,))
    assert take(resnet, "", "maxpool").first == "conv1"
    assert take(resnet, "layer4").last == "fc"


def test_the_functional_steps_before_a_layer_come_with_it(resnet, googlenet):
    assert [node.name for node in take(resnet, "fc").nodes] == ["flatten", "fc"]
    assert take(resnet, "fc").takes == (512, 1, 1)
    rescaled = take(googlenet, "conv1", "conv1")
    assert rescaled.begins_with_the_image
    assert len(rescaled.nodes) > 10  # transform_input


def test_the_functional_steps_after_the_last_layer_come_with_it():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

        def forward(self, x):
            return F.relu(self.last(F.relu(self.body(x)))).mean((2, 3))

    piece = take(Net(), "last", "last")
    assert [node.name for node in piece.nodes] == ["relu", "last", "relu_1", "mean"]
    assert piece.gives == (2,)


def test_a_step_in_place_whose_result_has_no_name_comes_with_it():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

        def forward(self, x):
            x = self.body(x)
            F.relu_(x)
            return self.last(x)

    network, image = Net(), torch.randn(1, 3, 9, 9)
    piece = take(network, "body", "last")
    assert [node.name for node in piece.nodes] == ["body", "relu_", "last"]
    assert torch.equal(piece.module()(image), network(image))


def test_a_block_ends_with_all_that_it_does(resnet):
    names = [node.name for node in take(resnet, "layer1.0.conv1", "layer1.0").nodes]
    assert names[-2:] == ["iadd", "layer1_0_relu_1"]


def test_dropout_called_as_a_function_becomes_a_layer():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Flatten(), nn.Linear(3 * 224 * 224, 2)

        def forward(self, x):
            return self.b(F.dropout(self.a(x), 0.25, self.training))

    module = take(Net().eval(), "b", "b").module()
    (dropout,) = [m for m in module.modules() if isinstance(m, nn.Dropout)]
    assert dropout.p == 0.25
    x = torch.ones(1, 3 * 224 * 224)
    assert torch.equal(module.eval()(x), module(x))
    assert not torch.equal(module.train()(x), module(x))


def test_the_network_stays_in_its_mode(resnet):
    take(resnet, "layer1", "layer2")
    assert not any(module.training for module in resnet.modules())


def test_a_piece_is_a_module_of_its_own(resnet):
    module = take(resnet, "layer3", "layer4").module().eval()
    assert module(torch.empty(2, 128, 28, 28, device="meta")).shape == (2, 512, 7, 7)


def test_attention_is_entered_as_tokens():
    vit = build("vit_b_16", weights="none", device="meta")
    assert take(vit, "encoder").takes == (197, 768)


@pytest.mark.parametrize(
    ("first", "last", "error", "message"),
    [
        ("layr4", "", UnknownName, r"ResNet has no layer 'layr4'. Did you mean 'layer4'\?"),
        ("@", "", UnknownName, "has no layer '@'. Its top-level layers are conv1, bn1"),
        ("layer2", "layer1", CutError, r"wrong order: layer1 comes before.* Write layer1..layer2"),
        ("layer1.0.bn1", "layer2", CutError, "needs more than one tensor: a shortcut goes around"),
        ("layer1.0.relu", "layer2", CutError, "'layer1.0.relu' runs 2 times.* Take the block"),
    ],
)
def test_what_cannot_be_taken(resnet, first, last, error, message):
    with pytest.raises(error, match=message):
        take(resnet, first, last)


def test_branches_side_by_side_are_no_range(googlenet):
    with pytest.raises(CutError, match=r"they lie on branches side by side"):
        take(googlenet, "inception3a.branch1", "inception3a.branch2")


def test_a_layer_that_does_not_run_cannot_be_taken():
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    network[0].unused = nn.ReLU()
    with pytest.raises(CutError, match=r"'0.unused' does not run when a photo passes"):
        take(network, "0.unused", "")


def test_several_answers_have_no_end():
    network = build("googlenet", weights="none", device="meta", aux_heads=True)
    with pytest.raises(CutError, match=r"gives back more than one tensor.*without auxiliary heads"):
        take(network, "inception5a")


def test_a_network_that_cannot_be_traced_is_refused():
    class Net(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(CutError, match=r"The code of Net cannot be traced"):
        take(Net())


def test_inside_of_what_cannot_be_traced_nothing_can_be_taken():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.conv(x) if x.sum() > 0 else -x

    network = nn.Sequential(Inner(), nn.ReLU())
    with pytest.raises(CutError, match=r"0.conv cannot be taken out of 0, .* Take 0 as a whole"):
        take(network, "0.conv", "1")
    assert take(network, "0", "1").paths == ("0", "1")


def test_a_network_that_cannot_take_its_photos_is_told():
    network = nn.Sequential(nn.Conv2d(1, 3, 3))
    with pytest.raises(CutError, match=r"Sequential cannot be run on an input of 3x224x224: Given"):
        take(network)
