"""Random weights to start from, where a network's paper is no guide."""

from torch import nn


def initialise_he(network: nn.Module) -> None:
    """Give convolutions and linear layers weights that keep the scale of what passes through ReLUs.

    Biases become 0. Without this the signal fades on its way through 16 layers and training does
    not begin. AlexNet and the first VGG networks got by with normal weights of 0.01 and much
    patience; this came after them.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> layer = nn.Linear(10000, 100)
        >>> initialise_he(layer)
        >>> round(layer.weight.std().item() ** 2 * 10000, 1)
        2.0

    Reference: He et al., "Delving Deep into Rectifiers", ICCV 2015.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
