"""Why a saved classifier says what it says to a photo: where it looked, and what it resembles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from budwood.arrays import Pixels
from budwood.classifier import Classifier, load
from budwood.errors import BudwoodError, ConfigError
from budwood.images.folder import load_folder
from budwood.images.reading import read
from budwood.images.splits import Split
from budwood.judging.attribution import (
    feature_maps,
    first_filters,
    last_map_layer,
    where_it_looked,
)
from budwood.learning.precision_trial import pooled
from budwood.networks.prepared import normalise
from budwood.places import whole_file
from budwood.run_folders import request_of

STRENGTH = 0.55
"""How much of the colours is laid over the photo where the map is strongest."""
NEAREST = 3
"""Training photos that are shown as evidence."""


@dataclass(frozen=True)
class Neighbour:
    """A training photo that a photo resembles."""

    path: str
    label: str
    cosine: float
    """Of their features, the mean of all training photos taken off."""


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

    def to_json(self) -> dict[str, Any]:
        """As it stands in `explain --json`."""
        return {
            "path": self.path,
            "class": self.named,
            "probability": self.probability,
            "layer": self.layer,
            "picture": self.picture,
            "neighbours": [
                {"path": n.path, "class": n.label, "cosine": n.cosine} for n in self.neighbours
            ],
        }

    def __str__(self) -> str:
        near = "".join(f"\n  like {n.path} ({n.label}, {n.cosine:.2f})" for n in self.neighbours)
        return (
            f"{self.path}: {self.named} {self.probability:.3f}; where it looked ({self.layer}): "
            f"{self.picture}{near}"
        )


@dataclass(frozen=True)
class Explanations:
    """Explanations of some photos."""

    photos: tuple[Explanation, ...]
    pictures: tuple[str, ...]
    """Of filters and feature maps, where they were asked for."""
    note: str | None
    """Why no training photos are shown, if they are not."""

    def to_json(self) -> dict[str, Any]:
        """The object of `explain --json`; see docs/json.md."""
        return {
            "photos": [photo.to_json() for photo in self.photos],
            "pictures": list(self.pictures),
            "note": self.note,
        }

    def __str__(self) -> str:
        lines = [str(photo) for photo in self.photos]
        return "\n".join([*lines, *self.pictures, *([self.note] if self.note else [])])


def explain_run(
    run: Path,
    photos: Sequence[Path],
    out: Path,
    *,
    layer: str | None = None,
    named: str | None = None,
    maps: str | None = None,
    filters: bool = False,
    on_note: Callable[[object], None] = lambda note: None,
) -> Explanations:
    """Explain what a saved classifier says to photos, in pictures.

    Args:
        run: The run's folder or its capsule.
        photos: Photos.
        out: Folder for the pictures.
        layer: The layer whose map is shown; default: the last with a map.
        named: The class to explain; default: the predicted one of each photo.
        maps: A layer whose feature maps are drawn too, of the first photo.
        filters: Whether the filters of the first convolution are drawn too.
        on_note: Told what the user should know, a line each.

    Raises:
        BudwoodError: If the run or a photo cannot be read, or there is no such layer or class.
    """
    model = load(run, on_note=on_note)
    if named is not None and named not in model.classes_:
        raise ConfigError(
            f"There is no class {named!r}.", expected=f"There are {', '.join(model.classes_)}."
        )
    pixels = np.stack([model.preprocessing.pixels(read(path)) for path in photos])
    images = normalise(torch.from_numpy(pixels), model.preprocessing)
    layer = layer or last_map_layer(model.network, images)
    shares = model.predict_proba(list(photos))
    chosen = shares.argmax(1) if named is None else [model.classes_.index(named)] * len(photos)
    seen = where_it_looked(model.network, images, layer, [int(k) for k in chosen]).numpy()
    near, note = _neighbours(model, run, photos)
    found = []
    for i, path in enumerate(photos):
        k = int(chosen[i])
        picture = _unused(out, f"{path.stem}-{model.classes_[k]}")
        _write(picture, overlaid(pixels[i], seen[i]))
        found.append(
            Explanation(
                str(path), model.classes_[k], float(shares[i, k]), layer, str(picture), near[i]
            )
        )
    pictures = []
    if filters:
        pictures.append(
            _write(_unused(out, "filters"), tiled(first_filters(model.network).numpy()))
        )
    if maps:
        grey = feature_maps(model.network, images[:1], maps)[:, None].numpy()
        pictures.append(_write(_unused(out, f"maps-{maps}"), tiled(grey)))
    return Explanations(tuple(found), tuple(map(str, pictures)), note)


def overlaid(pixels: NDArray[np.uint8], seen: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A photo `h w c` with a map `h w` of 0 to 1 laid over it in colours, `h w 3`."""
    from matplotlib import colormaps

    colours = colormaps["inferno"](seen)[..., :3] * 255
    grey_or_rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.float64)
    share = STRENGTH * seen[..., None]
    mixed: NDArray[np.uint8] = (
        ((1 - share) * grey_or_rgb + share * colours).round().astype(np.uint8)
    )
    return np.asarray(mixed.round().astype(np.uint8))


