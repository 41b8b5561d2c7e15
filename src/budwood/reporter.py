"""Who is told what happens while it happens: notes, how far the work is, epochs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from budwood.display import displayed


@dataclass(frozen=True)
class Progress:
    """How far a pass over the images has come."""

    done: int
    total: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Average speed so far."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the average speed; None before the first image."""
        return (self.total - self.done) / self.images_per_second if self.done else None


def _keep_silent(event: object) -> None:
    """Nobody listens. A function, because a lambda could not be pickled."""


@displayed
@dataclass(frozen=True)
class Reporter:
    """Functions that are told what happens; what is left out keeps silent.

    Example:
        >>> Reporter(note=print).note("2 images are left out.")
        2 images are left out.
    """

    note: Callable[[object], None] = _keep_silent
    """Told what the user should know: a value that prints as a line or two."""
    progress: Callable[[Progress], None] = _keep_silent
    """Told after each batch how far a pass over the images is."""
    epoch: Callable[[dict[str, Any]], None] = _keep_silent
    """Told each epoch's row of the history."""


SILENT = Reporter()
