"""Which layers give maps: those of convolutions, of tokens, and none of what only looks alike."""

import pytest
import torch
from torch import nn

import budwood
from budwood.errors import ConfigError
from budwood.evaluation.attribution import last_map_layer, map_layers, where_it_looked
from budwood.models.info import info


def built(name):
    """A network with random weights, and a photo of its size."""
    network = budwood.build(name, weights="none", classes=3)
    height, width = info(network).preprocessing.size
    return network, torch.randn(1, len(info(network).preprocessing.mean), height, width)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("resnet18", "layer4"),
        ("lenet5", None),
        ("googlenet_2014", None),
        ("timm/test_vit", "blocks.5.norm1"),
        ("timm/test_efficientnet", None),
    ],
)
def test_the_last_map_is_found_on_every_kind_of_network(name, last):
    network, image = built(name)
    found = last_map_layer(network, image)
    assert last is None or found == last
    maps = where_it_looked(network, image, classes=[1])
    assert maps.shape == (1, *image.shape[-2:])
    assert maps.max() == pytest.approx(1)


def test_tokens_lie_where_their_patches_are():
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(1, 2, 4, stride=4, bias=False)
            self.norm = nn.Identity()
            self.head = nn.Linear(2, 2, bias=False)
            with torch.no_grad():
                self.patch.weight.fill_(1 / 16)
                self.head.weight.copy_(torch.eye(2))

        def forward(self, x):
            tokens = self.patch(x).flatten(2).transpose(1, 2)
            tokens = torch.cat([torch.zeros_like(tokens[:, :1]), tokens], 1)
            return self.head(self.norm(tokens).sum(1))

    image = torch.zeros(1, 1, 16, 16)
    image[..., 8:12, 4:8] = 1
    network = Patches()
    (layer,) = [x for x in map_layers(network, image) if x.name == "norm"]
    assert (layer.grid.kind, layer.grid.height, layer.grid.width) == ("n t d", 4, 4)
    seen = where_it_looked(network, image, "norm", [0])[0]
    assert divmod(int(seen.argmax()), 16)[0] in (8, 9, 10, 11)
    assert divmod(int(seen.argmax()), 16)[1] in (4, 5, 6, 7)


def test_attention_is_no_map():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(3, 8, 8, stride=8)
            self.rows = nn.Identity()
            self.attention = nn.Identity()

        def forward(self, x):
            tokens = self.rows(self.patch(x).flatten(2).transpose(1, 2))  # n 16 8
            pairs = self.attention((tokens @ tokens.transpose(1, 2))[:, None])  # n 1 16 16
            return (pairs[:, 0] @ tokens).mean(1)

    names = [layer.name for layer in map_layers(Attending(), torch.randn(1, 3, 32, 32))]
    assert names == ["patch", "rows"]


def test_the_only_informative_object_is_where_it_looked():
    """A photo that is noise but for one bright square, which alone makes the class."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        images = torch.randn(32, 3, 32, 32) * 0.1
        labels = torch.arange(32) % 2
        for image, label in zip(images, labels, strict=True):
            y, x = torch.randint(0, 24, (2,)).tolist()
            image[int(label), y : y + 8, x : x + 8] += 1
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for top, left in ((0, 0), (0, 24), (24, 0), (24, 24)):
        image = torch.randn(1, 3, 32, 32) * 0.1
        image[:, 0, top : top + 8, left : left + 8] += 1
        row, column = divmod(int(where_it_looked(network, image, "4", [0])[0].argmax()), 32)
        assert abs(row - top - 3.5) <= 6
        assert abs(column - left - 3.5) <= 6


def test_a_branch_that_decides_nothing_gives_an_empty_map():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle, self.used = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 2, 1)

        def forward(self, x):
            self.idle(x)
            return self.used(x).mean((2, 3))

    assert where_it_looked(Idle(), torch.randn(1, 3, 8, 8), "idle", [0]).sum() == 0


def test_a_network_without_maps_is_told():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    with pytest.raises(ConfigError, match=r"No layer .* gives a map.*each place of the photo"):
        last_map_layer(flat, torch.randn(1, 3, 16, 16))
