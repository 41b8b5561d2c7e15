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
from pathlib import Path

import numpy as np

from budwood.errors import PhotoError
from budwood.files import home, whole_file
from budwood.images.components import groups
from budwood.images.contents import CONTENTS
from budwood.images.depth import Depth
from budwood.images.glances import Glance, glances, moments_of
from budwood.images.likeness import EDGES, SURE_BITS, alike, equal_files
from budwood.images.moments import PAUSE, Moment, bursts
from budwood.images.reading import files_digest
from budwood.text import count

MOST_BYTES = 400 * 2**20
"""Of all files together; of more, copies of a picture are not looked for: it would take as long as
everything else."""
MOST_PHOTOS = 30_000
"""Of more photos, likewise."""
VERSION = 2
"""Raised when photos come to be told alike in another way: what is kept is stale."""


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
    was_searched: bool
    """False if the files were too many or too large to look for copies of a picture."""
    left_out: int = 0
    """Pairs with like hashes that were too many to be compared."""

    @property
    def is_complete(self) -> bool:
        """True if every copy of a picture was looked for."""
        return self.was_searched and not self.left_out

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
    on_note: Callable[[str], None] = lambda note: None,
) -> Together:
    """Which photos belong together; those that cannot be read stand for themselves.

    What was found is kept, and found again as long as no file changes.

    Args:
        paths: Photos.
        depth: What is black and white in those of more than 8 bits.
        on_note: Told how far it is, if it takes long.
    """
    depth = depth or Depth()
    place = _place(paths, depth)
    kept = _kept(place, len(paths))
    if kept is None:
        kept = _looked_at(paths, depth, on_note)
        with suppress(OSError), whole_file(place) as file:  # it only saves time
            file.write(json.dumps(asdict(kept)).encode())
    return kept


def _looked_at(paths: Sequence[Path], depth: Depth, on_note: Callable[[str], None]) -> Together:
    sizes = [_size(path) for path in paths]
    is_searched = sum(sizes) <= MOST_BYTES and len(paths) <= MOST_PHOTOS
    equal = _equal(paths, sizes)
    copies: list[tuple[int, int]] = []
    left_out = 0
    moments: list[Moment | None]
    if is_searched:
        seen = glances(paths, depth, on_note)
        moments = [None if one is None else one.moment for one in seen]
        copies, left_out = _copies(seen)
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
        is_searched,
        left_out,
    )


def _place(paths: Sequence[Path], depth: Depth) -> Path:
    """Where it is kept what these files are found to be; another place once one of them changes."""
    about = f"{VERSION} {MOST_BYTES} {MOST_PHOTOS} {SURE_BITS} {EDGES} {PAUSE}"
    about += f" {depth}" if depth else ""
    return home() / "groups" / f"{files_digest(paths, about)}.json"


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
            digests.append(CONTENTS.digest_of(paths[i]))
        except PhotoError:
            continue
        readable.append(i)
    return [(readable[pair.first], readable[pair.second]) for pair in equal_files(digests)]


def _copies(seen: Sequence[Glance | None]) -> tuple[list[tuple[int, int]], int]:
    """Pairs that show one picture, and how many pairs were left out of the search for them."""
    shown = [(i, one.small) for i, one in enumerate(seen) if one is not None]
    if len(shown) < 2:
        return [], 0
    found = alike(np.stack([small for _, small in shown]), bits=SURE_BITS)
    pairs = [(shown[pair.first][0], shown[pair.second][0]) for pair in found.pairs]
    return pairs, found.left_out
