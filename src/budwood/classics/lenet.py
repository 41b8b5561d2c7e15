"""LeNet-5 (1998): the network that read cheques, and the pattern of all that followed.

Convolutions that share their weights over the image, pooling that makes the exact place matter
less, more maps while they shrink, and full connections at the end: it is all here, on grey images
of 32 x 32 pixels. The letters are the paper's: C convolves, S subsamples, F is fully connected.

`lenet5` is what is called so today: average pooling, every map of C3 reads all of S2, a linear
layer at the end; 61,706 parameters. `lenet5_1998` is the paper's network, and differs in

- S2 and S4, which add up four values, multiply by a trained coefficient and add a trained bias;
- C3, where each of 16 maps reads only some of the 6 below, to save work and to break symmetry;
- the squashing function 1.7159 tanh(2x/3), which maps 1 to 1 and -1 to -1;
- the output: how far F6 is from a fixed code of +1 and -1 for each class, not a weighted sum.

That makes 60,000 parameters, every one of them in the paper's text. torchvision has no LeNet.

Reference: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document
Recognition", Proceedings of the IEEE 86(11), 1998.
"""

import torch
from torch import Tensor, nn

S2_READ_BY_C3 = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 0), (4, 5, 0, 1), (5, 0, 1, 2)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
"""Table I of the paper: the maps of S2 that each map of C3 reads."""


class LeNet5(nn.Module):
    """LeNet-5 of given parts: grey images `n 1 32 32` to logits `n k`."""

    def __init__(
        self, squash: nn.Module, s2: nn.Module, c3: nn.Module, s4: nn.Module, output: nn.Module
    ) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.s2 = s2
        self.c3 = c3
        self.s4 = s4
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.output = output
        self.squash = squash

    def forward(self, images: Tensor) -> Tensor:
        x = self.s2(self.squash(self.c1(images)))  # n 1 32 32 -> n 6 28 28 -> n 6 14 14
        x = self.s4(self.squash(self.c3(x)))  # n 16 10 10 -> n 16 5 5
        x = torch.flatten(self.squash(self.c5(x)), 1)  # n 120 1 1 -> n 120
        logits: Tensor = self.output(self.squash(self.f6(x)))
        return logits


def lenet5(num_classes: int = 10) -> LeNet5:
    """LeNet-5 as it is built today: average pooling, C3 reads everything, a linear head."""
    return LeNet5(
        squash=nn.Tanh(),
        s2=nn.AvgPool2d(2),
        c3=nn.Conv2d(6, 16, 5),
        s4=nn.AvgPool2d(2),
        output=nn.Linear(84, num_classes),
    )


def lenet5_1998(num_classes: int = 10) -> LeNet5:
    """LeNet-5 as the paper has it.

    Weights start evenly spread over 2.4 divided by the number of inputs of a unit, to both sides.
    """
    network = LeNet5(
        squash=ScaledTanh(),
        s2=Subsampling(6),
        c3=SparseConvolution(),
        s4=Subsampling(16),
        output=EuclideanRBF(84, num_classes),
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | Subsampling):
            inputs = 4 if isinstance(module, Subsampling) else module.weight[0].numel()
            for parameter in module.parameters(recurse=False):
                nn.init.uniform_(parameter, -2.4 / inputs, 2.4 / inputs)
    return network


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3): maps 1 to 1 and -1 to -1, and is most curved just there."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsampling(nn.Module):
    """The sum of each 2 x 2 window, times a coefficient, plus a bias, squashed."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))
        self.sum = nn.AvgPool2d(2, divisor_override=1)
        self.squash = ScaledTanh()

    def forward(self, x: Tensor) -> Tensor:
        squashed: Tensor = self.squash(self.sum(x) * self.weight + self.bias)
        return squashed


class SparseConvolution(nn.Module):
    """C3: 16 maps, each a 5x5 convolution of the maps that the paper's table gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Conv2d(len(read), 1, 5) for read in S2_READ_BY_C3)

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.split(x, 1, dim=1)
        seen = [torch.cat([maps[i] for i in read], 1) for read in S2_READ_BY_C3]
        return torch.cat([unit(s2) for unit, s2 in zip(self.maps, seen, strict=True)], 1)


class EuclideanRBF(nn.Module):
    """Minus the squared distance of each row from a fixed code for each class; the nearest wins.

    The codes are +1 and -1. The paper drew them as small pictures of the digits, so that digits
    that look alike get codes alike, and says that they could as well be drawn by lot. Here they
    are: from the seed that the network is built with. They are a buffer, so they are saved and
    loaded but never trained; it is called `weight`, with a row for each class as in `nn.Linear`.
    """

    weight: Tensor

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        signs = torch.randint(0, 2, (out_features, in_features))
        self.register_buffer("weight", signs * 2.0 - 1)

    def forward(self, x: Tensor) -> Tensor:
        return -(x.unsqueeze(1) - self.weight).square().sum(2)  # n d -> n k d -> n k

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"
