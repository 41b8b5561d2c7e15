"""What photos are like for a graft: the donor that sees them decides, and others are told of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from budwood.images.preprocessing import Preprocessing

_IMAGENET = Preprocessing(
    size=(224, 224),
    resize=256,
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
"""For a graft without a donor: what most weights expect."""


@dataclass(frozen=True)
class Taken:
    """Layers of a donor, and the photos that it was trained on."""

    name: str
    fed_by: str
    """What comes before them in the graft."""
    sees_the_photo: bool
    """Whether they are fed with the photo itself in the graft."""
    began_with_the_photo: bool
    """Whether they were fed with the photo itself in the donor."""
    preprocessing: Preprocessing | None


def photo_shape(preprocessing: Preprocessing | None) -> tuple[int, int, int]:
    """Channels, height and width that photos have for a donor."""
    chosen = preprocessing or _IMAGENET
    return len(chosen.mean), *chosen.size


def preprocessing_for(shape: tuple[int, int, int], taken: Sequence[Taken]) -> Preprocessing:
    """How photos are prepared for a graft.

    As for the donor whose layers see the photo; if none does, as for the donor that comes first.
    Grey photos for a donor that was trained on colour get the average of its three channels.

    Example:
        >>> print(preprocessing_for((1, 112, 112), []))
        shorter side to 128 (bilinear), centre 112 x 112, mean 0.449, std 0.226, grey
    """
    channels, height, width = shape
    known = [each for each in taken if each.preprocessing is not None]
    chosen = next((each.preprocessing for each in known), None) or _IMAGENET
    if chosen.size != (height, width):
        scaled = chosen.at_size(max(height, width))
        exact = isinstance(scaled.resize, tuple) or height != width
        chosen = replace(
            scaled, size=(height, width), resize=(height, width) if exact else scaled.resize
        )
    if len(chosen.mean) == channels or channels not in (1, 3):
        return chosen
    mean, std = (_spread(values, channels) for values in (chosen.mean, chosen.std))
    return replace(chosen, mean=mean, std=std)


def normalisation_notes(photo: Preprocessing, taken: Sequence[Taken]) -> Iterator[str]:
    """A line for each donor whose normalisation plays no part in the graft, or contradicts it."""
    for each in taken:
        theirs = each.preprocessing
        if theirs is None:
            continue
        if each.began_with_the_photo and not each.sees_the_photo:
            yield (
                f"{each.name} was trained on photos ({_constants(theirs)}); here {each.fed_by} "
                "feeds it, so that normalisation plays no part."
            )
        elif (theirs.mean, theirs.std) != (photo.mean, photo.std) and len(theirs.mean) == len(
            photo.mean
        ):
            yield (
                f"{each.name} was trained on photos with {_constants(theirs)}; this graft's photos "
                f"have {_constants(photo)}, for the donor that comes first."
            )


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return (round(sum(values) / len(values), 4),) * channels


def _constants(preprocessing: Preprocessing) -> str:
    mean, std = (
        " ".join(f"{value:g}" for value in values)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return f"mean {mean}, std {std}"
