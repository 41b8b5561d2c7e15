"""The classic networks, written from their papers: structure here, published weights of others.

Where a network is the same as one of torchvision's or timm's, in tensors and in what it computes,
that library's weights are its weights too, with their preprocessing. The others have none.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from budwood.classics.alexnet import INPUT as ALEXNET_INPUT
from budwood.classics.alexnet import alexnet_2012, alexnet_course
from budwood.classics.efficientnet import EfficientNet
from budwood.classics.googlenet import googlenet_2014, googlenet_naive
from budwood.classics.lenet import lenet5, lenet5_1998
from budwood.classics.resnet import resnet, resnet_cifar
from budwood.classics.scaling import PUBLISHED, ModelScale, phi_of, scale_by
from budwood.classics.vgg import CONFIGURATIONS, VGG
from budwood.errors import WeightsError
from budwood.images.preprocessing import Preprocessing
from budwood.networks import timm_source, torchvision_source
from budwood.networks.downloading import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from budwood.networks.choosing import Source

AUX_HEADS = {"googlenet_2014": ("aux1.", "aux2.")}
"""The architectures that have auxiliary classifiers, and what their tensors begin with."""

_DEPTHS = (18, 34, 50, 101, 152)
_BOTTLENECKS = (50, 101, 152)
_CIFAR_DEPTHS = (20, 56)

NETWORKS: "dict[str, tuple[int, Callable[[int], nn.Module]]]" = {
    "lenet5": (10, lenet5),
    "lenet5_1998": (10, lenet5_1998),
    "alexnet_course": (1000, alexnet_course),
    "alexnet_2012": (1000, alexnet_2012),
    **{f"vgg_{letter}": (1000, partial(VGG, letter)) for letter in CONFIGURATIONS},
    "googlenet_2014": (1000, googlenet_2014),
    "googlenet_naive": (1000, googlenet_naive),
    **{f"resnet{depth}_2015": (1000, partial(resnet, depth)) for depth in _DEPTHS},
    **{f"resnet{depth}_v15": (1000, partial(resnet, depth, v15=True)) for depth in _BOTTLENECKS},
    **{f"plain{depth}": (1000, partial(resnet, depth, shortcuts=False)) for depth in _DEPTHS},
    **{f"resnet{depth}_cifar": (10, partial(resnet_cifar, depth)) for depth in _CIFAR_DEPTHS},
    **{
        f"plain{depth}_cifar": (10, partial(resnet_cifar, depth, shortcuts=False))
        for depth in _CIFAR_DEPTHS
    },
    **{
        f"efficientnet_{size}_2019": (1000, partial(EfficientNet, scale))
        for size, scale in PUBLISHED.items()
    },
}
"""Every classic but `efficientnet_phi(...)`: its classes in the paper, and how it is made."""

DONORS: "dict[str, tuple[Source, str]]" = {
    "vgg_a": (torchvision_source, "vgg11"),
    "vgg_b": (torchvision_source, "vgg13"),
    "vgg_d": (torchvision_source, "vgg16"),
    "vgg_e": (torchvision_source, "vgg19"),
    "resnet18_2015": (torchvision_source, "resnet18"),
    "resnet34_2015": (torchvision_source, "resnet34"),
    **{f"resnet{depth}_v15": (torchvision_source, f"resnet{depth}") for depth in _BOTTLENECKS},
    **{f"efficientnet_{size}_2019": (timm_source, f"tf_efficientnet_{size}") for size in PUBLISHED},
}
"""The same network in another library: equal tensors, and an equal function of them."""

_PREFERRED = ("aa_in1k", "ns_jft_in1k")
"""Weights of EfficientNet that come first: of ImageNet alone, with AutoAugment, which the authors'
code had at first; else, for L2, those for photos of the size in the table of `scaling.py`."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tags(name: str) -> tuple[str, ...]:
    """The published weights of the same network in another library, the default first."""
    if name not in DONORS:
        return ()
    source, donor = DONORS[name]
    published = source.tags(donor)
    first = [tag for tag in _PREFERRED if tag in published][:1]
    return (*first, *(tag for tag in published if tag not in first))


def tag_of_file(name: str, file: str) -> str | None:
    """The tag that is published under this file name, if one is."""
    if name not in DONORS:
        return None
    source, donor = DONORS[name]
    return source.tag_of_file(donor, file)


def preprocessing(name: str, tag: str | None) -> Preprocessing:
    """What the weights of that tag, or the default ones, expect; without any, the paper's size."""
    if name in DONORS:
        source, donor = DONORS[name]
        return source.preprocessing(donor, tag or tags(name)[0])
    if name.startswith("lenet"):
        # Black is -0.1 and white 1.175 in the paper: about mean 0 and variance 1 on digits.
        return Preprocessing(size=(32, 32), resize=32, mean=(0.0784,), std=(0.7843,))
    if name.endswith("_cifar"):
        return _colour(32, 32)
    if (scale := _scale(name)) is not None:
        return _colour(scale.resolution, scale.resolution + 32)
    return _colour(ALEXNET_INPUT if name.startswith("alexnet") else 224, 256)


def classes(name: str, tag: str) -> tuple[str, ...] | None:
    """What the donor of the weights of that tag calls its classes."""
    if name not in DONORS:
        return None
    source, donor = DONORS[name]
    return source.classes(donor, tag)


def construct(name: str, tag: str | None, classes: int | None, aux_heads: bool) -> "nn.Module":
    """The network with random weights, for as many classes as in its paper, or for `classes`."""
    if name in AUX_HEADS:
        return googlenet_2014(classes or 1000, aux_heads)
    if (scale := _scale(name)) is not None:
        return EfficientNet(scale, classes or 1000)
    own, make = NETWORKS[name]
    return make(classes or own)


def file(name: str, tag: str, on_progress: Progress | None) -> Path:
    """The file of the weights of that tag on this machine, downloaded if it is not here yet.

    Raises:
        WeightsError: If nothing is published for this network.
    """
    if name not in DONORS:
        raise WeightsError(f"No weights are published for {name}.", next="Pass --weights PATH.")
    source, donor = DONORS[name]
    return source.file(donor, tag, on_progress)


def layouts(
    name: str, network: "nn.Module", state: "dict[str, Tensor]", aux_heads: bool
) -> "Iterator[dict[str, Tensor]]":
    """The tensors of a file as the donor library reads them, without those of heads not kept."""
    if name in DONORS:
        source, donor = DONORS[name]
        yield from source.layouts(donor, network, state, aux_heads)
        return
    dropped = () if aux_heads else AUX_HEADS.get(name, ())
    yield {key: tensor for key, tensor in state.items() if not key.startswith(dropped)}


def _scale(name: str) -> ModelScale | None:
    """The size of an EfficientNet that the rule gives; None for networks of the table."""
    phi = phi_of(name)
    return None if phi is None else scale_by(phi)


def _colour(size: int, resize: int) -> Preprocessing:
    return Preprocessing(size=(size, size), resize=resize, mean=_MEAN, std=_STD)
