"""Names of classes and groups: written alike whoever wrote them, and told apart as people do."""

import re
import unicodedata
from collections.abc import Iterator, Mapping

from budwood.images.notes import FEW, Note
from budwood.text import count

UNKNOWN = "unknown"
"""What `predict` calls a photo that it does not answer."""
MISSING = frozenset({"nan", "NaN", "NAN", "None", "null", "NULL", "<NA>", "NaT", "#N/A"})
"""What programs write where a label is missing. Not `none` or `NA`, which people give as names."""

_OF_NO_WEIGHT = re.compile(r"[\s_\-\u200b\ufeff]+")


def normalised(name: str) -> str:
    """A name in Unicode's composed form (NFC), without blanks around it.

    macOS decomposes what others compose (Apple TN1150, "HFS Plus"): the names look the same and
    are not equal.

    Example:
        >>> normalised(" rose\u0301") == "ros\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name).strip()


def folded(name: str) -> str:
    """The same for names that differ in case, blanks, hyphens or underscores only.

    Example:
        >>> folded("Sea-Lion") == folded("sea lion")
        True
    """
    return _OF_NO_WEIGHT.sub("", unicodedata.normalize("NFKC", name).casefold())


def names_alike(photos: Mapping[str, int]) -> Iterator[Note]:
    """A note if classes, given with their numbers of photos, are likely meant to be one."""
    of_key: dict[str, list[str]] = {}
    for name in photos:
        of_key.setdefault(folded(name), []).append(name)
    found = [
        ", ".join(f"{name!r} ({photos[name]:,})" for name in names)
        for names in of_key.values()
        if len(names) > 1
    ]
    if found:
        shown = "; ".join(found[:FEW]) + (f"; and {len(found) - FEW:,} more" * (len(found) > FEW))
        yield Note(
            "names-alike",
            "Classes that differ in case, blanks, hyphens or underscores only are told apart: "
            f"{shown}.",
        )


def names_taken(photos: Mapping[str, int]) -> Iterator[Note]:
    """Notes on classes whose names mean something else elsewhere."""
    for name, number in photos.items():
        if name in MISSING:
            text = f"Class {name!r} ({count(number, 'photo')}) is called as programs call no label."
            yield Note("name-taken", text)
        elif name.casefold() == UNKNOWN:
            yield Note(
                "name-taken",
                f"A class is called {name!r}, as photos are that `budwood predict --abstain` does "
                f"not answer: the column {UNKNOWN} of its table tells the two apart.",
            )
