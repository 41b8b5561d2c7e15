"""What goes where: results to stdout, notes and progress to stderr, errors as one line."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import click

from budwood.errors import BudwoodError

STARTED = time.perf_counter()
"""When the process began to run our code."""

Command = TypeVar("Command", bound=Callable[..., Any])


def common_options(command: Command) -> Command:
    """`--json` and `--debug`, which every command has."""
    command = click.option("--debug", is_flag=True, help="Show the traceback of an error.")(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object instead of a table."
    )(command)


class Result(Protocol):
    """What a command gives back; its `str` is the text."""

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""


def show(result: Result, as_json: bool) -> None:
    """A result on stdout: its text, or the object of its `to_json`."""
    click.echo(json.dumps(result.to_json()) if as_json else str(result))


def note(text: object) -> None:
    """A line on stderr."""
    click.echo(f"  {text}", err=True)


def fail(error: Exception, as_json: bool) -> int:
    """Say what went wrong in one line, or one object, and give back the exit code."""
    _say_problem(_problem(error), as_json)
    return 2 if isinstance(error, click.UsageError) else 1


_KEPT = {
    "features": "The features computed so far are stored; the same command goes on there.",
    "training": "All features are stored, but no epoch and nothing else that was fitted to them: "
    "the same command begins there again.",
    "nothing": "Nothing of it is stored; the same command begins again.",
}
"""What remains of a command that is stopped, by how far it was."""
_reached: list[str] = []
"""How far it is; empty before there is anything to keep."""


def reached(stage: str) -> None:
    """Note how far the command is, for the case that it is stopped."""
    _reached[:] = [stage]


def stopped(as_json: bool) -> None:
    """Say that Ctrl-C ended it, and what remains of the work."""
    hint = _KEPT[_reached[0]] if _reached else None
    _say_problem(BudwoodError("Stopped.", next=hint), as_json)


def _problem(error: Exception) -> BudwoodError:
    """Any error, in our form."""
    if isinstance(error, BudwoodError):
        return error
    if isinstance(error, click.UsageError):
        name = error.ctx.command_path if error.ctx else "budwood"
        return BudwoodError(error.format_message(), next=f"See `{name} --help`.")
    if isinstance(error, click.ClickException):
        return BudwoodError(error.format_message())
    hint = "Run it again with --debug to see where."
    return BudwoodError(f"{type(error).__name__}: {error}.", next=hint)


def _say_problem(problem: BudwoodError, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(problem.to_json()))
    else:
        click.echo(f"budwood: {' '.join(str(problem).split())}", err=True)


class ProgressLine:
    """How far a pass over the photos is: one line on a terminal, now and then a line in a log."""

    def __init__(self, what: str, keeps: str = "features") -> None:
        """`keeps` says what remains of it where it is stopped: `features` or `nothing`."""
        self._what = what
        self._keeps = keeps
        self._last = 0.0
        self._on_terminal = sys.stderr.isatty()

    def __call__(self, progress: Any) -> None:
        """Draw it, not too often."""
        reached(self._keeps)
        now = time.monotonic()
        is_done = progress.done >= progress.total
        if not is_done and now - self._last < (0.1 if self._on_terminal else 10.0):
            return
        self._last = now
        left = progress.seconds_left
        text = (
            f"  {self._what} {progress.done} of {progress.total} photos, "
            f"{progress.photos_per_second:.0f} a second"
            + ("" if is_done or left is None else f", {_duration(left)} left")
        )
        if self._on_terminal:
            click.echo(f"\r{text:<78}", err=True, nl=is_done)
        else:
            click.echo(text, err=True)


class EpochTable:
    """One line an epoch; a star marks the best validation loss so far."""

    def __init__(self, keeps: str = "training") -> None:
        """`keeps` says what remains where it is stopped: `training` or `nothing`."""
        self._keeps = keeps

    def __call__(self, row: dict[str, Any]) -> None:
        """Print the line."""
        reached(self._keeps)
        validation = (
            f"  val loss {row['val_loss']:.4f}  val top-1 {row['val_top1']:.3f}"
            f"{' *' if row['best'] else ''}"
            if "val_loss" in row
            else ""
        )
        click.echo(
            f"  epoch {row['epoch']:>3}  loss {row['loss']:.4f}{validation}  "
            f"{row['seconds']:.1f} s",
            err=True,
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
