"""The command line: one file a verb. No torch until a command needs it."""

import os
import sys
import warnings
from importlib import import_module

import click

from budwood.cli.output import fail

COMMANDS = (
    "demo",
    "train",
    "evaluate",
    "predict",
    "models",
    "inspect",
    "verify",
    "cache",
)
"""In the order in which a newcomer meets them; each is `budwood.cli.NAME`."""


class _Verbs(click.Group):
    """Commands that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"budwood.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


@click.command(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `budwood demo`. Every command has --help, and --json for scripts.",
)
@click.version_option(package_name="budwood", prog_name="budwood")
def cli() -> None:
    """Transfer learning for image classification: a folder of photos becomes a classifier.

    Runs a pretrained network once over your photos, trains what your task needs in seconds, tells
    you how good the result is and how sure that is, and saves one file that predicts the same
    anywhere.
    """


def main() -> None:
    """What the `budwood` command runs."""
    arguments = sys.argv[1:]
    as_json, debug = "--json" in arguments, "--debug" in arguments
    if not debug:
        warnings.filterwarnings("ignore")  # other libraries' deprecations are not the user's
    try:
        code = cli.main(arguments, prog_name="budwood", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "Stopped. What was computed is stored; the same command goes on there.", err=True
        )
        sys.stdout.flush()
        os._exit(130)  # not exit(): that would wait for a network that is still being compiled
    except BrokenPipeError:
        os._exit(141)
    except Exception as error:
        if debug:
            raise
        sys.exit(fail(error, as_json))
    sys.exit(code if isinstance(code, int) else 0)
