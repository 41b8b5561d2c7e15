"""Faults planted in a copy of photos: wrong labels, copies across splits, bursts."""

import os
import random
import shutil
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from measuring import images_in
from PIL import ExifTags, Image, ImageOps

KINDS = ("recompressed", "resized", "mirrored", "cropped")
EXACT = 4
"""Copies of files, besides the changed ones."""
BURST = 4
"""Photos of one burst."""


@dataclass
class Planted:
    """What was planted, by paths in the copy."""

    folder: Path
    flipped: dict[Path, str] = field(default_factory=dict)
    """Photos in a wrong class folder, with the right class."""
    copies: dict[Path, tuple[str, Path]] = field(default_factory=dict)
    """Copies, each with what was done to it and the photo it was made from."""
    bursts: list[list[Path]] = field(default_factory=list)


def changed(image: Path, kind: str, chance: random.Random) -> bytes:
    """The file of a photo after it was changed in one way."""
    with Image.open(image) as opened:
        picture = opened.convert("RGB")
    quality = 90
    if kind == "recompressed":
        quality = chance.randint(35, 75)
    elif kind == "resized":
        share = chance.uniform(0.4, 0.75)
        picture = picture.resize(
            [round(side * share) for side in picture.size], Image.Resampling.BICUBIC
        )
    elif kind == "mirrored":
        picture = ImageOps.mirror(picture)
    elif kind == "cropped":
        cut = [chance.uniform(0.01, 0.07) for _ in range(4)]
        width, height = picture.size
        box = [cut[0] * width, cut[1] * height, (1 - cut[2]) * width, (1 - cut[3]) * height]
        picture = picture.crop([round(side) for side in box])
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def plant(data: Path, folder: Path, seed: int, *, copies: int = 40, flips: float = 0.05) -> Planted:
    """A copy of flowers with faults.

    Args:
        data: Has `train` and `val` with one folder a class.
        folder: Where the copy is made.
        seed: Chooses photos and changes.
        copies: Photos of train with a changed copy in val, of each kind the same number.
        flips: Share of all photos that are put into another class.
    """
    chance = random.Random(seed)
    for image in images_in(data):
        _link(image, folder / image.relative_to(data))
    planted = Planted(folder)
    images = images_in(folder)
    classes = sorted({image.parent.name for image in images})
    train = [image for image in images if image.relative_to(folder).parts[0] == "train"]
    sources = chance.sample(train, copies + EXACT)
    for i, image in enumerate(sources):
        kind = KINDS[i % len(KINDS)] if i < copies else "exact"
        target = folder / "val" / image.parent.name / f"copy{i}-{image.stem}.jpg"
        target.write_bytes(image.read_bytes() if kind == "exact" else changed(image, kind, chance))
        planted.copies[target] = kind, image
    others = [image for image in images if image not in sources]
    for image in chance.sample(others, round(flips * len(images))):
        wrong = chance.choice([name for name in classes if name != image.parent.name])
        target = image.parent.parent / wrong / f"flipped-{image.name}"
        os.rename(image, target)
        planted.flipped[target] = image.parent.name
    return planted


def plant_bursts(
    data: Path, folder: Path, seed: int, *, images: int = 60, bursts: int = 8
) -> Planted:
    """Class folders without parts, with photos taken within seconds of each other and copies."""
    chance = random.Random(seed)
    planted = Planted(folder)
    for name in sorted(path.name for path in (data / "train").iterdir()):
        for image in chance.sample(images_in(data / "train" / name), images):
            _link(image, folder / name / image.name)
    chosen = chance.sample(images_in(folder), bursts * BURST + 3 * bursts)
    for number in range(bursts):
        burst = chosen[number * BURST : (number + 1) * BURST]
        for i, image in enumerate(burst):
            _take_at(image, f"2024:05:{number + 1:02} 12:00:{2 * i:02}")
        planted.bursts.append(burst)
    for i, image in enumerate(chosen[bursts * BURST :]):
        kind = KINDS[i % 3]
        target = image.with_name(f"copy{i}-{image.stem}.jpg")
        target.write_bytes(changed(image, kind, chance))
        planted.copies[target] = kind, image
    return planted


def _take_at(image: Path, when: str) -> None:
    """Say in its EXIF data when a photo was taken, and by which camera."""
    with Image.open(image) as opened:
        picture = opened.convert("RGB")
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Maker", "Camera"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = when
    image.unlink()  # it may be a link to somebody's photo
    picture.save(image, "JPEG", quality=95, exif=exif)


def _link(image: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(image, target)
    except OSError:  # another disk
        shutil.copy(image, target)
