"""The report of a run, made again from its folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budwood.capsule.pack import read_capsule
from budwood.display import displayed
from budwood.image_classifier import ImageClassifier
from budwood.reporter import SILENT, Reporter
from budwood.reporting.pages import write_pages
from budwood.reporting.records import read_record
from budwood.reporting.run_report import facts_of
from budwood.reporting.words import words_of
from budwood.run_folders import writing_to
from budwood.text import visible


@displayed
@dataclass(frozen=True)
class Report:
    """Where the report of a run is, and what is missing in it."""

    run: Path
    report: Path
    card: Path
    language: str
    bytes: int
    """Of the page."""
    missing: tuple[str, ...]
    """Photos that are no longer where they were."""
    left_out: tuple[str, ...]
    """Parts of the page that say why they are empty."""

    def to_json(self) -> dict[str, Any]:
        """The object of `report --json`; see docs/json.md."""
        return {
            "run": str(self.run),
            "report": str(self.report),
            "card": str(self.card),
            "language": self.language,
            "bytes": self.bytes,
            "missing": list(self.missing),
            "left_out": list(self.left_out),
        }

    def __str__(self) -> str:
        missing = len(self.missing)
        first = ", ".join(map(visible, self.missing[:3])) + (", ..." if missing > 3 else "")
        are = "photos are" if missing > 1 else "photo is"
        gone = [f"{missing} {are} no longer there: {first}"] if missing else []
        return "\n".join([f"{self.report} ({self.bytes / 1e6:.1f} MB)", str(self.card), *gone])


def report(
    run: Path | str,
    *,
    language: str = "en",
    reporter: Reporter = SILENT,
) -> Report:
    """Write the report and the model card of a run into its folder.

    Photos are looked for where they were, and their features are taken from the store; what is not
    stored is computed again.

    Args:
        run: The run's folder, or the capsule in it.
        language: `en` or `zh`.
        reporter: Told what the user should know, and how far the work is.

    Raises:
        CapsuleError: If the run has no capsule, or a damaged one.
        ConfigError: If it is no run's folder, or the report cannot be written there.
    """
    words = words_of(language)
    run = Path(run) if Path(run).is_dir() else Path(run).parent
    capsule = read_capsule(run)
    record = read_record(run, capsule.versions, capsule.data.get("fingerprint"))
    model = ImageClassifier.of_capsule(capsule, reporter=reporter)
    gathered = model.gather([image.path for image in record.here()])
    facts = facts_of(record, model, gathered, is_full=True)
    with writing_to(run, "Make room there, or copy the run to where it can be written."):
        page, card = write_pages(facts, run, words)
    left_out = tuple(sorted(facts.gaps))
    return Report(run, page, card, language, page.stat().st_size, facts.missing, left_out)
