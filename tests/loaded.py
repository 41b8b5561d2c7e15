"""A process that has torch and Budwood loaded, and is forked for each program that asks for it.

Loading them takes seconds, most of what a short command takes. A fork begins as a new process does
after its imports: nothing is computed, no thread runs, and `budwood.cli` is not loaded.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

SECONDS = 900
"""What a program may take, on a machine that others use too."""
IS_POSSIBLE = hasattr(os, "fork")

_SERVER = f"""\
import importlib, json, os, pkgutil, signal, sys, traceback
import budwood, timm, torchvision
for module in pkgutil.walk_packages(budwood.__path__, "budwood."):
    if not module.name.startswith(("budwood.cli", "budwood.__main__")):
        importlib.import_module(module.name)
for name in [name for name in sys.modules if name.startswith("budwood.cli")]:
    del sys.modules[name]  # it is loaded to look for what is in it, and notes the time
del budwood.cli

def run(asked):
    files = [os.open(asked["folder"] + "/in", os.O_RDONLY)]
    files += [os.open(f"{{asked['folder']}}/{{name}}", os.O_WRONLY) for name in ("out", "err")]
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = asked["arguments"]
    signal.alarm({SECONDS})
    code = 0
    try:
        exec(compile(asked["program"], "<string>", "exec"), {{"__name__": "__main__"}})
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else end.code is not None
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin.buffer.raw:
    if (child := os.fork()) == 0:
        run(json.loads(line))
    answers.write(f"{{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}}\\n")
    answers.flush()
os._exit(0)  # what is loaded need not be taken apart
"""


@cache
def _server(python_path: str) -> subprocess.Popen[str]:
    """The process with everything loaded; its settings are those that `budwood.cli` loads with."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TORCH", "OMP"))}
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        env=inherited | {"PYTHONPATH": python_path, "OMP_WAIT_POLICY": "passive"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def end() -> None:
        with server:  # closes its pipes, and waits
            pass

    atexit.register(end)
    return server


def run(
    program: str,
    arguments: list[str],
    folder: Path,
    environment: Mapping[str, str],
    stdin: str,
) -> tuple[int, str, str]:
    """Run a Python program in a fork: its exit code, what it printed, and what it said on stderr.

    Args:
        program: Python.
        arguments: Its `sys.argv`.
        folder: Where it works.
        environment: Its environment; there is one process for each PYTHONPATH.
        stdin: What it reads.
    """
    server = _server(environment["PYTHONPATH"])
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as place:
        said = [Path(place, name) for name in ("in", "out", "err")]
        for file in said:
            file.write_text(stdin if file.name == "in" else "", "utf-8")
        asked = {
            "program": program,
            "arguments": arguments,
            "cwd": str(folder),
            "environment": dict(environment),
            "folder": place,
        }
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = server.stdout.readline()
        assert code, "The process that loads Budwood has ended; it said why above."
        return int(code), said[1].read_text("utf-8"), said[2].read_text("utf-8")
