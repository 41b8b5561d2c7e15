"""What all benchmarks share: the machine in general terms, child processes, medians, the report.

Whatever is measured runs in a child process. This module imports nothing heavy, since a child
process counts what its parent held when it was started as its own peak of memory.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

BUDWOOD = Path(sys.executable).with_name("budwood")
EXTENSIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd")
PACKAGES = ("budwood", "torch", "torchvision", "timm", "openvino", "scikit-learn", "numpy")

QUIET = 0.5
"""A machine with more load than this before a benchmark begins is not fit to measure on."""

IMAGES = (".jpg", ".jpeg", ".png")
"""How names of photos end."""
LONG = 120.0
"""Seconds; what takes longer is not repeated."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Ran:
    """A child process that has ended well."""

    seconds: float
    """From its start to its end."""
    cpu_seconds: float
    """What it had of the processor: far less than `seconds` times cores where others took it."""
    peak_mb: float
    """Resident memory at its peak, in 10^6 bytes."""
    output: str
    """Its stdout."""

    @property
    def result(self) -> Any:
        """The JSON in the last line of its stdout."""
        return json.loads(self.output.splitlines()[-1])


def run(
    command: Sequence[object], home: Path | None = None, limit: float | None = None, stdin: str = ""
) -> Ran:
    """Run a command to its end; its seconds and its peak of memory.

    Args:
        command: Program and arguments.
        home: BUDWOOD_HOME of the command: an empty folder is an empty store.
        limit: Seconds after which it is stopped.
        stdin: What it is given to read.

    Raises:
        RuntimeError: If it fails or takes longer than `limit`; the end of its stderr is in it.
    """
    words = [str(word) for word in command]
    settings = os.environ if home is None else {**os.environ, "BUDWOOD_HOME": str(home)}
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        given.write(stdin)
        given.seek(0)
        started = time.perf_counter()
        child = subprocess.Popen(words, stdin=given, stdout=out, stderr=err, env=settings)
        usage = _wait(child, limit)
        seconds = time.perf_counter() - started
        out.seek(0)
        err.seek(0)
        if child.returncode:
            why = "it took too long" if usage is None else f"exit code {child.returncode}"
            last = " ".join((err.read() or out.read()).splitlines()[-3:])
            raise RuntimeError(f"{Path(words[0]).name} {words[1]}: {why}. {last}")
        assert usage is not None
        unit = 1 if sys.platform == "darwin" else 1024
        used = usage.ru_utime + usage.ru_stime
        return Ran(seconds, used, usage.ru_maxrss * unit / 1e6, out.read())


def _wait(child: subprocess.Popen[str], limit: float | None) -> Any:
    """Wait for the end of a child; what it used, or None if it had to be stopped."""
    started = time.perf_counter()
    while True:
        done, status, usage = os.wait4(child.pid, 0 if limit is None else os.WNOHANG)
        if done:
            child.returncode = os.waitstatus_to_exitcode(status)
            return usage
        if limit is not None and time.perf_counter() - started > limit:
            child.kill()
            child.wait()
            return None
        time.sleep(0.05)


def call(
    function: Callable[..., Any],
    python: Path | str = sys.executable,
    home: Path | None = None,
    limit: float | None = None,
    **arguments: Any,
) -> Ran:
    """Call a function of a benchmark in a child process; it gives back what JSON can hold.

    Args:
        function: Of the script that is running.
        python: The interpreter, for instance of an environment with other packages.
        home: BUDWOOD_HOME there.
        limit: Seconds after which it is stopped.
        arguments: What it is called with; paths become strings.
    """
    file = Path(function.__code__.co_filename)
    code = (
        "import sys, json, importlib; sys.path.insert(0, sys.argv[1]); "
        "script = importlib.import_module(sys.argv[2]); "
        "print(json.dumps(getattr(script, sys.argv[3])(**json.load(sys.stdin))))"
    )
    given = json.dumps(arguments, default=str)
    command = [python, "-c", code, file.parent, file.stem, function.__name__]
    return run(command, home, limit, given)  # thousands of paths are too much for a command line


def alternate(repeats: int, **sides: Callable[[], Ran]) -> dict[str, list[Ran]]:
    """Do each of these in turn, so many times round, or once if one takes long; what each gave."""
    given: dict[str, list[Ran]] = {name: [] for name in sides}
    for turn in range(repeats):
        for name, do in sides.items():
            given[name].append(do())
            print(f"  {name}, {turn + 1} of {repeats}", file=sys.stderr)
        if any(ran[-1].seconds > LONG for ran in given.values()):
            break
    return given


def median(values: Iterable[float]) -> float:
    """The median, rounded to what can be measured."""
    return round(statistics.median(values), 4)


