"""The command line: parses and shows. No torch until a command needs it."""

import gc
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from importlib import import_module

import click

from budwood.cli.output import documented, fail, prepare_streams, stopped
from budwood.files import home
from budwood.text import did_you_mean

COMMANDS = {
    "demo": "lessons",
    "data": "lessons",
    "train": "train",
    "evaluate": "runs",
    "predict": "predict",
    "explain": "runs",
    "report": "runs",
    "compare": "dataset",
    "audit": "dataset",
    "models": "networks",
    "inspect": "networks",
    "graft": "networks",
    "recipe": "train",
    "lesson": "lessons",
    "verify": "runs",
    "doctor": "dataset",
    "cache": "cache",
}
"""In the order in which a newcomer meets them, each with the module that it is in."""

STOPPED = 130
"""Exit code after Ctrl-C."""
SECONDS_TO_STOP = 1.5
"""After Ctrl-C, how long what is ready may take to reach the disk."""
LOOK_FOR_CYCLES = 100_000, 50, 100
"""How seldom the garbage collector looks through a million objects that torch's import makes; as
often as Python does by itself, it takes a tenth of a short training."""
_interrupted = threading.Event()
"""Set by Ctrl-C: what fails from then on fails because of it. NumPy, for one, takes it for a reason
to be imported again, which is an ImportError."""


class _Verbs(click.Group):
    """Commands that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"budwood.cli.{COMMANDS[cmd_name]}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = did_you_mean(args[0].lower(), COMMANDS)
            guess = f" Did you mean {near!r}?" if near else ""
            raise click.UsageError(f"No command is called {args[0]!r}.{guess}", ctx)
        return super().resolve_command(ctx, args)


@click.command(
    cls=_Verbs,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `budwood demo`. Every command has --help, and --json for scripts.",
)
@click.version_option(package_name="budwood", prog_name="budwood")
@documented
def cli() -> None:
    """Transfer learning for image classification: a folder of photos becomes a classifier.

    Runs a pretrained network once over your photos, trains what your task needs in seconds, tells
    you how good the result is and how sure that is, and saves one file that predicts the same
    anywhere.
    """


def main() -> None:
    """Run the command that the arguments of this process ask for."""
    arguments = sys.argv[1:]
    as_json, debug = "--json" in arguments, "--debug" in arguments
    for name, value in _surroundings().items():
        os.environ.setdefault(name, value)
    gc.set_threshold(*LOOK_FOR_CYCLES)
    prepare_streams()
    signal.signal(signal.SIGINT, lambda *_: _interrupt(as_json))
    if not debug:
        warnings.filterwarnings("ignore")  # other libraries' deprecations are not the user's
    if not arguments:
        context = click.Context(cli, info_name="budwood", **cli.context_settings)
        click.echo(cli.get_help(context), err=True)
        sys.exit(2)
    try:
        code = cli.main(arguments, prog_name="budwood", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        _stop(as_json)
    except BrokenPipeError:
        os._exit(141)
    except Exception as error:
        if _interrupted.is_set():
            _stop(as_json)
        if debug:
            traceback.print_exc()
        sys.exit(fail(error, as_json))
    sys.exit(code if isinstance(code, int) else 0)


def command() -> None:
    """What the `budwood` command runs: `main`, and an end at once.

    Taking torch apart piece by piece would take the interpreter a second.
    """
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = 141
    except OSError:  # a full disk behind it; told when the result was written
        code = code or 1
    logging.shutdown()
    os._exit(code)


def _surroundings() -> dict[str, str]:
    """What libraries read from the environment when they are loaded."""
    return {
        # Importing torch makes this folder; otherwise it would lie in the temporary folder.
        "TORCHINDUCTOR_CACHE_DIR": str(home() / "torch"),
        # Threads that spin while they wait make training several times slower on a busy machine.
        "OMP_WAIT_POLICY": "passive",
    }


def _interrupt(as_json: bool) -> None:
    """End what is running; a library that swallows or outlasts that is not waited for."""
    _interrupted.set()
    timer = threading.Timer(SECONDS_TO_STOP, _stop, (as_json,))
    timer.daemon = True
    timer.start()
    raise KeyboardInterrupt


def _stop(as_json: bool) -> None:
    stopped(as_json)
    os._exit(STOPPED)  # not exit(): that would wait for a network that is still being compiled
