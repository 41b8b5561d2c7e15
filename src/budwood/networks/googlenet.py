"""GoogLeNet (2014): 22 layers at a ninth of AlexNet's parameters, by Inception modules.

Which kernel is right for a layer, 1x1, 3x3 or 5x5? A module has all of them side by side, and a
pooling, and joins what they give. Done naively (`NaiveInception`) that explodes: the 5x5 kernels
read every map, and pooling adds all of its own, so each module is wider than the last. The remedy
is what the paper is known for: a 1x1 convolution first, that reduces many maps to a few
(`InceptionV1`). Two auxiliary classifiers, half-way up, bring the gradient to the lower layers in
training; their losses count 0.3 each, and they are left out of the finished network.

- `googlenet_2014`: the paper's network, with 5x5 kernels, local response normalisation and no
  batch normalisation, which came a year later. torchvision's `googlenet` has batch normalisation
  and, by a slip of TensorFlow's that was kept, 3x3 kernels for the 5x5: its weights do not fit.
- `googlenet_naive`: the same with naive modules, to see what the 1x1 convolutions save.

The modules, and their later versions, are in `inception.py`.

Reference: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015. (Its table of parameters
has misprints, and it counts a twelfth of AlexNet's.)
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from budwood.networks.alexnet import response_norm
from budwood.networks.inception import WIDTHS as WIDTHS
from budwood.networks.inception import InceptionV1 as InceptionV1
from budwood.networks.inception import InceptionV2 as InceptionV2
from budwood.networks.inception import InceptionV3 as InceptionV3
from budwood.networks.inception import NaiveInception as NaiveInception
from budwood.networks.inception import Widths as Widths
from budwood.networks.inception import convolution
from budwood.networks.initialising import initialise_he


class GoogLeNetOutputs(NamedTuple):
    """Logits `n k` of the network and of its auxiliary heads, named as torchvision names them."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class GoogLeNet(nn.Module):
    """Three convolutions and nine modules of one kind: photos `n 3 h w` to logits `n k`.

    In train mode with auxiliary heads the result is `GoogLeNetOutputs`: logits, and those of the
    second and the first auxiliary head.
    """

    def __init__(
        self,
        inception: type[InceptionV1] | type[NaiveInception],
        num_classes: int = 1000,
        aux_heads: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = convolution(3, 64, 7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.norm1 = response_norm()
        self.conv2 = convolution(64, 64, 1)
        self.conv3 = convolution(64, 192, 3)
        self.norm2 = response_norm()
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = inception(192, WIDTHS["3a"])
        self.inception3b = inception(self.inception3a.out_channels, WIDTHS["3b"])
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = inception(self.inception3b.out_channels, WIDTHS["4a"])
        self.inception4b = inception(self.inception4a.out_channels, WIDTHS["4b"])
        self.inception4c = inception(self.inception4b.out_channels, WIDTHS["4c"])
        self.inception4d = inception(self.inception4c.out_channels, WIDTHS["4d"])
        self.inception4e = inception(self.inception4d.out_channels, WIDTHS["4e"])
        self.maxpool4 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception5a = inception(self.inception4e.out_channels, WIDTHS["5a"])
        self.inception5b = inception(self.inception5a.out_channels, WIDTHS["5b"])
        self.aux1 = AuxiliaryHead(self.inception4a.out_channels, num_classes) if aux_heads else None
        self.aux2 = AuxiliaryHead(self.inception4d.out_channels, num_classes) if aux_heads else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(self.inception5b.out_channels, num_classes)
        initialise_he(self)

    def forward(self, images: Tensor) -> Tensor | GoogLeNetOutputs:
        x = self.norm1(self.maxpool1(self.conv1(images)))  # n 64 56 56
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(x))))  # n 192 28 28
        x = self.inception3b(self.inception3a(x))
        x = self.inception4a(self.maxpool3(x))  # n 512 14 14
        aux1 = self.aux1(x) if self.training and self.aux1 is not None else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        aux2 = self.aux2(x) if self.training and self.aux2 is not None else None
        x = self.maxpool4(self.inception4e(x))  # n 832 7 7
        x = self.inception5b(self.inception5a(x))
        x = torch.flatten(self.avgpool(x), 1)  # n 1024 7 7 -> n 1024
        logits: Tensor = self.fc(self.dropout(x))
        return logits if aux1 is None or aux2 is None else GoogLeNetOutputs(logits, aux2, aux1)


class AuxiliaryHead(nn.Module):
    """A small classifier on the maps of a module half-way up, for training only."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        # The second changes nothing at 224 pixels; photos of other sizes fit `fc1` by it.
        self.pool = nn.Sequential(nn.AvgPool2d(5, stride=3), nn.AdaptiveAvgPool2d((4, 4)))
        self.conv = convolution(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.conv(self.pool(x)), 1)  # n c 14 14 -> n 128 4 4 -> n 2048
        logits: Tensor = self.fc2(self.dropout(self.relu(self.fc1(x))))
        return logits


def googlenet_2014(num_classes: int = 1000, aux_heads: bool = False) -> GoogLeNet:
    """The paper's network; 6,998,552 parameters without the auxiliary heads."""
    return GoogLeNet(InceptionV1, num_classes, aux_heads)


def googlenet_naive(num_classes: int = 1000) -> GoogLeNet:
    """The same with naive modules, whose maps add up from one to the next."""
    return GoogLeNet(NaiveInception, num_classes)
