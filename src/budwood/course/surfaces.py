"""A small task that needs no download: ten surfaces, told apart by 64-pixel grey patches.

Every class comes from one picture of `surface_pictures/`, where its source is named. The left side
of the picture is for training, the right side for testing, so a test patch shows the same surface
in the same light, but never a pixel that was seen in training. That makes the task easier than one
with many pictures a class, and is to be said wherever its accuracy is shown.
"""

from collections.abc import Iterator
from importlib.resources import files
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from budwood.errors import DataError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SURFACES: tuple[str, ...] = (
    *("brick", "coins", "fur", "grass", "gravel"),
    *("handwriting", "moon", "print", "retina", "tissue"),
)
"""The ten classes, in order."""

PATCH = 64
"""Width and height of a patch in pixels."""
_EACH = 50  # patches of a class in train, and again in test
_GAP = 16  # columns in the middle of a picture that nothing uses
_BLANK = 4.0  # a patch whose grey levels deviate less (of 255) shows nothing
_TRIES = 100  # spots looked at for each patch that is wanted


def draw_surfaces(folder: Path, seed: int = 0) -> Path:
    """The folder, now with `train/<surface>/*.png` and `test/<surface>/*.png`, 500 patches each.

    Patches of one side may overlap; blank ones are passed over. The same seed gives the same
    bytes.

    Args:
        folder: Created if need be; patches in it are replaced.
        seed: Chooses where the patches are cut.

    Example:
        >>> from tempfile import mkdtemp
        >>> drawn = draw_surfaces(Path(mkdtemp()))
        >>> len(list(drawn.glob("train/*/*.png"))), len(list(drawn.glob("test/*/*.png")))
        (500, 500)
    """
    for surface in SURFACES:
        picture = _picture(surface)
        half = (picture.shape[1] - _GAP) // 2
        for split, side in (("train", picture[:, :half]), ("test", picture[:, -half:])):
            target = folder / split / surface
            target.mkdir(parents=True, exist_ok=True)
            patches = _patches(side, Random(f"{seed} {surface} {split}"))
            for number, patch in enumerate(patches):
                Image.fromarray(patch).save(target / f"{number:03d}.png")
    return folder


def raw_pixel_baseline(folder: Path) -> float:
    """Test accuracy of a classifier on the grey pixels themselves: what no pretraining gives.

    It is a support vector machine (RBF kernel, C = 1, scikit-learn's defaults) on pixels that are
    standardised over the training patches. Logistic regression would be the simpler choice, but
    reaches half as much here: a weak opponent would flatter whatever is compared with it.

    Args:
        folder: What `draw_surfaces` gave back.

    Raises:
        DataError: If the folder holds no patches.
    """
    (pixels, surfaces), (test_pixels, test_surfaces) = _read(folder, "train"), _read(folder, "test")
    classifier = _pixel_classifier().fit(pixels, surfaces)
    return float((classifier.predict(test_pixels) == test_surfaces).mean())


def _pixel_classifier() -> "Pipeline":
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), SVC())


def _picture(surface: str) -> np.ndarray:
    name = f"{surface}.{'jpg' if surface == 'retina' else 'png'}"
    with (files("budwood.course") / "surface_pictures" / name).open("rb") as file:
        return np.asarray(Image.open(file).convert("RGB").convert("L"))


def _patches(side: np.ndarray, random: Random) -> Iterator[np.ndarray]:
    cut = (side[row : row + PATCH, column : column + PATCH] for row, column in _spots(side, random))
    return islice((patch for patch in cut if patch.std() >= _BLANK), _EACH)


def _spots(side: np.ndarray, random: Random) -> Iterator[tuple[int, int]]:
    """Distinct upper left corners, in random order."""
    rows, columns = (size - PATCH + 1 for size in side.shape)
    for spot in random.sample(range(rows * columns), min(_TRIES * _EACH, rows * columns)):
        yield divmod(spot, columns)


def _read(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    paths = sorted((folder / split).glob("*/*.png"))
    if not paths:
        raise DataError(
            f"No patches in {str(folder / split)!r}.",
            next="`draw_surfaces(folder)` writes them.",
            file=folder / split,
        )
    pixels = np.stack([np.asarray(Image.open(path), dtype=np.float32).ravel() for path in paths])
    return pixels, np.array([path.parent.name for path in paths])
