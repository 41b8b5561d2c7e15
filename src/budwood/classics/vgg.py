"""VGG (2014): how far one gets with nothing but 3x3 convolutions and depth.

Two 3x3 convolutions see as much of the photo as one of 5x5, three as much as one of 7x7, with
fewer weights and a ReLU in between. So the paper fixed the kernel at 3x3, halved the size and
doubled the maps from block to block, and asked only: how deep? The six configurations, A to E, are
its experiment. A-LRN adds AlexNet's normalisation, which brought nothing; C adds 1x1 convolutions,
which brought something (an added ReLU), but less than the 3x3 of D in their place. D is known as
VGG16, E as VGG19.

A, B, D and E are torchvision's `vgg11`, `vgg13`, `vgg16` and `vgg19`, under the same names of
tensors, and their published weights load here. A-LRN and C torchvision does not have.

Most parameters, 123.6 of 138.4 million in D, are in the three full connections; most work, 15.3 of
15.5 thousand million multiply-adds, is in the convolutions.

Reference: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from budwood.classics.alexnet import response_norm

CONFIGURATIONS = {
    "a": "64 | 128 | 256 256 | 512 512 | 512 512",
    "a_lrn": "64 lrn | 128 | 256 256 | 512 512 | 512 512",
    "b": "64 64 | 128 128 | 256 256 | 512 512 | 512 512",
    "c": "64 64 | 128 128 | 256 256 256/1 | 512 512 512/1 | 512 512 512/1",
    "d": "64 64 | 128 128 | 256 256 256 | 512 512 512 | 512 512 512",
    "e": "64 64 | 128 128 | 256 256 256 256 | 512 512 512 512 | 512 512 512 512",
}
"""Table 1 of the paper: maps of each 3x3 convolution, `/1` for 1x1; `|` is where pooling halves."""


class VGG(nn.Module):
    """A network of the table: photos `n 3 h w` to logits `n k`."""

    def __init__(self, configuration: str, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(*_features(CONFIGURATIONS[configuration]))
        # Changes nothing at 224 pixels; photos of other sizes fit the classifier by it.
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )
        initialise_he(self)

    def forward(self, images: Tensor) -> Tensor:
        x = self.avgpool(self.features(images))  # n 512 7 7
        logits: Tensor = self.classifier(torch.flatten(x, 1))
        return logits


def initialise_he(network: nn.Module) -> None:
    """Give convolutions and linear layers weights that keep the scale of what passes through ReLUs.

    Biases become 0. Without this the signal fades on its way through 16 layers and training does
    not begin. AlexNet and the first VGG networks got by with normal weights of 0.01 and much
    patience; this came after them.

    Reference: He et al., "Delving Deep into Rectifiers", ICCV 2015.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _features(configuration: str) -> Iterator[nn.Module]:
    channels = 3
    for block in configuration.split("|"):
        for layer in block.split():
            if layer == "lrn":
                yield response_norm()
                continue
            maps, _, kernel = layer.partition("/")
            size = int(kernel or 3)
            yield nn.Conv2d(channels, int(maps), size, padding=size // 2)
            yield nn.ReLU(inplace=True)
            channels = int(maps)
        yield nn.MaxPool2d(2, stride=2)
