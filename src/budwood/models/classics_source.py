"""The classic networks, written from their papers; where one is the same as another library's, in
tensors and in what it computes, that library's weights and their preprocessing are its own too.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from budwood.classics.alexnet import INPUT as ALEXNET_INPUT
from budwood.classics.alexnet import alexnet_2012, alexnet_course
from budwood.classics.efficientnet import EfficientNet
from budwood.classics.googlenet import googlenet_2014, googlenet_naive
from budwood.classics.lenet import lenet5, lenet5_1998
from budwood.classics.resnet import resnet, resnet_cifar
from budwood.classics.scaling import PUBLISHED, phi_of, scale_by
from budwood.classics.vgg import VGG
from budwood.errors import WeightsError
from budwood.images.preprocessing import Preprocessing
from budwood.models.downloads import Progress
from budwood.models.sources import Source, source

if TYPE_CHECKING:
    from torch import Tensor, nn


def _colour(size: int, resize: int) -> Preprocessing:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return Preprocessing(size=(size, size), resize=resize, mean=mean, std=std)


_ALEXNET, _USUAL, _CIFAR = _colour(ALEXNET_INPUT, 256), _colour(224, 256), _colour(32, 32)
# Black is -0.1 and white 1.175 in the paper: about mean 0 and variance 1 on digits.
_DIGITS = Preprocessing(size=(32, 32), resize=32, mean=(0.0784,), std=(0.7843,))


@dataclass(frozen=True)
class Classic:
    """A row of the table: all that is known of a classic network."""

    make: "Callable[..., nn.Module]"
    """Makes it for a number of classes; with `aux_heads`, if it has some."""
    classes: int = 1000
    """How many it tells apart in its paper."""
    preprocessing: Preprocessing = _USUAL
    """At the paper's size; that of the weights, where some are published."""
    same_as: str | None = None
    """The same network in another library, `torchvision/vgg11`: equal tensors, equal function."""
    aux_heads: tuple[str, ...] = ()
    """What the names of the tensors of its auxiliary classifiers begin with."""


CLASSICS = {
    "lenet5": Classic(lenet5, 10, _DIGITS),
    "lenet5_1998": Classic(lenet5_1998, 10, _DIGITS),
    "alexnet_course": Classic(alexnet_course, 1000, _ALEXNET),
    "alexnet_2012": Classic(alexnet_2012, 1000, _ALEXNET),
    "vgg_a": Classic(partial(VGG, "a"), same_as="torchvision/vgg11"),
    "vgg_a_lrn": Classic(partial(VGG, "a_lrn")),
    "vgg_b": Classic(partial(VGG, "b"), same_as="torchvision/vgg13"),
    "vgg_c": Classic(partial(VGG, "c")),
    "vgg_d": Classic(partial(VGG, "d"), same_as="torchvision/vgg16"),
    "vgg_e": Classic(partial(VGG, "e"), same_as="torchvision/vgg19"),
    "googlenet_2014": Classic(googlenet_2014, aux_heads=("aux1.", "aux2.")),
    "googlenet_naive": Classic(googlenet_naive),
    "resnet18_2015": Classic(partial(resnet, 18), same_as="torchvision/resnet18"),
    "resnet34_2015": Classic(partial(resnet, 34), same_as="torchvision/resnet34"),
    **{f"resnet{depth}_2015": Classic(partial(resnet, depth)) for depth in (50, 101, 152)},
    **{
        f"resnet{depth}_v15": Classic(
            partial(resnet, depth, v15=True), same_as=f"torchvision/resnet{depth}"
        )
        for depth in (50, 101, 152)
    },
    **{
        f"plain{depth}": Classic(partial(resnet, depth, shortcuts=False))
        for depth in (18, 34, 50, 101, 152)
    },
    **{f"resnet{n}_cifar": Classic(partial(resnet_cifar, n), 10, _CIFAR) for n in (20, 56)},
    **{
        f"plain{n}_cifar": Classic(partial(resnet_cifar, n, shortcuts=False), 10, _CIFAR)
        for n in (20, 56)
    },
    **{
        f"efficientnet_{size}_2019": Classic(
            partial(EfficientNet, scale), same_as=f"timm/tf_efficientnet_{size}"
        )
        for size, scale in PUBLISHED.items()
    },
}
"""Every classic by name; `efficientnet_phi(...)`, which can have any size, has no row."""

_PREFERRED = ("aa_in1k", "ns_jft_in1k")
"""Weights of EfficientNet that come first: of ImageNet alone, with AutoAugment, which the authors'
code had at first; else, for L2, those for photos of the size in the table of `scaling.py`."""


class ClassicsSource(Source):
    """Budwood's own networks."""

    def names(self) -> Sequence[str]:
        return tuple(CLASSICS)

    def publisher(self, name: str) -> tuple[Source, str]:
        if (same_as := _classic(name).same_as) is None:
            return self, name
        library, _, donor = same_as.partition("/")
        return source(library), donor

    def tags(self, name: str) -> tuple[str, ...]:
        library, donor = self.publisher(name)
        published = () if library is self else library.tags(donor)
        first = [tag for tag in _PREFERRED if tag in published][:1]
        return (*first, *(tag for tag in published if tag not in first))

    def tag_of_file(self, name: str, file: str) -> str | None:
        library, donor = self.publisher(name)
        return None if library is self else library.tag_of_file(donor, file)

    def preprocessing(self, name: str, tag: str | None) -> Preprocessing:
        library, donor = self.publisher(name)
        if library is self:
            return _classic(name).preprocessing
        return library.preprocessing(donor, tag or self.tags(name)[0])

    def classes(self, name: str, tag: str) -> tuple[str, ...] | None:
        library, donor = self.publisher(name)
        return None if library is self else library.classes(donor, tag)

    def construct(
        self, name: str, tag: str | None, classes: int | None, aux_heads: bool
    ) -> "nn.Module":
        classic = _classic(name)
        options = (aux_heads,) if classic.aux_heads else ()
        return classic.make(classes or classic.classes, *options)

    def file(self, name: str, tag: str, on_progress: Progress | None) -> Path:
        library, donor = self.publisher(name)
        if library is self:
            raise WeightsError(f"No weights are published for {name}.", next="Pass --weights PATH.")
        return library.file(donor, tag, on_progress)

    def layouts(
        self, name: str, network: "nn.Module", state: "dict[str, Tensor]", aux_heads: bool
    ) -> "Iterator[dict[str, Tensor]]":
        library, donor = self.publisher(name)
        if library is not self:
            yield from library.layouts(donor, network, state, aux_heads)
            return
        dropped = () if aux_heads else self.aux_heads(name)
        yield {key: tensor for key, tensor in state.items() if not key.startswith(dropped)}

    def aux_heads(self, name: str) -> tuple[str, ...]:
        return _classic(name).aux_heads


def _classic(name: str) -> Classic:
    if (phi := phi_of(name)) is None:
        return CLASSICS[name]
    scale = scale_by(phi)
    return Classic(
        partial(EfficientNet, scale),
        preprocessing=_colour(scale.resolution, scale.resolution + 32),
    )


SOURCE = ClassicsSource()
