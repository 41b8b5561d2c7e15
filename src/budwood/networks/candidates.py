"""The networks that are meant by names, globs and `NAME=WEIGHTS`."""

from collections.abc import Sequence
from dataclasses import dataclass

from budwood.errors import UnknownName
from budwood.networks.at_hand import at_hand
from budwood.networks.catalog import find, models


@dataclass(frozen=True)
class Candidate:
    """A network to compare."""

    model: str
    weights: str = "imagenet"

    def __str__(self) -> str:
        return self.model + ("" if self.weights == "imagenet" else f"={self.weights}")


def candidates(asked: Sequence[str]) -> tuple[Candidate, ...]:
    """The networks that are meant.

    Args:
        asked: Names, globs, and `NAME=WEIGHTS`; none: all whose weights are on this machine.

    Raises:
        UnknownName: If one matches no network.

    Example:
        >>> [str(c) for c in candidates(["resnet18=none", "efficientnet_lite[01]"])]
        ['resnet18=none', 'efficientnet_lite0', 'efficientnet_lite1']
    """
    found: dict[str, Candidate] = {}
    for text in asked:
        pattern, _, weights = text.partition("=")
        matching = [a.name for a in models(pattern)]
        if not matching and not set("*?[") & set(pattern):
            matching = [find(pattern).name]  # or the nearest name is told
        if not matching:
            raise UnknownName(
                f"No network matches {pattern!r}.",
                next="`budwood models` lists all; quote the glob: 'resnet*'.",
            )
        for name in matching:
            found[f"{name}={weights}"] = Candidate(name, weights or "imagenet")
    if not asked:
        for one in at_hand():
            candidate = Candidate(
                one.architecture.name, "imagenet" if one.is_default else one.weights
            )
            found[f"{candidate}"] = candidate
    return tuple(found.values())
