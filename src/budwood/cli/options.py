"""Options that several commands share, and how their text becomes values."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Size(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
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
        numbers = [int(part) for part in str(value).split(",") if part.strip().isdigit()]
        if len(numbers) != 3 or min(numbers) < 1:
            self.fail(f"{value!r} is no input size; write channels,height,width.", param, ctx)
        return numbers[0], numbers[1], numbers[2]


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
