"""Why a saved classifier says what it says to a photo: where it looked, and what it resembles."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from budwood.data.labels import normalised
from budwood.display import displayed
from budwood.errors import ConfigError
from budwood.evaluation.attribution import (
    feature_maps,
    first_filters,
    last_map_layer,
    where_it_looked,
)
from budwood.files import unused, whole_file
from budwood.image_classifier import ImageClassifier
from budwood.images.contents import read
from budwood.learning.int8_trial import pooled
from budwood.models.prepared import normalise
from budwood.reporter import SILENT, Reporter
from budwood.reporting.pictures import overlaid, tiled
from budwood.reporting.records import IMAGES, ListedImage, images_of
from budwood.run_folders import (
    is_inside,
    mark,
    place_for,
    require_outside,
    settings_of_run,
    writing_to,
)
from budwood.text import count, shown, visible

EXPLAINED = Path("explained")
"""Where pictures go that are given no folder."""
NEAREST = 3
"""Training photos that are shown as evidence."""
AT_ONCE = 8
"""Photos whose maps are made at once."""


@displayed
@dataclass(frozen=True)
class Neighbour:
    """A training photo that a photo resembles."""

    path: str
    label: str
    cosine: float
    """Of their features, the mean of all training photos taken off."""


@displayed
@dataclass(frozen=True)
class Explanation:
    """Why a photo is taken for what it is taken for."""

    path: str
    named: str
    """The class that is explained: the predicted one, or the one asked for."""
    probability: float
    layer: str
    """The layer whose map is shown."""
    picture: str
    """Where the photo with its map was written to."""
    neighbours: tuple[Neighbour, ...]
    is_empty: bool = False
    """True if nothing in that layer speaks for the class."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in `explain --json`."""
        return {
            "path": self.path,
            "class": self.named,
            "probability": self.probability,
            "layer": self.layer,
            "picture": self.picture,
            "empty": self.is_empty,
            "neighbours": [
                {"path": n.path, "class": n.label, "cosine": n.cosine} for n in self.neighbours
            ],
        }

    def __str__(self) -> str:
        near = "".join(
            f"\n  like {shown(n.path)} ({shown(n.label)}, {n.cosine:.2f})" for n in self.neighbours
        )
        empty = ", which is empty: nothing speaks for it" if self.is_empty else ""
        return (
            f"{shown(self.path)}: {shown(self.named)} {self.probability:.3f}; where it looked "
            f"({self.layer}): {visible(self.picture)}{empty}{near}"
        )


@displayed
@dataclass(frozen=True)
class Explanations:
    """Explanations of some photos."""

    images: tuple[Explanation, ...]
    pictures: tuple[str, ...]
    """Of filters and feature maps, where they were asked for."""
    note: str | None
    """Why no training photos are shown, or not all are compared with."""

    def to_json(self) -> dict[str, Any]:
        """The object of `explain --json`; see docs/json.md."""
        return {
            "images": [image.to_json() for image in self.images],
            "pictures": list(self.pictures),
            "note": self.note,
        }

    def __str__(self) -> str:
        lines = [str(image) for image in self.images]
        return "\n".join([*lines, *self.pictures, *([self.note] if self.note else [])])


def explain(
    run: Path | str,
    images: Sequence[Path | str],
    out: Path | str | None = None,
    *,
    layer: str | None = None,
    named: str | None = None,
    maps: str | None = None,
    filters: bool = False,
    reporter: Reporter = SILENT,
) -> Explanations:
    """Explain what a saved classifier says to photos, in pictures.

    Args:
        run: The run's folder or its capsule.
        images: Photos.
        out: Folder for the pictures; default `explained` in the working folder, or beside the
            photos of the run if that is among them.
        layer: The layer whose map is shown; default: the last with a map.
        named: The class to explain; default: the predicted one of each photo.
        maps: A layer whose feature maps are drawn too, of the first photo.
        filters: Whether the filters of the first convolution are drawn too.
        reporter: Told what the user should know, and how far the work is.

    Raises:
        ImageError: If a photo cannot be read.
        ConfigError: If there is no such layer or class, or the pictures cannot be written.
        CapsuleError: If the run cannot be read.
    """
    run, paths = Path(run), list(map(Path, images))
    out = _outside_images(None if out is None else Path(out), run, reporter)
    model = ImageClassifier.load(run, reporter=reporter)
    called = {normalised(name): name for name in model.class_names}
    if named is not None and normalised(named) not in called:
        raise ConfigError(
            f"There is no class {named!r}.", expected=f"There are {', '.join(model.class_names)}."
        )
    shares = model.predict_proba(paths)
    chosen = (
        shares.argmax(1)
        if named is None
        else np.full(len(paths), _place(model, called[normalised(named)]))
    )
    first = _images(model, paths[:1])[1]
    layer = layer or last_map_layer(model.network_, first)
    tiles = [("filters", first_filters(model.network_).numpy())] if filters else []
    if maps:
        tiles.append((f"maps-{maps}", feature_maps(model.network_, first, maps)[:, None].numpy()))
    near, note = _neighbours(model, run, paths)
    found = []
    with writing_to(out):
        mark(out)
        for i, (drawn, is_empty) in enumerate(_maps(model, paths, layer, chosen.tolist())):
            path, name = paths[i], model.class_names[int(chosen[i])]
            picture = str(_write(unused(out, f"{path.stem}-{name}", ".png"), drawn))
            share = float(shares[i, chosen[i]])
            found.append(Explanation(str(path), name, share, layer, picture, near[i], is_empty))
        pictures = [str(_write(unused(out, name, ".png"), tiled(some))) for name, some in tiles]
    return Explanations(tuple(found), tuple(pictures), note)