def share_of(folder: Path, share: float, place: Path) -> Path:
    """A folder with links to a share of the photos of each class in each part, evenly spread."""
    target = place / folder.name
    for name in sorted(path for part in folder.iterdir() for path in part.iterdir()):
        images = sorted(name.iterdir())
        count = max(2, round(share * len(images)))
        into = target / name.relative_to(folder)
        into.mkdir(parents=True)
        for i in range(count):
            image = images[i * len(images) // count]
            (into / image.name).symlink_to(image.resolve())
    return target


def images_in(folder: Path) -> list[Path]:
    """Every photo below a folder."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)


def machine() -> Row:
    """This machine in general terms: nothing that tells which one it is."""
    has_affinity = hasattr(os, "sched_getaffinity")
    about = _processor()
    return {
        "cores": len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count(),
        "processor": about["processor"],
        "extensions": about["extensions"],
        "caches_kb": _caches(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(PACKAGES),
    }


def load() -> float | None:
    """Processes that wanted to run over the last minute, before this benchmark began."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _caches() -> dict[str, int]:
    """Kilobytes of the processor's caches, where the system tells."""
    names = {"L1d": "LEVEL1_DCACHE", "L2": "LEVEL2_CACHE", "L3": "LEVEL3_CACHE"}
    try:
        found = {name: os.sysconf(f"SC_{key}_SIZE") for name, key in names.items()}
    except (AttributeError, ValueError, OSError):  # not Linux
        return {}
    return {name: size // 1024 for name, size in found.items() if size > 0}


def comparable(one: Row, other: Row) -> bool:
    """True if seconds that were measured on two machines can be held against each other."""
    names = ("cores", "processor", "extensions", "caches_kb")
    return all(one.get(name) == other.get(name) for name in names)


def _processor() -> Row:
    """Maker, family and vector extensions of the processor."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return {"processor": platform.processor() or platform.machine(), "extensions": []}
    lines = [line.partition(":") for line in file.read_text().split("\n\n")[0].splitlines()]
    about = {name.strip(): value.strip() for name, _, value in lines}
    flags = set(about.get("flags", about.get("Features", "")).split())
    words = [about.get("vendor_id", "unknown maker"), "family", about.get("cpu family", "unknown")]
    return {
        "processor": " ".join(words),
        "extensions": [name for name in EXTENSIONS if name in flags],
    }


def options(docstring: str | None, repeats: int = 3) -> argparse.ArgumentParser:
    """The options that every benchmark has; a script may add its own."""
    parser = argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="About a minute, one repeat.")
    parser.add_argument("--data", type=Path, default=os.environ.get("BUDWOOD_DATA"))
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--save", type=Path, metavar="FILE.json", help="Keep the JSON here too.")
    return parser


def asked_for(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of this run; `--short` means one repeat."""
    asked = parser.parse_args()
    if asked.data is None:
        parser.error("Name the photos with --data or BUDWOOD_DATA.")
    asked.data = Path(asked.data).resolve()
    asked.load = load()
    if asked.load is not None and asked.load > QUIET:
        print(
            f"The load of this machine is {asked.load}: others use it, so no figure counts.",
            file=sys.stderr,
        )
    asked.repeats = 1 if asked.short else asked.repeats
    return asked


def report(
    asked: argparse.Namespace, columns: Sequence[str], rows: Sequence[Row], **more: Any
) -> None:
    """Print the one JSON object on stdout, and some columns of its rows as a table on stderr.

    A claim that fails (`is_met` false) ends the benchmark with exit code 1, but for `--short`.
    """
    name = Path(sys.argv[0]).stem
    result = {
        "benchmark": name,
        "command": " ".join([f"python benchmarks/{name}.py", *_asked_words()]),
        "short": asked.short,
        "repeats": asked.repeats,
        "load_before": asked.load,
        "machine": machine(),
        **more,
        "rows": list(rows),
    }
    print(table(columns, rows), file=sys.stderr)
    text = json.dumps(result)
    print(text)
    if asked.save:
        if asked.save.is_file():
            kept = json.loads(asked.save.read_text("utf-8"))["machine"]
            if not comparable(kept, result["machine"]):
                print(
                    f"{asked.save} was measured on another machine ({kept['processor']}): ratios "
                    "can be compared, seconds cannot.",
                    file=sys.stderr,
                )
        asked.save.parent.mkdir(parents=True, exist_ok=True)
        asked.save.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if more.get("is_met") is False and not asked.short:
        raise SystemExit(1)


def _asked_words() -> list[str]:
    """The options of this run that another machine needs to repeat it: no places."""
    words, found = iter(sys.argv[1:]), []
    for word in words:
        if word.partition("=")[0] in ("--data", "--save", "--environments"):
            if "=" not in word:
                next(words, None)
        else:
            found.append(word)
    return found


def table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Rows as aligned text, figures to the right."""
    lines = [list(columns), *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return (
            f"{value:.3g}"
            if abs(value) < 10
            else f"{value:.1f}"
            if value < 1000
            else f"{value:.0f}"
        )
    return str(value)
