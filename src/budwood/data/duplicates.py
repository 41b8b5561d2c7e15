"""Images that must lie on one side of a split: of one file, of one picture, of one burst."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from budwood.data.near_duplicates import EDGES, SIDE, SMALL, SURE_BITS, alike, equal_files, groups
from budwood.errors import ImageError
from budwood.images.contents import CONTENTS, found_once, workers
from budwood.images.decode import decoding, turn_of
from budwood.images.depth import Depth
from budwood.images.pillow import without_pillow_warnings
from budwood.reporter import SILENT, Reporter
from budwood.text import count

PAUSE = 5.0
"""Seconds; photos of one camera that follow each other more closely are a burst."""
_WHEN = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized, ExifTags.Base.DateTime)
HEAD = 2**18
"""Bytes of a file that EXIF data of a JPEG begin within."""
_SEGMENT = 2**16


@dataclass(frozen=True)
class CaptureTime:
    """Where a photo stands in what its camera took."""

    camera: str
    """Maker, model and serial number, as far as they are there."""
    seconds: float
    """On the camera's own clock."""


def moment_of(data: bytes) -> CaptureTime | None:
    """When a photo was taken, by the EXIF data in its file's bytes; None if they do not say."""
    try:
        exif, details = _exif(data)
    except Exception:  # Pillow's readers raise nearly every class there is
        return None
    names = [
        exif.get(ExifTags.Base.Make),
        exif.get(ExifTags.Base.Model),
        details.get(ExifTags.Base.BodySerialNumber),
    ]
    camera = " ".join(text for text in map(_text, names) if text)
    # Without a camera the last of these is when some program wrote the file.
    tags = _WHEN if camera else _WHEN[:-1]
    taken = next((found[tag] for tag in tags for found in (details, exif) if tag in found), None)
    try:
        when = datetime.strptime(_text(taken), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    fraction = _text(details.get(ExifTags.Base.SubsecTimeOriginal))
    seconds = (when - datetime(1970, 1, 1)).total_seconds()
    if fraction.isdigit():
        seconds += float(f"0.{fraction}")
    return CaptureTime(camera, seconds)


def bursts(moments: Sequence[CaptureTime | None], pause: float = PAUSE) -> list[list[int]]:
    """Photos of one camera that follow each other within `pause` seconds, by position, in order."""
    known = sorted((m.camera, m.seconds, i) for i, m in enumerate(moments) if m is not None)
    found: list[list[int]] = []
    for before, (camera, seconds, i) in zip([None, *known], known, strict=False):
        if before is not None and before[0] == camera and seconds - before[1] <= pause:
            found[-1].append(i)
        else:
            found.append([i])
    return [burst for burst in found if len(burst) > 1]


def _exif(data: bytes) -> tuple[dict[int, Any], dict[int, Any]]:
    """What is said of the photo, and what of how it was taken."""
    if data.startswith(b"\xff\xd8"):  # a JPEG need not be opened for it, which takes long
        start = data.find(b"Exif\0\0", 0, HEAD)
        if start < 0:
            return {}, {}
        exif = Image.Exif()
        exif.load(data[start : start + _SEGMENT])
        return dict(exif), exif.get_ifd(ExifTags.IFD.Exif)
    with without_pillow_warnings(), Image.open(BytesIO(data)) as image:
        exif = image.getexif()
        return dict(exif), exif.get_ifd(ExifTags.IFD.Exif)


def _text(value: object) -> str:
    return str(value).strip("\0 ") if value is not None else ""


ENOUGH = 1.75
"""Pixels that are to be left for each of the small copy's, where a photo is decoded at a fraction
of its size."""
FIRST_WORD, OTHER_WORDS = 1.0, 10.0
"""Seconds after which it is said how far it is."""


@dataclass(frozen=True)
class Thumbnail:
    """What is seen of a photo at a glance."""

    small: NDArray[np.uint8]
    """`64 64`, see `near_duplicates.py`."""
    size: tuple[int, int]
    """Height and width, upright."""
    moment: CaptureTime | None
    """None where the photo does not say when it was taken."""


def _reduction(height: int, width: int) -> int:
    spare = min(height, width) / SIDE / ENOUGH
    return next((reduction for reduction in (8, 4, 2) if reduction <= spare), 1)


def glance(path: Path, depth: Depth | None = None) -> Thumbnail:
    """What is seen of a photo."""
    with turn_of(path):
        data = CONTENTS.read(path)
        with decoding(data, _reduction, depth=depth) as decoded:
            small = SMALL.fit(decoded.image)[..., 0]
        return Thumbnail(small, (decoded.height, decoded.width), moment_of(data))


def glances(
    paths: Sequence[Path],
    depth: Depth | None = None,
    reporter: Reporter = SILENT,
) -> list[Thumbnail | None]:
    """What is seen of each photo, by all cores; None of a photo that cannot be read."""
    with ThreadPoolExecutor(workers()) as pool:
        try:
            seen = [pool.submit(_glance_if_readable, depth, path) for path in paths]
            pause = FIRST_WORD
            while left := wait(seen, timeout=pause).not_done:
                pause = OTHER_WORDS
                far = f"{len(seen) - len(left):,} of {len(seen):,} photos so far"
                reporter.note(f"Looking for copies of a picture: {far}.")
            return [one.result() for one in seen]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def moments_of(paths: Sequence[Path]) -> list[CaptureTime | None]:
    """When each photo was taken, from the first bytes of its file; None where that is not told."""
    moments: list[CaptureTime | None] = []
    for path in paths:
        head = b""
        with suppress(OSError), path.open("rb") as file:
            head = file.read(HEAD)
        moments.append(moment_of(head))
    return moments


def _glance_if_readable(depth: Depth | None, path: Path) -> Thumbnail | None:
    try:
        return glance(path, depth)
    except ImageError:
        return None


MOST_BYTES = 400 * 2**20
"""Of all files together; of more, copies of a picture are not looked for: it would take as long as
everything else."""
MOST_IMAGES = 30_000
"""Of more photos, likewise."""
VERSION = 2
"""Raised when photos come to be told alike in another way: what is kept is stale."""


@dataclass(frozen=True)
class DuplicateGroups:
    """Which photos belong together."""

    groups: tuple[int, ...]
    """A number for each photo, the same for all that belong together."""
    equal: int
    """Photos whose file is there more than once."""
    alike: int
    """Other photos of which there is a copy."""
    bursts: int
    """Other photos that were taken within seconds of another."""
    was_searched: bool
    """False if the files were too many or too large to look for copies of a picture."""
    left_out: int = 0
    """Pairs with like hashes that were too many to be compared."""

    @property
    def is_empty(self) -> bool:
        """True if every photo stands for itself."""
        return len(set(self.groups)) == len(self.groups)

    def __str__(self) -> str:
        kinds = [
            (self.equal, "equal files"),
            (self.alike, "the same picture"),
            (self.bursts, "bursts"),
        ]
        number = count(self.equal + self.alike + self.bursts, "photo")
        return f"{number} ({', '.join(f'{n:,} {what}' for n, what in kinds if n)})"


def together(
    paths: Sequence[Path],
    depth: Depth | None = None,
    reporter: Reporter = SILENT,
) -> DuplicateGroups:
    """Which photos belong together; those that cannot be read stand for themselves."""

    def from_json(kept: Any) -> DuplicateGroups:
        found = DuplicateGroups(**kept | {"groups": tuple(kept["groups"])})
        if len(found.groups) != len(paths):
            raise ValueError
        return found

    depth = depth or Depth()
    about = f"{VERSION} {MOST_BYTES} {MOST_IMAGES} {SURE_BITS} {EDGES} {PAUSE}"
    about += f" {depth}" if depth else ""
    find = partial(_looked_at, paths, depth, reporter)
    return found_once("groups", paths, about, find, asdict, from_json)


def _looked_at(paths: Sequence[Path], depth: Depth, reporter: Reporter) -> DuplicateGroups:
    sizes = [_size(path) for path in paths]
    is_searched = sum(sizes) <= MOST_BYTES and len(paths) <= MOST_IMAGES
    copies, left_out = list[tuple[int, int]](), 0
    if is_searched:
        seen = glances(paths, depth, reporter)
        moments = [None if one is None else one.moment for one in seen]
        copies, left_out = _copies(seen)
    else:
        moments = moments_of(paths)
    equal = _equal(paths, sizes)
    taken = [(first, other) for first, *others in bursts(moments) for other in others]
    in_equal, in_copies, in_bursts = (set(chain(*pairs)) for pairs in (equal, copies, taken))
    return DuplicateGroups(
        tuple(groups(len(paths), [*equal, *copies, *taken])),
        len(in_equal),
        len(in_copies - in_equal),
        len(in_bursts - in_copies - in_equal),
        is_searched,
        left_out,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # what cannot be read is reported where photos are read
        return 0


def _equal(paths: Sequence[Path], sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of equal files; only files of one size are read. Empty files are no photos."""
    of_size = defaultdict(list)
    for i, size in enumerate(sizes):
        of_size[size].append(i)
    candidates = [i for size, files in of_size.items() if size and len(files) > 1 for i in files]
    readable, digests = [], []
    for i in candidates:
        try:
            digests.append(CONTENTS.digest_of(paths[i]))
        except ImageError:
            continue
        readable.append(i)
    return [(readable[pair.first], readable[pair.second]) for pair in equal_files(digests)]


def _copies(seen: Sequence[Thumbnail | None]) -> tuple[list[tuple[int, int]], int]:
    """Pairs that show one picture, and how many pairs were left out of the search for them."""
    shown = [(i, one.small) for i, one in enumerate(seen) if one is not None]
    if len(shown) < 2:
        return [], 0
    found = alike(np.stack([small for _, small in shown]), bits=SURE_BITS)
    pairs = [(shown[pair.first][0], shown[pair.second][0]) for pair in found.pairs]
    return pairs, found.left_out
