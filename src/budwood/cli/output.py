"""What goes where: results to stdout, notes and progress to stderr, errors as one line."""

import ast
import errno
import inspect
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

import click

from budwood.errors import BudwoodError
from budwood.files import versioned
from budwood.reporter import Progress, Reporter
from budwood.text import duration, visible

STARTED = time.perf_counter()
"""When the process began to run our code."""

KEPT = "\n\t"
"""Control characters that results have."""

_NEXT = {
    errno.ENOSPC: "Make room on that disk, or name a place on another one.",
    errno.EDQUOT: "Make room on that disk, or name a place on another one.",
    errno.EROFS: "That disk is read-only: name a place elsewhere.",
    errno.EACCES: "Check that you may read and write there, or name a place elsewhere.",
    errno.EPERM: "Check that you may read and write there, or name a place elsewhere.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EISDIR: "That is a folder: name a file.",
    errno.ENOTDIR: "A part of that path is a file: name another.",
    errno.ENOENT: "Check that the folder is there.",
    errno.EIO: "The disk fails: name a place on another one.",
}
"""What to do about a problem of the file system."""

Command = TypeVar("Command", bound=Callable[..., Any])


def documented(command: Command) -> Command:
    """A command with its docstring, which --help shows and `python -OO` takes away."""
    if command.__doc__ is None:
        definition = ast.parse(inspect.getsource(command)).body[0]
        assert isinstance(definition, ast.FunctionDef)
        command.__doc__ = ast.get_docstring(definition)
    return command


def common_options(command: Command) -> Command:
    """`--json`, which `show` follows, and `--debug`, which `main` does."""
    command = documented(command)
    command = click.option(
        "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
    )(command)
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        expose_value=False,
        callback=lambda context, _, value: context.meta.update(as_json=value),
        help="Print one JSON object instead of a table.",
    )(command)


def wants_json() -> bool:
    """True if the running command was given `--json`."""
    return bool(click.get_current_context().meta["as_json"])


class Result(Protocol):
    """What a command gives back; its `str` is the text."""

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""


def show(result: Result) -> None:
    """A result on stdout: its text, or the object of its `to_json`."""
    is_json = wants_json()
    show_text(json.dumps(versioned(result.to_json())) if is_json else visible(str(result), KEPT))


def show_text(text: str) -> None:
    """Text on stdout, as it is."""
    with _to_stdout():
        click.echo(text)


def show_bytes(content: bytes) -> None:
    """Text on stdout, in which names of files are bytes as the file system has them."""
    with _to_stdout():
        binary = getattr(sys.stdout, "buffer", None)
        if binary is None:  # a notebook's, or a test's
            click.echo(content.decode(errors="backslashreplace"), nl=False)
        else:
            sys.stdout.flush()
            binary.write(content)
            binary.flush()


def note(text: object) -> None:
    """A line on stderr."""
    click.echo(f"  {visible(str(text), KEPT)}", err=True)


def prepare_streams() -> None:
    """Let no name of a file or class end a command: what a terminal cannot show is escaped."""
    for stream, errors in (
        (sys.stdin, "surrogateescape"),  # lists of files
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
    ):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


@contextmanager
def _to_stdout() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise BudwoodError(
            f"The result cannot be written to standard output: {_reason(problem)}.",
            next="Make room there, or send it elsewhere.",
        ) from problem


def fail(error: Exception, as_json: bool) -> int:
    """Say what went wrong in one line, or one object, and give back the exit code."""
    _say_problem(_problem(error), as_json)
    return 2 if isinstance(error, click.UsageError) else 1


_KEPT = {
    "features": "The features computed so far are stored; the same command goes on there.",
    "training": "All features are stored, but no epoch and nothing else that was fitted to them: "
    "the same command begins there again.",
    "saved": "The run is saved, and only its page is missing: `budwood report` writes it.",
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
    if isinstance(error, OSError) and error.errno in _NEXT and error.filename is not None:
        return BudwoodError(
            f"{error.filename} cannot be read or written: {_reason(error)}.",
            next=_NEXT[error.errno],
            file=str(error.filename),
        )
    hint = "Run it again with --debug to see where."
    return BudwoodError(f"{type(error).__name__}: {error}.", next=hint)


def _say_problem(problem: BudwoodError, as_json: bool) -> None:
    line = f"budwood: {visible(' '.join(str(problem).split()))}"
    try:
        if as_json:
            click.echo(json.dumps(versioned(problem.to_json())))
        else:
            click.echo(line, err=True)
    except BrokenPipeError:
        raise
    except OSError:  # its place is full: then the other is the last where it can be told
        with suppress(OSError):
            click.echo(line, err=as_json)


def _reason(problem: OSError) -> str:
    return (problem.strerror or str(problem)).lower()


def console(what: str, keeps: str = "features") -> Reporter:
    """A reporter to stderr."""
    epochs_keep = "training" if keeps == "features" else keeps
    return Reporter(note, ProgressLine(what, keeps), EpochTable(epochs_keep))


class OneLine:
    """A line that is drawn over on a terminal, and now and then anew in a log."""

    def __init__(self) -> None:
        self._last = 0.0
        self._on_terminal = sys.stderr.isatty()

    def draw(self, text: str, is_last: bool) -> None:
        """Draw it, not too often."""
        now = time.monotonic()
        if not is_last and now - self._last < (0.1 if self._on_terminal else 10.0):
            return
        self._last = now
        if self._on_terminal:
            click.echo(f"\r{text:<78}", err=True, nl=is_last)
        else:
            click.echo(text, err=True)


class ProgressLine:
    """How far a pass over the photos is."""

    def __init__(self, what: str, keeps: str = "features") -> None:
        """`keeps` says what remains of it where it is stopped: `features` or `nothing`."""
        self._what, self._keeps, self._line = what, keeps, OneLine()

    def __call__(self, progress: Progress) -> None:
        """Draw it, not too often."""
        reached(self._keeps)
        is_done = progress.done >= progress.total
        left = progress.seconds_left
        text = (
            f"  {self._what} {progress.done} of {progress.total} photos, "
            f"{progress.images_per_second:.0f} a second"
        )
        if not is_done and left is not None:
            text += f", {duration(left)} left"
        self._line.draw(text, is_done)


class EpochTable:
    """One line an epoch; a star marks the best validation loss so far."""

    def __init__(self, keeps: str = "training") -> None:
        """`keeps` says what remains where it is stopped: `training` or `nothing`."""
        self._keeps = keeps

    def __call__(self, row: dict[str, Any]) -> None:
        """Print the line."""
        reached(self._keeps)
        text = f"  epoch {row['epoch']:>3}  loss {row['loss']:.4f}"
        if "val_loss" in row:
            text += f"  val loss {row['val_loss']:.4f}  val top-1 {row['val_top1']:.3f}"
            text += " *" if row["best"] else ""
        click.echo(f"{text}  {row['seconds']:.1f} s", err=True)
