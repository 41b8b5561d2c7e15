"""Every error that Budwood raises, and nothing else.

BudwoodError
├── DataError (ValueError)        a folder, a list of photos or a split is not what was expected
│   └── ImageError                one image cannot be read
├── ConfigError (ValueError)      an option has an impossible value
├── PatternError (ValueError)     a pattern over layer names matches nothing
├── CutError (ValueError)         a network cannot be split into trunk and graft as asked
├── UnknownName (KeyError)        no architecture, recipe or layer is called that
├── WeightsError (OSError)        weights cannot be found, downloaded, trusted or loaded
├── StoreError (OSError)          the feature store cannot be read or written
├── CapsuleError (ValueError)     a saved model is damaged or is not one of ours
├── EngineError (RuntimeError)    no engine can run the trunk as asked
└── FrozenChanged (RuntimeError)  a frozen tensor changed while training
"""

from pathlib import Path


class BudwoodError(Exception):
    """What went wrong, what was expected instead and what to do next, in one line.

    Args:
        problem: One sentence that names what was given.
        expected: One sentence on what would have been right, or what exists.
        next: One sentence with the next step.
        file: The file or folder that the problem is about.

    Example:
        >>> str(BudwoodError("No folder 'fotos'.", next="Did you mean 'photos'?"))
        "No folder 'fotos'. Did you mean 'photos'?"
    """

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        next: str | None = None,
        file: Path | str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.expected = expected
        self.next = next
        self.file = None if file is None else str(file)

    def __str__(self) -> str:
        return " ".join(part for part in (self.problem, self.expected, self.next) if part)

    def to_json(self) -> dict[str, str | None]:
        """The error as the object that `--json` prints."""
        return {
            "error": self.problem,
            "file": self.file,
            "expected": self.expected,
            "next": self.next,
        }


class DataError(BudwoodError, ValueError):
    """A folder, a list of photos or a split is not what was expected."""


class ImageError(DataError):
    """One photo cannot be read; `file` names it where the caller knows its path."""


class ConfigError(BudwoodError, ValueError):
    """An option has an impossible value."""


class PatternError(BudwoodError, ValueError):
    """A pattern over layer names matches nothing."""


class CutError(BudwoodError, ValueError):
    """A network cannot be split into trunk and graft as asked."""


class UnknownName(BudwoodError, KeyError):
    """No architecture, recipe or layer is called that."""


class WeightsError(BudwoodError, OSError):
    """Weights cannot be found, downloaded, trusted or loaded."""


class StoreError(BudwoodError, OSError):
    """The feature store cannot be read or written."""


class CapsuleError(BudwoodError, ValueError):
    """A saved model is damaged or is not one of ours."""


class EngineError(BudwoodError, RuntimeError):
    """No engine can run the trunk as asked."""


class FrozenChanged(BudwoodError, RuntimeError):
    """A frozen tensor changed while training."""
