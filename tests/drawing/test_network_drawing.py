"""A drawing shows every parameter once, follows what is frozen, and says what it cannot show."""

import copy
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from budwood.drawing.blocks import BlockFrame, folded
from budwood.drawing.network_drawing import Drawing, blocks_in, draw
from budwood.errors import ConfigError, CutError
from budwood.grafting.grafted import graft
from budwood.inspection.summarizing import summarize
from budwood.models.building import build
from budwood.models.info import set_info
from budwood.surgery.freezing import freeze, unfreeze

SVG = "{http://www.w3.org/2000/svg}"
ARCHITECTURES = [
    "alexnet",
    "vgg16",
    "googlenet",
    "resnet18",
    "resnet152",
    "efficientnet_b0",
    "densenet",
    "vit_b_16",
    "timm:convnext_atto",
    "timm:tf_efficientnet_lite0",
]


def small():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))


def groups(drawing):
    """What belongs together in a picture: its rectangle's class, and its texts."""
    root = ElementTree.fromstring(drawing.svg)
    for group in root.iter(f"{SVG}g"):
        texts = [text.text for text in group.iter(f"{SVG}text")]
        yield group.find(f"{SVG}rect").get("class"), texts


def state_of(drawing, title):
    (found,) = [name for name, texts in groups(drawing) if title in texts]
    return found.removeprefix("box ")


def words(drawing):
    root = ElementTree.fromstring(drawing.svg)
    return [text.text for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_parameter_is_drawn_once(blocks, hollow, name):
    total = sum(parameter.numel() for parameter in hollow(name).parameters())
    whole = blocks(name)
    assert whole.parameters == total
    assert folded(whole).parameters == total


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16"])
def test_every_layer_with_parameters_is_drawn_once(blocks, hollow, name):
    def drawn(block):
        for part in block.parts:
            yield from drawn(part) if isinstance(part, BlockFrame) else [part.about]

    said = "; ".join(drawn(blocks(name)))
    for path, module in hollow(name).named_modules():
        if list(module.parameters(recurse=False)) and not list(module.children()):
            assert len(re.findall(rf"(?<![\w.]){re.escape(path)}: ", said)) == (
                0 if "self_attention." in path else 1
            ), path


def test_the_totals_are_those_of_the_table(hollow):
    network = freeze(hollow("resnet18"), "layer1")
    summary = summarize(network)
    first, second = words(draw(network))[1:3]
    assert first == "ResNet: 3 x 224 x 224 to 1000, 1.81 G multiply-adds a photo"
    assert f"{summary.macs / 1e9:.2f} G" in first
    assert second == (
        f"11,689,512 parameters, of these trainable {summary.trainable:,} "
        f"({100 * summary.trainable_share:.2f} %)"
    )


def test_colours_follow_what_is_frozen(hollow):
    network = unfreeze(freeze(hollow("resnet18"), "*"), "fc")
    states = [name for name, _ in groups(draw(network, fold=False)) if name.startswith("box ")]
    assert states.count("box trainable") == 1
    assert states.count("box frozen") == 20
    assert "box partly" not in states
    assert state_of(draw(network), "linear 1000") == "trainable"
    assert state_of(draw(network), "max pool 3x3, /2") == "none"


def test_the_legend_names_what_is_there_and_nothing_else(hollow):
    everything = words(draw(unfreeze(freeze(hollow("resnet18"), "*"), "fc")))
    for entry in ("frozen", "trainable", "no parameters", "identity shortcut"):
        assert entry in everything
    plain = words(draw(small(), (3, 5, 5)))
    assert "trainable" in plain
    assert not {"frozen", "frozen in part", "identity shortcut"} & set(plain)


def test_a_layer_that_is_frozen_in_part_has_a_colour_of_its_own():
    network = freeze(small(), "0.bias")
    assert state_of(draw(network, (3, 5, 5)), "conv 3x3, 8") == "partly"


def test_blocks_frozen_differently_are_not_drawn_as_one(hollow):
    network = hollow("resnet34")
    assert "x 5" in words(draw(network))
    freeze(network, "layer3.3")
    there = words(draw(network))
    assert {"layer3.1 ... 2", "layer3.3", "layer3.4 ... 5"} <= set(there)
    assert "x 5" not in there


def test_without_folding_everything_is_there(hollow):
    there = words(draw(hollow("resnet18"), fold=False))
    assert "layer1.1" in there
    assert not [word for word in there if word.startswith("x ")]


def test_auxiliary_heads_are_drawn_in_train_mode_only():
    network = build("googlenet", weights="none", device="meta", aux_heads=True)
    there = words(draw(network))
    assert "aux1" not in there
    assert "Not drawn, as it does not run in eval mode: aux1, aux2 (6,379,984)" in there
    there = words(draw(network.train()))
    assert {"aux1", "aux2", "logits  1000", "aux_logits1  1000"} <= set(there)
    assert not [word for word in there if word.startswith("Not drawn")]


def test_the_usual_input_is_that_of_the_preprocessing():
    network = nn.Conv2d(1, 4, 3)
    set_info(network, preprocessing=SimpleNamespace(size=(9, 7), mean=(0.5,)))
    assert "input  1 x 9 x 7" in words(draw(network))


def test_the_title_is_the_architecture():
    network = build("resnet18", weights="none", device="meta")
    assert words(draw(network))[0] == "torchvision/resnet18"
    assert words(draw(small(), (3, 5, 5)))[0] == "Sequential"


def test_a_graft_is_drawn_with_its_donors():
    layers = ["resnet18.conv1..layer1", nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 5)]
    drawing = draw(graft(layers, weights="none", device="meta"))
    assert {"resnet18", "BasicBlock", "x 2", "linear 5"} <= set(words(drawing))
    assert state_of(drawing, "conv 7x7, 64, /2") == "frozen"
    assert state_of(drawing, "linear 5") == "trainable"


