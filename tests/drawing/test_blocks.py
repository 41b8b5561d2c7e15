"""Which modules have a frame, and what is inside of it."""

import torch
from torch import fx, nn

from budwood.drawing.blocks import BlockFrame
from budwood.drawing.network_drawing import blocks_in


def tree(block):
    """The names of frames and boxes, nested."""
    return [
        {part.name: tree(part)} if isinstance(part, BlockFrame) else part.name or part.title
        for part in block.parts
    ]


def test_modules_are_frames(blocks):
    input_, conv, pool, layer1, *_ = tree(blocks("resnet18"))
    assert (input_, conv, pool) == ("input", "conv1", "maxpool")
    assert layer1 == {
        "layer1": [
            {"layer1.0": ["layer1.0.conv1", "layer1.0.conv2", "+"]},
            {"layer1.1": ["layer1.1.conv1", "layer1.1.conv2", "+"]},
        ]
    }


def test_branches_of_a_module_have_no_frames(blocks):
    module = next(p for p in blocks("googlenet").parts if p.name == "inception3a")
    assert all(not isinstance(part, BlockFrame) for part in module.parts)
    assert len(module.parts) == 8


def test_a_module_around_one_block_has_no_frame_beside_it():
    class Around(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)

    inner = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    network = nn.Sequential(Around(inner), nn.Conv2d(3, 2, 1))
    assert tree(blocks_in(network, (3, 5, 5))) == [
        "input",
        {"0": ["0.inner.0", "0.inner.1"]},
        "1",
        "output",
    ]


def test_an_activation_behind_a_block_stays_outside():
    class Behind(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.block(x))

    assert tree(blocks_in(Behind(), (3, 5, 5))) == [
        "input",
        {"block": ["block.0", "block.1"]},
        "relu",
        "output",
    ]


def test_graphs_put_together_from_layers_have_frames_by_the_layers_names(hollow):
    network = hollow("resnet18")
    traced = fx.symbolic_trace(network)
    flat = fx.GraphModule(traced, traced.graph)
    assert tree(blocks_in(flat)) == tree(blocks_in(network))


def test_the_same_module_called_twice_is_there_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(torch.tanh(self.block(x)))

    whole = blocks_in(Twice(), (3, 5, 5))
    frame = {"block": ["block.0", "block.1"]}
    assert tree(whole) == ["input", frame, "tanh", frame, "output"]
    assert whole.parameters == 24


def test_links_lead_from_the_photo_to_the_answer(blocks):
    whole = blocks("vgg16")
    assert whole.links == ((0, 1), (1, 2), (2, 3), (3, 4))