def tiled(tiles: NDArray[np.floating], most: int = 256, least: int = 32) -> NDArray[np.uint8]:
    """Tiles `n c h w` of 0 to 1 side by side in one picture, each at least `least` pixels wide."""
    n, _, height, width = tiles.shape
    n = min(n, most)
    across = int(np.ceil(np.sqrt(n)))
    zoom = max(1, -(-least // width))
    tall, wide = height * zoom + 2, width * zoom + 2
    sheet = np.full((-(-n // across) * tall, across * wide, 3), 255, np.uint8)
    for i in range(n):
        tile = np.moveaxis((tiles[i] * 255).round().astype(np.uint8), 0, 2)
        top, left = i // across * tall, i % across * wide
        large = tile.repeat(zoom, 0).repeat(zoom, 1)
        sheet[top : top + height * zoom, left : left + width * zoom] = large
    return sheet


def _neighbours(
    model: Classifier, run: Path, photos: Sequence[Path]
) -> tuple[list[tuple[Neighbour, ...]], str | None]:
    """The training photos that each photo resembles most, or why they are not known."""
    nothing: list[tuple[Neighbour, ...]] = [()] * len(photos)
    request = request_of(run)
    if request is None:
        return nothing, "The training photos are not known: name the run's folder, not its capsule."
    try:
        train = load_folder(
            request["data"],
            test=request["test"],
            val=request["val"],
            test_fraction=request["test_fraction"],
            seed=request["seed"],
            group=request.get("group"),
        ).train
    except BudwoodError as problem:
        return nothing, f"The training photos are not where they were: {problem.problem}"
    return _nearest(model, train, photos), None


def _nearest(
    model: Classifier, train: Split, photos: Sequence[Path]
) -> list[tuple[Neighbour, ...]]:
    stored = model.gather(train.paths)
    labels = dict(zip(train.paths, train.labels, strict=True))
    known = pooled(stored.rows)
    asked = pooled(model.gather(list(photos)).rows)
    mean = known.mean(0)
    a, b = (torch.nn.functional.normalize(rows - mean, dim=1) for rows in (asked, known))
    found = []
    for path, row in zip(photos, a @ b.T, strict=True):
        same = [i for i, other in enumerate(stored.paths) if other.resolve() == path.resolve()]
        row[same] = -2  # a training photo is not its own evidence
        best = row.topk(min(NEAREST, len(row)))
        found.append(
            tuple(
                Neighbour(
                    str(stored.paths[i]), train.classes[labels[stored.paths[i]]], float(value)
                )
                for value, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            )
        )
    return found


def _unused(folder: Path, name: str) -> Path:
    """`NAME.png`, or with the first number behind it that is not there yet."""
    name = name.replace("/", "-")
    path, number = folder / f"{name}.png", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.png"
    return path


def _write(path: Path, picture: Pixels | NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        Image.fromarray(picture).save(file, "PNG")
    return path
