"""Options that several commands share, and how their text becomes values."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from budwood.errors import DataError, UnknownName
from budwood.networks.catalog import find
from budwood.recipes.bundled import names as recipe_names
from budwood.run_folders import run_or_network
from budwood.text import did_you_mean

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Existing(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A file or folder that is there; told before torch is loaded, with the nearest name."""

    name = "path"

    def __init__(self, what: str, hint: str = "Check the path.") -> None:
        """`what` was expected there; `hint` says what to do where no name is near."""
        self._what = what
        self._hint = hint

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value).expanduser()
        if path.exists() or str(path) == "-":
            return path
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        near = did_you_mean(path.name, siblings)
        raise DataError(
            f"There is no {self._what} {path}.",
            next=f"Did you mean {path.parent / near}?" if near else self._hint,
            file=path,
        )


PHOTOS = Existing("folder or CSV file")
RUN = Existing("run", "`budwood train` makes one; give its folder or its model.safetensors.")


class NetworkName(click.ParamType):  # type: ignore[type-arg]
    """The name of a network in the catalogue."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return find(value).name


class NetworkOrRun(click.ParamType):  # type: ignore[type-arg]
    """The name of a network in the catalogue or of a recipe, or the path of a recipe or a run."""

    name = "name, recipe or run"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        if value in recipe_names():
            return str(value)
        path = Path(value).expanduser()
        if path.is_file() or (len(path.parts) > 1 and path.parent.is_dir()):
            return RUN.convert(value, param, ctx)
        try:
            return find(value).name
        except UnknownName:
            if path.is_dir():
                return path
            raise


class RunOrNetwork(click.ParamType):  # type: ignore[type-arg]
    """The path of a run, or the name of a network in the catalogue."""

    name = "run or network"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        return run_or_network(value)


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes, written as people do: 500MB, 2GB, 0."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?(?:ytes)?\s*", value.lower())
        if not found:
            self.fail(f"{value!r} is no size; write 500MB, 2GB or 0.", param, ctx)
        return int(float(found[1]) * _UNITS[found[2]])


class Shape(click.ParamType):  # type: ignore[type-arg]
    """Channels, height and width: 3,224,224."""

    name = "c,h,w"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int]:
        found = re.fullmatch(r"\s*([1-9]\d*)\s*,\s*([1-9]\d*)\s*,\s*([1-9]\d*)\s*", value)
        if not found:
            self.fail(f"{value!r} is no input size; write channels,height,width.", param, ctx)
        return int(found[1]), int(found[2]), int(found[3])


RATE = click.FloatRange(0, 1, min_open=True, max_open=True)
"""A share of errors, as `--abstain` takes it."""


class SurgeryCommand(click.Command):
    """Remembers in which order --freeze and --unfreeze were given: they are applied in it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        steps = []
        for position, word in enumerate(args):
            option, has_value, value = word.partition("=")
            if option in ("--freeze", "--unfreeze"):
                steps.append(
                    (option[2:], value if has_value else "".join(args[position + 1 :][:1]))
                )
        ctx.meta["surgery"] = tuple(steps)
        return super().parse_args(ctx, args)


def surgery_options(command: Command) -> Command:
    """`--freeze` and `--unfreeze`, for a `SurgeryCommand`."""
    for name, what in (("unfreeze", "Train"), ("freeze", "Do not train")):
        command = click.option(
            f"--{name}",
            multiple=True,
            metavar="GLOB",
            help=f"{what} the layers whose name matches, for example 'layer4*'. Repeatable; "
            "--freeze and --unfreeze are applied in the order given.",
        )(command)
    return command


def surgery_steps() -> tuple[tuple[str, str], ...]:
    """The --freeze and --unfreeze options of the running command, in their order."""
    steps: tuple[tuple[str, str], ...] = click.get_current_context().meta["surgery"]
    return steps


def seed_option(same: str = "numbers") -> Callable[[Command], Command]:
    """`--seed N`: with the same seed come the same numbers, or whatever else."""
    return click.option(
        "--seed",
        type=click.IntRange(0),
        metavar="N",
        default=0,
        show_default=True,
        help=f"Same seed, same {same}.",
    )


def store_limit_option() -> Callable[[Command], Command]:
    """`--store-limit SIZE`."""
    return click.option(
        "--store-limit",
        type=Size(),
        metavar="SIZE",
        help="Store no features if all stored ones would exceed this, for example 20GB.",
    )
