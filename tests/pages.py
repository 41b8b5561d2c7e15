"""The project's pages, read: their code, the commands they show, and where their links lead."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

from budwood.cli import cli

ROOT = Path(__file__).parent.parent
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A Markdown file of the project."""

    name: str
    """Its path from the project's root."""

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """What is not in a block of code."""
        return _FENCED.sub("", self.text)

    def fenced(self) -> list[tuple[str, str]]:
        """Every block of code with its language, in order."""
        return _FENCED.findall(self.text)

    def blocks(self, language: str) -> list[str]:
        """The blocks of code in one language."""
        return [code for found, code in self.fenced() if found == language]

    def commands(self) -> list[tuple[str, str]]:
        """Every command of Budwood that is shown at a prompt, and what it is shown to say."""
        parts = [part for block in self.blocks("console") for part in f"\n{block}".split("\n$ ")]
        lines = [part.partition("\n") for part in parts]
        return [(line, said) for line, _, said in lines if line.startswith("budwood ")]

    def mentioned(self) -> list[str]:
        """Every command of Budwood in the prose that has more than its name."""
        found = _SPAN.findall(self.prose)
        return [line for line in found if re.match(r"budwood \w+ \S", line)]

    def links(self) -> list[str]:
        """Where its links into the project lead."""
        found = _LINK.findall(self.prose)
        return [target for target in found if "://" not in target]

    def anchors(self) -> set[str]:
        """What a link into the page can name: its headings, as GitHub writes them."""
        return {
            re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
            for heading in _HEADING.findall(self.prose)
        }


def pages(*patterns: str) -> list[Page]:
    """The pages that match, in order."""
    found = {path for pattern in patterns for path in ROOT.glob(pattern)}
    return [Page(path.relative_to(ROOT).as_posix()) for path in sorted(found)]


def arguments(line: str) -> list[str]:
    """What follows `budwood` in a command as it is shown, without a comment or a redirection."""
    words = shlex.split(line, comments=True)[1:]
    ends = [words.index(sign) for sign in (">", "|") if sign in words]
    return words[: min(ends, default=len(words))]


def lay_out(words: list[str], folder: Path) -> None:
    """Make the folders and files that a command names, so that it can be parsed there."""
    for word in words:
        place = folder / word
        if word.endswith("/") or word.startswith("runs/") or word == "DATA":
            place.mkdir(parents=True, exist_ok=True)
        elif word.endswith(".jpg"):
            place.touch()
        elif word.endswith(".toml") and not place.exists():
            place.write_text('model = "resnet18"\n', encoding="utf-8")


def parse(words: list[str]) -> click.Context:
    """A command line, parsed and not run: its names, options and values are checked.

    Raises:
        click.UsageError: If it is none of Budwood's.
    """
    command: click.Command = cli
    context = click.Context(cli, info_name="budwood")
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        context = click.Context(command, parent=context, info_name=name)
    return command.make_context(context.info_name, words, parent=context.parent)


def fits(shown: str, said: str) -> bool:
    """Whether a program said what a page shows; a line of dots stands for any lines.

    Example:
        >>> fits("one\\n...\\nfour", "one\\ntwo\\nthree\\nfour\\n")
        True
    """
    lines = shown.strip("\n").split("\n")
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else rf"{re.escape(line.rstrip())} *\n" for line in lines
    )
    return re.fullmatch(pattern, said.strip("\n") + "\n") is not None
