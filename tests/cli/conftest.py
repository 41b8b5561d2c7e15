"""The real command in a process of its own: a place to work in, photos, and a run.

The network is blocked and every try is written down. What has no settings of its own is a fork of a
process that has torch loaded; each command is also run as a user would, see `test_processes`.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from .. import loaded  # noqa: TID252

COMMAND = Path(sys.executable).with_name("budwood")

NO_NETWORK = """\
import os, socket

def refuse(*args, **kwargs):
    with open(os.environ["SOCKET_LOG"], "a") as log:
        log.write(f"{args}\\n")
    raise OSError("the network is blocked in this test")

socket.getaddrinfo = refuse
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
"""

SEVERAL = """\
import contextlib, io, json, sys
from budwood.cli import main

outcomes = []
for args in json.loads(sys.argv[1]):
    sys.argv = ["budwood", *args]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    outcomes.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(outcomes))
"""

ONE = "from budwood.cli import command; command()"


@dataclass(frozen=True)
class Outcome:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout, without its version."""
        found: dict[str, Any] = json.loads(self.out)
        assert found.pop("version") == 2
        return found


class Place:
    """A working folder with a BUDWOOD_HOME of its own and no network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.socket_log = folder / "sockets.txt"
        (folder / "site").mkdir(parents=True)
        (folder / "site" / "sitecustomize.py").write_text(NO_NETWORK)

    def environment(self, **changes: str) -> dict[str, str]:
        """The environment of a command."""
        path = os.pathsep.join(
            filter(None, (str(self.folder / "site"), os.environ.get("PYTHONPATH")))
        )
        own = {
            "PYTHONPATH": path,
            "BUDWOOD_HOME": str(self.home),
            "SOCKET_LOG": str(self.socket_log),
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TORCH", "OMP"))}
        return inherited | own | changes

    def start(self, *args: str | Path, **changes: str) -> subprocess.Popen[str]:
        """A command that goes on while the test does."""
        return subprocess.Popen(
            [COMMAND, *map(str, args)],
            cwd=self.folder,
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *args: str | Path, stdin: str = "", fresh: bool = False, **changes: str
    ) -> Outcome:
        """A command from start to end; a `fresh` one has to load all that it needs by itself."""
        words = [str(word) for word in args]
        if self._may_fork(fresh, changes):
            return Outcome(*self._fork(ONE, ["budwood", *words], stdin, changes))
        return Outcome(*self._process([COMMAND, *words], stdin, changes))

    def python(self, program: str, *args: str, stdin: str = "", **changes: str) -> str:
        """What a Python program prints; it must succeed."""
        command = [sys.executable, "-c", program, *args]
        code, out, err = self._process(command, stdin, changes)
        assert code == 0, err
        return out

    def run_several(
        self, commands: Sequence[Sequence[str | Path]], stdin: str = "", **changes: str
    ) -> list[Outcome]:
        """Commands one after the other in one process."""
        asked = json.dumps([[str(word) for word in command] for command in commands])
        if self._may_fork(False, changes):
            code, said, err = self._fork(SEVERAL, ["-c", asked], stdin, changes)
            assert code == 0, err
        else:
            said = self.python(SEVERAL, asked, stdin=stdin, **changes)
        return [Outcome(*answer) for answer in json.loads(said)]

    def _may_fork(self, fresh: bool, changes: Mapping[str, str]) -> bool:
        """Other settings than the home may be read when libraries are loaded."""
        return loaded.IS_POSSIBLE and not fresh and changes.keys() <= {"BUDWOOD_HOME"}

    def _fork(
        self, program: str, args: list[str], stdin: str, changes: Mapping[str, str]
    ) -> tuple[int, str, str]:
        return loaded.run(program, args, self.folder, self.environment(**changes), stdin)

    def _process(
        self, command: Sequence[str | Path], stdin: str, changes: Mapping[str, str]
    ) -> tuple[int, str, str]:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**changes),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=loaded.SECONDS,
        )
        return done.returncode, done.stdout, done.stderr


def interrupt(process: subprocess.Popen[str]) -> Outcome:
    """Ctrl-C: what the process says then; it must end by itself."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return Outcome(process.returncode, out, err)


def draw_image(path: Path, hue: int, seed: int, size: tuple[int, int] = (96, 80)) -> Path:
    """A picture of ellipses in shades of one colour, in the format of the path's ending."""
    random = np.random.default_rng([hue, seed])
    image = Image.new("HSV", size, (hue, 60, int(random.integers(60, 220))))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = (int(v) for v in random.integers(-10, 90, 2))
        w, h = (int(v) for v in random.integers(5, 50, 2))
        shade = (hue, int(random.integers(120, 256)), int(random.integers(40, 256)))
        pen.ellipse((x, y, x + w, y + h), fill=shade)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.convert("RGB").save(path)
    return path


