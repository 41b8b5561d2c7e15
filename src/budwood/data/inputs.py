"""What a classifier may be given: files, Pillow images or arrays, with their classes or without."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from budwood.arrays import ImageArray, Pixels
from budwood.data.labels import normalised
from budwood.data.splits import Split
from budwood.data.splitting import as_groups
from budwood.errors import DataError
from budwood.images.depth import Depth
from budwood.images.pillow import rgb
from budwood.images.preprocessing import Preprocessing

Images: TypeAlias = (
    Split | Sequence[Path | str | Image.Image | NDArray[np.uint8]] | NDArray[np.uint8]
)
"""Files, Pillow images, or arrays `h w 3` uint8 in RGB; a split stands for its files."""


def listed(images: Images | Iterable[Any]) -> Images:
    """Photos one after the other; what can be gone through once only, as a list."""
    is_one_array = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim < 4
    if isinstance(images, str | Path | Image.Image) or is_one_array:
        raise DataError("This is one photo, not a list.", next="Pass [photo].")
    if isinstance(images, Split | list | np.ndarray):
        return images
    if hasattr(images, "toarray"):
        raise DataError("A sparse matrix holds no images.", next="Pass files, images or arrays.")
    if not isinstance(images, Iterable):
        raise DataError(
            f"A {type(images).__name__} is no list of photos.",
            expected="Files, Pillow images or arrays, in a list or anything to loop over.",
        )
    return list(images)


def image_files(images: Images) -> list[Path] | None:
    """The paths of photos that are files; None if they are images in memory."""
    images = listed(images)
    if isinstance(images, Split):
        return list(images.paths)
    paths = [Path(image) for image in images if isinstance(image, str | Path)]
    if len(paths) == len(images):
        return paths
    if paths:
        raise DataError("Paths and images are mixed.", next="Pass one kind at a time.")
    return None


def fitted_images(images: Images, preprocessing: Preprocessing) -> Pixels:
    """Images in memory as the network's input, `n h w c`: by the same path as files."""
    assert not isinstance(images, Split)  # its photos are files
    return np.stack([preprocessing.fit(_as_image(image, preprocessing.depth)) for image in images])


def labelled(
    images: Images,
    labels: Sequence[str] | None,
    classes: tuple[str, ...],
    *,
    groups: Sequence[object] | None = None,
    are_named: bool = True,
) -> Split:
    """The photos with their classes as a split whose classes are those of the network.

    `labels` and `groups` are names or numbers of each photo, if `images` are paths. `are_named` is
    False if `classes` are numbers for want of names: then a split names them.
    """
    images = listed(images)
    if not len(images):
        raise DataError("There are no photos.", next="Pass at least one of each class.")
    if isinstance(images, Split):
        _check_classes(images.classes, classes, are_named)
        return images
    paths = image_files(images)
    if paths is None:
        raise DataError(
            "Photos with labels are files, and these are not: the first is of type "
            f"{type(images[0]).__name__}.",
            expected="Pass a Split, or the paths of photos and the class of each.",
            next="Save images in memory as files, PNG for example.",
        )
    if labels is None or len(labels) != len(paths):
        raise DataError("Paths need a class name each.", next="Pass labels, or a Split.")
    index = {normalised(name): i for i, name in enumerate(classes)}
    labels = [normalised(str(name)) for name in _named(labels, classes)]
    if unknown := sorted(set(labels) - set(index)):
        raise DataError(
            f"No class is called {unknown[0]!r}.", expected=f"There are {', '.join(classes)}."
        )
    if groups is not None and len(groups) != len(paths):
        raise DataError(
            f"There are {len(paths)} photos and {len(groups)} groups.",
            next="Pass a group for each photo, or none.",
        )
    numbers = None if groups is None else tuple(as_groups(groups).tolist())
    return Split("photos", tuple(paths), tuple(index[name] for name in labels), classes, numbers)


def are_numbers(labels: Sequence[Any]) -> bool:
    """True of labels that are the numbers of classes."""
    return all(isinstance(label, int | np.integer) for label in labels)


def _named(labels: Sequence[Any], classes: tuple[str, ...]) -> Sequence[str]:
    """Labels as names, also of numbers, which scikit-learn's cross_val_predict passes."""
    if not are_numbers(labels):
        return labels
    numbers = [int(label) for label in labels]
    named_otherwise = [n for n in set(numbers) if str(n) in classes and classes.index(str(n)) != n]
    if named_otherwise:
        n = min(named_otherwise)
        raise DataError(
            f"The label {n} may be the class called '{n}', or class number {n}.",
            expected=f"Class number {n} is called '{classes[n]}'." if n < len(classes) else None,
            next="Pass the names of classes, as text.",
        )
    known = range(len(classes))
    return [classes[n] if n in known else str(n) for n in numbers]


def _check_classes(given: tuple[str, ...], own: tuple[str, ...], are_named: bool) -> None:
    if are_named and given != own:
        raise DataError(
            f"The photos have classes {', '.join(given)}.",
            expected=f"The network has {', '.join(own)}.",
            next="Build it with these classes, or match the split by name.",
        )
    if len(given) != len(own):
        raise DataError(
            f"The photos have {len(given)} classes.",
            expected=f"The network tells {len(own)} apart.",
            next="Give it another head with budwood.replace_head().",
        )


def _as_image(image: object, depth: Depth) -> ImageArray:
    """A Pillow image or an array as `h w 3` uint8."""
    if isinstance(image, Image.Image):
        image = rgb(ImageOps.exif_transpose(image), depth=depth)
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"A {type(image).__name__} is no photo.",
            expected="It should be a path, a Pillow image, or an array height x width x 3, uint8.",
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(
            f"An array of shape {image.shape} and type {image.dtype} is no photo.",
            expected="It should be height x width x 3, uint8, RGB.",
        )
    return image