def test_what_is_written_is_escaped():
    class Odd(nn.Sequential):
        def __init__(self):
            super().__init__()
            self.add_module("<a&b>", nn.Conv2d(3, 4, 1))

    drawing = draw(Odd(), (3, 5, 5), title='<script> & "quotes"')
    assert words(drawing)[0] == '<script> & "quotes"'
    assert "<a&b>" in words(drawing)
    assert "<script>" not in drawing.svg


def test_the_network_stays_as_it_was():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout()).train()
    freeze(network, "0")
    before = copy.deepcopy(network)
    torch.manual_seed(3)
    random_state = torch.get_rng_state()
    draw(network, (3, 5, 5))
    assert torch.equal(torch.get_rng_state(), random_state)
    for ours, theirs in zip(network.modules(), before.modules(), strict=True):
        assert ours.training == theirs.training
        assert vars(ours).keys() == vars(theirs).keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before.state_dict()[name])


def test_the_same_network_gives_the_same_picture(hollow):
    assert draw(hollow("resnet18")) == draw(hollow("resnet18"))


def test_a_notebook_shows_the_picture():
    drawing = draw(small(), (3, 5, 5))
    assert drawing._repr_svg_() == drawing.svg


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    drawing, file = draw(small(), (3, 5, 5), title="网络"), tmp_path / "net.svg"
    drawing.save(file)
    assert file.read_text(encoding="utf-8") == drawing.svg

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Drawing("<svg/>").save(str(file))
    assert file.read_text(encoding="utf-8") == drawing.svg
    assert list(tmp_path.iterdir()) == [file]


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        x = self.layer(x)
        return x if x.sum() > 0 else -x


def test_code_that_cannot_be_traced_is_an_error_with_its_reason():
    with pytest.raises(
        CutError, match=r"Branching cannot be drawn: .*control flow\)\. `budwood inspect` without"
    ):
        draw(Branching(), (3, 5, 5))


def test_a_block_that_cannot_be_traced_is_one_box():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), Branching(), nn.Conv2d(3, 4, 1))
    whole = blocks_in(network, (3, 5, 5))
    assert [part.title for part in whole.parts[1:4]] == ["conv 1x1, 3", "Branching", "conv 1x1, 4"]
    assert whole.parameters == 12 + 12 + 16


def test_parts_of_an_input_that_are_read_after_being_overwritten_are_an_error():
    class Overwriting(nn.Module):
        def forward(self, x):
            half = x[:, :1]
            half.add_(1)
            return x * 2

    with pytest.raises(CutError, match=r"cannot be drawn.*overwrites a part of"):
        draw(Overwriting(), (3, 5, 5))


def test_an_output_without_an_input_is_an_error():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.answer = nn.Parameter(torch.ones(2))

        def forward(self, x):
            return self.answer

    with pytest.raises(CutError, match=r"does not depend on its input.*uses the photo"):
        draw(Constant(), (3, 5, 5))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_an_input_of_the_wrong_size_is_an_error(device):
    with pytest.raises(CutError, match=r"cannot be run on an input of shape \(1, 3, 9, 9\): .*392"):
        draw(small().to(device), (3, 9, 9))


def test_an_input_that_is_no_photo_is_an_error():
    with pytest.raises(ConfigError, match=r"\(3, 0, 9\) is no photo.*Give channels, height"):
        draw(small(), (3, 0, 9))


def test_layers_whose_size_is_not_known_are_an_error():
    with pytest.raises(
        ConfigError, match=r"size of '0\.weight' is not known.*once on a real batch"
    ):
        draw(nn.Sequential(nn.LazyConv2d(3, 1)), (3, 5, 5))
