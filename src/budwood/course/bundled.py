"""The recipes that come with Budwood, by name; never imports torch."""

from importlib.resources import files
from pathlib import Path

from budwood.errors import UnknownName
from budwood.text import did_you_mean

SUFFIX = ".toml"
FOLDER = files("budwood.course") / "chapter"


def names() -> tuple[str, ...]:
    """The names of the recipes that come with Budwood.

    Example:
        >>> "vgg16-graft" in names()
        True
    """
    found = (entry.name for entry in FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX)))


def text_of(recipe: str | Path) -> str:
    """The text of a recipe: of that name, or in that file.

    Raises:
        UnknownName: If there is none; the nearest is named.
    """
    if str(recipe) in names():
        return FOLDER.joinpath(f"{recipe}{SUFFIX}").read_text("utf-8")
    path = Path(recipe).expanduser()
    if path.is_file():
        return path.read_text("utf-8")
    near = did_you_mean(str(recipe), names(), 0.4)
    raise UnknownName(
        f"There is no recipe {str(recipe)!r}.",
        expected=f"Did you mean {near!r}?" if near else "It is a name, or the path of a file.",
        next="`budwood recipe list` shows them.",
        file=path if path.suffix == SUFFIX else None,
    )
