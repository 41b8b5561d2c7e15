"""Networks without memory for their weights, and what is drawn of them; each is made once."""

from functools import cache

import pytest
import timm
import torch
from torchvision import models
from torchvision.models import DenseNet

from budwood.drawing.network_drawing import blocks_in


@pytest.fixture(scope="session")
def hollow():
    """`hollow(name)`: a network of torchvision or, as `timm:name`, of timm; in eval mode.

    `densenet` is a small one.
    """

    def made(name, **options):
        if name == "densenet":
            with torch.device("meta"):
                return DenseNet(8, (4, 3), 16).eval()
        make = timm.create_model if name.startswith("timm:") else models.get_model
        if name == "googlenet":
            options = {"aux_logits": False, "init_weights": False} | options
        with torch.device("meta"):
            return make(name.removeprefix("timm:"), **options).eval()

    return made


@pytest.fixture(scope="session")
def blocks(hollow):
    """`blocks(name)`: the nested blocks of such a network, none of them folded."""
    return cache(lambda name: blocks_in(hollow(name)))
