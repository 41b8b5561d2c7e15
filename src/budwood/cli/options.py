"""Options that several commands share, and how their text becomes values."""

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from budwood.course.bundled import names as recipe_names
from budwood.errors import BudwoodError, ConfigError, DataError, UnknownName
from budwood.fields import Setting, listed, option_name, require_all, settings_of
from budwood.models.catalog import find
from budwood.run_folders import run_or_network
from budwood.settings import Settings
from budwood.text import did_you_mean

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class ReadBy(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A text that a function reads; what that raises, the user is told as it is."""

    def __init__(self, name: str, read: Callable[[Any], Any]) -> None:
        """`name` stands for the text in --help."""
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self._read(value)


def existing(what: str, hint: str = "Check the path.") -> ReadBy:
    """A file or folder that is there; told at once, with the nearest name or a hint."""

    def read(value: Any) -> Path:
        path = Path(value).expanduser()
        if path.exists():
            return path
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        near = did_you_mean(path.name, siblings)
        raise DataError(
            f"There is no {what} {path}.",
            next=f"Did you mean {path.parent / near}?" if near else hint,
            file=path,
        )

    return ReadBy("path", read)


def _network_or_run(value: Any) -> Path | str:
    """The name of a network in the catalogue or of a recipe, or the path of a recipe or a run."""
    path = Path(value).expanduser()
    if value in recipe_names():
        return str(value)
    if path.is_file() or (len(path.parts) > 1 and path.parent.is_dir()):
        return Path(RUN.convert(value, None, None))
    try:
        return find(value).name
    except UnknownName:
        if path.is_dir():
            return path
        raise


def _bytes(value: Any) -> int:
    """Bytes, written as people do: 500MB, 2GB, 0."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?(?:ytes)?\s*", str(value).lower())
    if not found:
        raise click.BadParameter(f"{value!r} is no size; write 500MB, 2GB or 0.")
    return int(float(found[1]) * _UNITS[found[2]])


def _shape(value: Any) -> tuple[int, int, int]:
    """Channels, height and width: 3,224,224."""
    found = re.fullmatch(r"\s*([1-9]\d*)\s*,\s*([1-9]\d*)\s*,\s*([1-9]\d*)\s*", value)
    if not found:
        raise click.BadParameter(f"{value!r} is no input size; write channels,height,width.")
    return int(found[1]), int(found[2]), int(found[3])


IMAGES = existing("folder or CSV file")
RUN = existing("run", "`budwood train` makes one; give its folder or its model.safetensors.")
NETWORK = ReadBy("name", lambda value: find(value).name)
NETWORK_OR_RUN = ReadBy("name, recipe or run", _network_or_run)
RUN_OR_NETWORK = ReadBy("run or network", run_or_network)
SHAPE = ReadBy("c,h,w", _shape)

_KINDS = {
    "images": IMAGES,
    "folder": click.Path(path_type=Path, file_okay=False),
    "network": NETWORK,
    "bytes": ReadBy("size", _bytes),
}
"""How the texts of settings are read that are more than text."""
_IN_ORDER = "Repeatable; --freeze and --unfreeze are applied in the order given."


class SettingsCommand(click.Command):
    """Tells all wrong options at once, and remembers the order of --freeze and --unfreeze."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        steps = []
        for position, word in enumerate(args):
            option, has_value, value = word.partition("=")
            if option in ("--freeze", "--unfreeze"):
                steps.append(
                    (option[2:], value if has_value else "".join(args[position + 1 :][:1]))
                )
        ctx.meta["surgery"] = tuple(steps)
        try:
            return super().parse_args(ctx, [*args])
        except (click.BadParameter, BudwoodError):
            problems = [*self._problems(ctx, args)]
            if len(problems) > 1 and any(isinstance(each, click.UsageError) for each in problems):
                raise click.UsageError(listed(map(_told, problems)), ctx) from None
            require_all(problems)
            raise

    def _problems(self, ctx: click.Context, args: list[str]) -> Iterator[Any]:
        values, rest, _ = self.make_parser(ctx).parse_args([*args])
        for param in self.get_params(ctx):
            try:
                param.handle_parse_result(ctx, values, rest)
            except (click.BadParameter, BudwoodError) as problem:
                yield problem


def _told(problem: Exception) -> str:
    return problem.format_message() if isinstance(problem, click.UsageError) else str(problem)


def setting_options(
    cls: type = Settings, without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """An option for each setting that has one, in their order."""

    def with_options(command: Command) -> Command:
        for name, each in reversed(settings_of(cls).items()):
            if each.has_option and name not in without:
                command = setting_option(name, cls)(command)
        return command

    return with_options


def setting_option(name: str, cls: type = Settings, **changes: Any) -> Callable[[Command], Command]:
    """The option, or the options, of a setting; `changes` are what a command has otherwise."""
    each = settings_of(cls)[name]

    def with_option(command: Command) -> Command:
        for part, text in reversed([*each.parts.items()]):
            help = f"{text} {_IN_ORDER}"
            command = click.option(f"--{part}", multiple=True, metavar="GLOB", help=help)(command)
        if each.parts:
            return command
        known: dict[str, Any] = {"default": each.default, "show_default": each.default is not None}
        known |= {"help": each.text, "type": _click_type(each), "metavar": each.metavar}
        flag = option_name(name)
        if each.type is bool:
            flag += f"/--no-{flag[2:]}" if each.default else ""
            known |= {"is_flag": True, "type": None, "show_default": each.default}
        return click.option(flag, **{**known, **changes})(command)

    return with_option


def _click_type(each: Setting) -> Any:
    """How click reads the text of an option into a setting."""
    if each.kind:
        return _KINDS[each.kind]
    if each.choices:
        return click.Choice(each.choices)
    if each.type in (int, float):
        low = each.at_least if each.above is None else each.above
        kind: Any = click.IntRange if each.type is int else click.FloatRange
        opens = {"min_open": each.above is not None, "max_open": each.below is not None}
        return kind(low, each.below, **opens)
    return str


RATE = _click_type(settings_of(Settings)["abstain"])
"""A share of errors."""


def require_folder_of(file: Path, option: str) -> None:
    """Raise unless the folder is there that a file is to be written to."""
    if not file.absolute().parent.is_dir():
        raise ConfigError(
            f"There is no folder {file.parent} for {file.name}.",
            next=f"Make it, or name another file after {option}.",
            file=file,
        )


def surgery_steps() -> tuple[tuple[str, str], ...]:
    """The --freeze and --unfreeze options of the running command, in their order."""
    steps: tuple[tuple[str, str], ...] = click.get_current_context().meta["surgery"]
    return steps
