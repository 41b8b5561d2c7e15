"""What a run says of its classifier beside the accuracy on test photos."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from budwood.display import displayed
from budwood.judging.cross_validation import CrossValidation
from budwood.judging.honesty import Honesty
from budwood.judging.learning_curve import LearningCurve


@displayed
@dataclass(frozen=True)
class Told:
    """What a run says beside accuracy; None of what was not asked for or cannot be known."""

    honesty: Honesty | None = None
    """How far its word could be taken on the test photos; None if there are none."""
    kfold: CrossValidation | None = None
    learning_curve: LearningCurve | None = None

    def to_json(self) -> dict[str, Any]:
        """Five keys of `train --json`; see docs/json.md."""
        untold = {"calibration": None, "strange": None, "abstain": None}
        return {
            **(untold if self.honesty is None else self.honesty.to_json()),
            "kfold": self.kfold and self.kfold.to_json(),
            "learning_curve": self.learning_curve and self.learning_curve.to_json(),
        }

    def lines(self) -> Iterator[str]:
        """For people, a paragraph each."""
        for part in (self.honesty, self.kfold, self.learning_curve):
            if part is not None:
                yield str(part)
