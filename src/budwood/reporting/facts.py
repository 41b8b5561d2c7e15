"""What a report tells of a run, as plain values: everything a page or a card is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from budwood.judging.calibration import Reliability
from budwood.settings import Settings


@dataclass(frozen=True)
class Picture:
    """A photo as a report shows it."""

    path: str
    """As short as it can be said: inside the folder of the photos, if it lies there."""
    label: str
    predicted: str | None = None
    probability: float | None = None
    """Of the predicted class."""
    thumbnail: str | None = None
    """A `data:` address; None if the photo is no longer there."""
    map: str | None = None
    """Likewise, with where the network looked laid over it."""


@dataclass(frozen=True)
class Cell:
    """A cell of the confusion matrix."""

    label: str
    predicted: str
    photos: int
    shown: tuple[Picture, ...]
    """Some of them, or none where they are not there."""

    @property
    def is_right(self) -> bool:
        """True on the diagonal."""
        return self.label == self.predicted


@dataclass(frozen=True)
class Found:
    """Photos that are worth a look, and why."""

    kind: str
    """`leak`, `conflict`, `copy` or `label`; the report has words for each."""
    photos: tuple[Picture, ...]
    values: Mapping[str, str] = field(default_factory=dict)
    """What the words have gaps for."""


@dataclass(frozen=True)
class Point:
    """Accuracy with some of the training photos."""

    photos: int
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Growth:
    """What more photos would bring."""

    points: tuple[Point, ...]
    forecast: Point | None
    """With so many more photos of each class."""
    extra: int
    """How many."""
    by_probe: bool
    """True where a linear head stands for a graft that would take too long to train again."""


@dataclass(frozen=True)
class Facts:
    """A run, as a report tells it."""

    run: str
    request: Settings
    """Of `config.json`."""
    result: Mapping[str, Any]
    """Of `result.json`; see docs/json.md."""
    command: str
    """What repeats it."""
    versions: Mapping[str, str]
    fingerprint: str | None
    """Of the training photos and their classes."""
    preprocessing: str
    """What is done to a photo before the network sees it."""
    drawing: str | None = None
    """The network, as an SVG element."""
    layers: tuple[str, ...] = ()
    """What trains, by name."""
    cells: tuple[tuple[Cell, ...], ...] = ()
    """The confusion matrix."""
    confusions: tuple[Cell, ...] = ()
    """Its most frequent mistakes, where the matrix is too large to be shown."""
    wrong: tuple[Picture, ...] = ()
    unsure: tuple[Picture, ...] = ()
    layer: str | None = None
    """The layer whose maps are shown."""
    reliability: Reliability | None = None
    growth: Growth | None = None
    found: tuple[Found, ...] = ()
    small: Mapping[str, int] = field(default_factory=dict)
    """Classes with very few training photos."""
    missing: tuple[str, ...] = ()
    """Photos of the run that are no longer where they were."""
    listed: int = 0
    """Photos of the run in all; 0 if that is not known."""
    gaps: Mapping[str, str] = field(default_factory=dict)
    """By the section: the name of the sentence that says why something is not in it."""
