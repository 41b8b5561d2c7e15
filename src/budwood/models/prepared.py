"""A network whose graph begins with the pixels of photos: normalising is its first step."""

from typing import Any

import torch
from torch import Tensor, nn

from budwood.images.preprocessing import Preprocessing
from budwood.tensors import Images


class Prepared(nn.Module):
    """A network that takes pixels as they are, `n h w c` uint8, and normalises them in its graph.

    This is what is traced, cut, exported and run by engines, so none can normalise otherwise or
    twice. The constants are no part of the state: they travel with the preprocessing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing
        mean, std = _constants(preprocessing)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, pixels: Tensor) -> Any:
        return self.network(_normalise(pixels, self.mean, self.std))


def normalise(pixels: Tensor, preprocessing: Preprocessing) -> Images:
    """Pixels `n h w c` of 0 to 255 as the normalised float32 `n c h w` a network takes."""
    mean, std = (constant.to(pixels.device) for constant in _constants(preprocessing))
    return _normalise(pixels, mean, std)


def _constants(preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    """Mean and std, `c 1 1`."""
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    return mean.view(-1, 1, 1), std.view(-1, 1, 1)


def _normalise(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    images = pixels.permute(0, 3, 1, 2).float()  # n h w c -> n c h w
    return (images / 255 - mean) / std