def draw_class(folder: Path, hue: int, count: int, ending: str = "png") -> None:
    """A class folder with so many pictures of one colour."""
    for number in range(count):
        draw_image(folder / f"{folder.name}-{number:02d}.{ending}", hue, number)


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Place:
    """Where the commands of all tests run: what one has stored the next finds."""
    place = Place(tmp_path_factory.mktemp("place"))
    for name, hue in (("blue", 160), ("green", 90), ("red", 0)):
        draw_class(place.folder / "photos" / name, hue, 10)
    return place


@pytest.fixture(scope="session")
def trained(place) -> Outcome:
    """`train images --json`, the first command of all: nothing is stored yet."""
    outcome = place.run("train", "photos", "--json", fresh=True)
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.fixture(scope="session")
def run(trained, place) -> Path:
    """The folder of that run, relative to the place."""
    return Path(trained.json["run"])


@pytest.fixture(scope="session")
def broken(place) -> str:
    """A folder with a good photo, a broken one and a text."""
    folder = place.folder / "some"
    folder.mkdir()
    (folder / "good.png").write_bytes((place.folder / "photos/red/red-00.png").read_bytes())
    (folder / "torn.png").write_bytes((place.folder / "photos/red/red-01.png").read_bytes()[:300])
    (folder / "notes.txt").write_text("nothing")
    return "some"


@pytest.fixture(scope="session")
def verbs(place, run, broken) -> dict[str, Outcome]:
    """What each of these commands says, by a name."""
    image = "photos/red/red-00.png"
    commands = {
        "evaluate": ["evaluate", run, "photos"],
        "evaluate json": ["evaluate", run / "model.safetensors", "photos", "--json"],
        "predict": ["predict", run, image, "photos/blue", "--top", "2"],
        "predict json": ["predict", run, image, "--json"],
        "predict broken": ["predict", run, broken],
        "predict broken json": ["predict", run, broken, "--json"],
        "predict only broken": ["predict", run, "some/torn.png", "--json"],
        "predict csv": ["predict", run, "photos", "--csv", "-"],
        "predict csv file": ["predict", run, image, "--csv", "table.csv"],
        "predict nothing": ["predict", run, "nothing-in-it"],
        "predict list": ["predict", run, "-", "--json"],
        "verify": ["verify", run],
        "verify json": ["verify", run, "--json"],
        "inspect": ["inspect", run, "--depth", "1"],
        "inspect json": ["inspect", run, "--json"],
    }
    (place.folder / "nothing-in-it").mkdir()
    listed = "photos/red/red-03.png\n\nphotos/blue/blue-04.png\n"
    outcomes = place.run_several(list(commands.values()), stdin=listed)
    return dict(zip(commands, outcomes, strict=True))


@dataclass(frozen=True)
class Lesson:
    """A very short lesson on degradation, with an empty HOME."""

    folder: Path
    home: Path
    as_json: Outcome
    sockets: str
    """What it tried to reach."""


@pytest.fixture(scope="session")
def lesson(place) -> Lesson:
    """One epoch on six photos."""
    home = place.folder / "empty-home-of-the-lesson"
    home.mkdir()
    args = ["--data", "photos", "--epochs", "1", "--images", "6", "--out", "shown", "--json"]
    log = place.folder / "sockets-of-the-lesson.txt"
    outcome = place.run("lesson", "degradation", *args, HOME=str(home), SOCKET_LOG=str(log))
    tried = log.read_text() if log.exists() else ""
    return Lesson(place.folder / "shown", home, outcome, tried)


@dataclass(frozen=True)
class Demo:
    """Two demos in a place of their own, with nothing in HOME and TMPDIR."""

    place: Place
    empty: tuple[Path, ...]
    """HOME and TMPDIR."""
    new: set[Path]
    """What the demos made in the place."""
    text: Outcome
    as_json: Outcome


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Demo:
    """The demo, and another one with --json and --out."""
    place = Place(tmp_path_factory.mktemp("demo"))
    empty = {name: place.folder / f"empty-{name}" for name in ("HOME", "TMPDIR")}
    for folder in empty.values():
        folder.mkdir()
    before = set(place.folder.iterdir())
    changes = {name: str(folder) for name, folder in empty.items()}
    text, as_json = place.run_several([["demo"], ["demo", "--json", "--out", "shown"]], **changes)
    new = set(place.folder.iterdir()) - before
    return Demo(place, tuple(empty.values()), new, text, as_json)
