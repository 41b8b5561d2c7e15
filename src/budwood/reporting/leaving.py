"""What a training leaves behind for people: the list of its photos, and the first page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from budwood.capsule.pack import installed_versions
from budwood.classifier import Classifier
from budwood.features.gathering import Gathered
from budwood.images.folder import ImageFolder
from budwood.reporting.gathering import facts_of
from budwood.reporting.pages import CARD, REPORT, write_pages
from budwood.reporting.records import PHOTOS, Record, listed, write_photos
from budwood.reporting.words import words_of
from budwood.settings import Settings


def remove_pages(folder: Path) -> None:
    """Remove the pages of an earlier run that is being replaced: they tell of another classifier.

    Raises:
        OSError: If that is not possible.
    """
    for name in (REPORT, CARD):
        (folder / name).unlink(missing_ok=True)


def leave_page(
    folder: Path,
    request: Settings,
    result: Mapping[str, Any],
    photos: ImageFolder,
    model: Classifier,
    gathered: Gathered,
) -> None:
    """Write the list of a run's photos and, if it is wanted, the quick part of its report.

    Args:
        folder: The run's.
        request: What was asked for.
        result: As it stands in `result.json`.
        photos: Those that were used.
        model: Fitted to them.
        gathered: Their rows for judging.

    Raises:
        OSError: If something cannot be written.
    """
    used = listed(photos)
    write_photos(folder / PHOTOS, used)
    if not request.report:
        return
    fingerprint = None if model.fit_ is None else model.fit_.fingerprint
    record = Record(folder, request, result, used, installed_versions(), fingerprint)
    write_pages(facts_of(record, model, gathered, is_full=False), folder, words_of("en"))
