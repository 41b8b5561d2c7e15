"""Write the reference of the command line, docs/cli.md, from the commands themselves.

    python tools/make_cli_docs.py

Run it after a change to a command or an option.
"""

from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from budwood.cli import cli

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"

HEAD = """\
# The command line

Written by `tools/make_cli_docs.py`; edit the commands in `src/budwood/cli/`, not this page.

Results go to stdout, notes and progress to stderr. With `--json` stdout is exactly one JSON object,
errors included; [json.md](json.md) documents each. Exit code 0: done. 1: a problem, said in one
line with the next step. 2: the command was typed wrongly. 130: stopped by Ctrl-C.

| variable | what it sets |
| --- | --- |
| `BUDWOOD_HOME` | The one folder for weights, stored features and the demo. Default: `budwood` in \
the platform's cache folder. |
| `HF_ENDPOINT` | The server that timm's weights are fetched from, such as a mirror. |
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, cleandoc(cli.help or "")]
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        parts += sections(f"budwood {name}", command)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def sections(name: str, command: click.Command) -> Iterator[str]:
    """A heading, the help, the examples and the options of a command, and those below it."""
    yield f"## {name}"
    text, _, examples = cleandoc(command.help or "").partition("\b")
    if isinstance(command, click.Group):
        yield text
        for below, subcommand in command.commands.items():
            yield from sections(f"{name} {below}", subcommand)
        return
    arguments = [argument(param) for param in command.params if isinstance(param, click.Argument)]
    yield code(f"{' '.join([name, *arguments])} [OPTIONS]")
    yield text
    yield "Examples:"
    yield code("\n".join(line.strip() for line in examples.splitlines()[2:]).strip())
    options = [row(param) for param in command.params if isinstance(param, click.Option)]
    yield "\n".join(["| option | what it does |", "| --- | --- |", *options])


def code(text: str) -> str:
    """A block of code."""
    return f"```sh\n{text}\n```"


def argument(param: click.Argument) -> str:
    """An argument as it stands in the usage."""
    return param.metavar or (param.name or "").upper()


def row(option: click.Option) -> str:
    """An option with its value, its help and its default."""
    words = " ".join([*option.opts, *value(option)])
    help_text = option.help or ""
    if option.show_default and not option.is_flag:
        help_text += f" [default: {option.default}]"
    cells = [cell.replace("|", "\\|") for cell in (f"`{words}`", help_text)]
    return f"| {cells[0]} | {cells[1]} |"


def value(option: click.Option) -> Iterator[str]:
    """What is to be put behind an option, if anything."""
    if not option.is_flag:
        choices = getattr(option.type, "choices", None)
        yield option.metavar or ("|".join(choices) if choices else option.type.name.upper())


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"{PAGE} is written")