def _outside_images(out: Path | None, run: Path, reporter: Reporter) -> Path:
    """The folder for the pictures, which is not in the folder of the run's photos."""
    images = _folder_of_images(run if run.is_dir() else run.parent)
    if out is not None:
        require_outside(out, images)
        return out
    if images is None or not is_inside(EXPLAINED, images):
        return EXPLAINED
    out = place_for(EXPLAINED, images)
    reporter.note(f"The pictures go into {out}, beside the photos.")
    return out


def _folder_of_images(run: Path) -> Path | None:
    """The folder that a run's training photos lie in; None of a list's photos, or if not known."""
    request = settings_of_run(run)
    if request is None or not (run / IMAGES).is_file() or request.data.suffix.lower() == ".csv":
        return None
    train = [image.path for image in images_of(run, request) if image.split == "train"]
    return Path(os.path.commonpath([path.parent for path in train])) if train else None


def _place(model: ImageClassifier, name: str) -> int:
    return model.class_names.index(name)


def _images(
    model: ImageClassifier, images: Sequence[Path]
) -> tuple[NDArray[np.uint8], torch.Tensor]:
    """Photos as pixels `n h w c`, and as the network takes them."""
    pixels = np.stack([model.preprocessing.pixels(read(path)) for path in images])
    return pixels, normalise(torch.from_numpy(pixels), model.preprocessing)


def _maps(
    model: ImageClassifier, images: Sequence[Path], layer: str, chosen: Sequence[int]
) -> list[tuple[NDArray[np.uint8], bool]]:
    """Each photo with its map laid over it, and whether the map is empty."""
    found = []
    for start in range(0, len(images), AT_ONCE):
        some = images[start : start + AT_ONCE]
        pixels, inputs = _images(model, some)
        classes = chosen[start : start + AT_ONCE]
        seen = where_it_looked(model.network_, inputs, layer, classes).numpy()
        found += [
            (overlaid(image, where), not where.any())
            for image, where in zip(pixels, seen, strict=True)
        ]
    return found


def _neighbours(
    model: ImageClassifier, run: Path, images: Sequence[Path]
) -> tuple[list[tuple[Neighbour, ...]], str | None]:
    """The training photos that each photo resembles most, or why they are not known."""
    nothing: list[tuple[Neighbour, ...]] = [()] * len(images)
    folder = run if run.is_dir() else run.parent
    request = settings_of_run(run)
    if request is None:
        return nothing, "The training photos are not known: there is no config.json beside it."
    train = [image for image in images_of(folder, request) if image.split == "train"]
    here = [image for image in train if image.path.is_file()]
    if not model.plan.has_features:
        return nothing, "Layers that see the photo were trained: no features are stored to compare."
    if not here:
        return nothing, "The training photos are no longer where they were."
    gone = len(train) - len(here)
    note = f"{count(gone, 'training photo')} can no longer be compared with." if gone else None
    return _nearest(model, here, images), note


def _nearest(
    model: ImageClassifier, train: Sequence[ListedImage], images: Sequence[Path]
) -> list[tuple[Neighbour, ...]]:
    stored = model.gather([image.path for image in train])
    labels = {image.path: image.label for image in train}
    known = pooled(stored.rows)
    asked = pooled(model.plan.judging_rows(list(images), keep=False).rows)
    mean = known.mean(0)
    a, b = (torch.nn.functional.normalize(rows - mean, dim=1) for rows in (asked, known))
    found = []
    for path, row in zip(images, a @ b.T, strict=True):
        same = [i for i, other in enumerate(stored.paths) if other.resolve() == path.resolve()]
        row[same] = -2  # a training photo is not its own evidence
        best = row.topk(min(NEAREST, len(row) - len(same)))
        found.append(
            tuple(
                Neighbour(str(stored.paths[i]), labels[stored.paths[i]], float(value))
                for value, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            )
        )
    return found


def _write(path: Path, picture: NDArray[np.uint8]) -> Path:
    with whole_file(path) as file:
        Image.fromarray(picture).save(file, "PNG")
    return path
