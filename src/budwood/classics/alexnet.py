"""AlexNet (2012): the network that won ImageNet by ten points and began the age of deep learning.

Five convolutions and three full connections, as in LeNet, but a thousand times the parameters,
trained on two graphics cards. New were the ReLU, which does not saturate; dropout in the full
connections; pooling windows that overlap; and local response normalisation, by which strong maps
damp their neighbours (later networks dropped it).

- `alexnet_course`: all in one tower, as textbooks draw it, normalised after pooling; 62,378,344
  parameters.
- `alexnet_2012`: the paper's. The second, fourth and fifth convolution see only the maps on their
  own card (`groups=2`), and normalisation comes before pooling; 60,965,224 parameters.

Both take 227 x 227 pixels: with the paper's 224 the first convolution would not come out even.
torchvision's `alexnet` is another network, of 2014: it has 64 maps in the first convolution where
these have 96, no normalisation, and 61,100,840 parameters.

Reference: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional
Neural Networks", NeurIPS 2012.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

INPUT = 227


class AlexNet(nn.Module):
    """AlexNet of one tower or two: photos `n 3 227 227` to logits `n k`."""

    def __init__(self, num_classes: int, *, towers: int, norm_first: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 96, 11, stride=4),  # n 96 55 55
                relu1=nn.ReLU(inplace=True),
                **_pooled(1, norm_first),  # n 96 27 27
                conv2=nn.Conv2d(96, 256, 5, padding=2, groups=towers),
                relu2=nn.ReLU(inplace=True),
                **_pooled(2, norm_first),  # n 256 13 13
                conv3=nn.Conv2d(256, 384, 3, padding=1),
                relu3=nn.ReLU(inplace=True),
                conv4=nn.Conv2d(384, 384, 3, padding=1, groups=towers),
                relu4=nn.ReLU(inplace=True),
                conv5=nn.Conv2d(384, 256, 3, padding=1, groups=towers),
                relu5=nn.ReLU(inplace=True),
                pool3=nn.MaxPool2d(3, stride=2),  # n 256 6 6
            )
        )
        self.classifier = nn.Sequential(
            OrderedDict(
                drop1=nn.Dropout(0.5),
                fc1=nn.Linear(256 * 6 * 6, 4096),
                relu1=nn.ReLU(inplace=True),
                drop2=nn.Dropout(0.5),
                fc2=nn.Linear(4096, 4096),
                relu2=nn.ReLU(inplace=True),
                fc3=nn.Linear(4096, num_classes),
            )
        )
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.flatten(self.features(images), 1)  # n 256 6 6 -> n 9216
        logits: Tensor = self.classifier(x)
        return logits


def alexnet_course(num_classes: int = 1000) -> AlexNet:
    """AlexNet in one tower, normalised after the first and the second pooling."""
    return AlexNet(num_classes, towers=1, norm_first=False)


def alexnet_2012(num_classes: int = 1000) -> AlexNet:
    """AlexNet in the paper's two towers, normalised before pooling."""
    return AlexNet(num_classes, towers=2, norm_first=True)


def response_norm() -> nn.Module:
    """Local response normalisation with the paper's constants: n = 5, k = 2, beta = 0.75.

    The paper multiplies alpha = 1e-4 by a sum over the five maps, torch by their mean.
    """
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def _pooled(number: int, norm_first: bool) -> OrderedDict[str, nn.Module]:
    pool = (f"pool{number}", nn.MaxPool2d(3, stride=2))
    norm = (f"norm{number}", response_norm())
    return OrderedDict([norm, pool] if norm_first else [pool, norm])


def _initialise(network: AlexNet) -> None:
    """As in the paper: small normal weights, and biases of 1 where they help the ReLUs to start."""
    ones = {f"features.conv{number}" for number in (2, 4, 5)} | {"classifier.fc1", "classifier.fc2"}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            assert module.bias is not None
            nn.init.constant_(module.bias, float(name in ones))
