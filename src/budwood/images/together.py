"""Photos that must lie on one side of a split: of one file, of one picture, of one burst.

A photo that is tested on must not be one that was trained on in another guise. This is looked for
before photos are set aside, without any network: equal files by their digests, bursts by EXIF time
and camera, and copies of a picture by hashes of small grey copies, if the files are not too large
to be decoded for it. `budwood audit` looks more closely.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from budwood.errors import PhotoError
from budwood.images.glances import Glance, glances, moments_of
from budwood.images.likeness import EDGES, alike, equal_files, groups
from budwood.images.moments import PAUSE, Moment, bursts
from budwood.images.notes import count
from budwood.images.reading import digest, read
from budwood.places import home, whole_file

MOST_BYTES = 400 * 2**20
"""Of all files together; of more, copies of a picture are not looked for: it would take as long as
everything else."""
MOST_PHOTOS = 30_000
"""Of more photos, likewise."""
VERSION = 1
"""Raised when photos come to be told alike in another way: what is kept is stale."""
BITS = 16
"""By how many bits of 64 the hashes of two copies may differ to be laid upon each other."""


@dataclass(frozen=True)
class Together:
    """Which photos belong together."""

    groups: tuple[int, ...]
    """A number for each photo, the same for all that belong together."""
    equal: int
    """Photos whose file is there more than once."""
    alike: int
    """Other photos of which there is a copy."""
    bursts: int
    """Other photos that were taken within seconds of another."""
    is_complete: bool
    """False if the files were too many or too large to look for copies of a picture."""

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


def together(paths: Sequence[Path], on_note: Callable[[str], None] = lambda note: None) -> Together:
    """Which photos belong together; those that cannot be read stand for themselves.

    What was found is kept, and found again as long as no file changes.

    Args:
        paths: Photos.
        on_note: Told how far it is, if it takes long.
    """
    place = _place(paths)
    kept = _kept(place, len(paths))
    if kept is None:
        kept = _looked_at(paths, on_note)
        with suppress(OSError), whole_file(place) as file:  # it only saves time
            file.write(json.dumps(asdict(kept)).encode())
    return kept


def _looked_at(paths: Sequence[Path], on_note: Callable[[str], None]) -> Together:
    sizes = [_size(path) for path in paths]
    is_complete = sum(sizes) <= MOST_BYTES and len(paths) <= MOST_PHOTOS
    equal = _equal(paths, sizes)
    copies: list[tuple[int, int]] = []
    moments: list[Moment | None]
    if is_complete:
        seen = glances(paths, on_note)
        moments = [None if one is None else one.moment for one in seen]
        copies = _copies(seen)
    else:
        moments = moments_of(paths)
    runs = bursts(moments)
    taken = [(run[0], other) for run in runs for other in run[1:]]
    in_equal, in_copies, in_bursts = ({i for pair in pairs for i in pair}
                                      for pairs in (equal, copies, taken))  # fmt: skip
    return Together(
        tuple(groups(len(paths), [*equal, *copies, *taken])),
        len(in_equal),
        len(in_copies - in_equal),
        len(in_bursts - in_copies - in_equal),
        is_complete,
    )


def _place(paths: Sequence[Path]) -> Path:
    """Where it is kept what these files are found to be; another place once one of them changes."""
    seen = blake2b(f"{VERSION} {MOST_BYTES} {MOST_PHOTOS} {BITS} {EDGES} {PAUSE}".encode())
    for path in paths:
        try:
            about = path.stat()
        except OSError:
            seen.update(f"{path.absolute()}\0".encode(errors="surrogateescape"))
        else:
            said = f"{path.absolute()}\0{about.st_size}\0{about.st_mtime_ns}\0"
            seen.update(said.encode(errors="surrogateescape"))
    return home() / "groups" / f"{seen.hexdigest()[:32]}.json"


def _kept(place: Path, photos: int) -> Together | None:
    try:
        found = json.loads(place.read_bytes())
        kept = Together(**found | {"groups": tuple(found["groups"])})
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: it is made anew
        return None
    return kept if len(kept.groups) == photos else None


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
            digests.append(digest(read(paths[i])))
        except PhotoError:
            continue
        readable.append(i)
    return [(readable[pair.first], readable[pair.second]) for pair in equal_files(digests)]


def _copies(seen: Sequence[Glance | None]) -> list[tuple[int, int]]:
    shown = [(i, one.small) for i, one in enumerate(seen) if one is not None]
    if len(shown) < 2:
        return []
    found = alike(np.stack([small for _, small in shown]), bits=BITS)
    return [(shown[pair.first][0], shown[pair.second][0]) for pair in found]
