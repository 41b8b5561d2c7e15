"""What this machine has: cores, memory, disk."""

import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from budwood.places import home

MEMORY = Path("/proc/meminfo")
LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where a container is told how much memory it may take."""
PROCESSOR = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """A machine in a few figures."""

    processor: str
    cores: int
    """That this process may use."""
    memory_bytes: int | None
    """In all, or what a container allows; None where the system does not tell."""
    memory_free_bytes: int | None
    """Available now; None where the system does not tell."""
    disk_free_bytes: int
    """Where Budwood keeps its files."""
    system: str
    python: str

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def machine() -> Machine:
    """This machine."""
    affinity = getattr(os, "sched_getaffinity", None)
    limit = next((found for file in LIMITS if (found := _number(file)) is not None), None)
    memory, free = _meminfo("MemTotal"), _meminfo("MemAvailable")
    if memory is None and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=_processor(),
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        memory_bytes=_least(memory, limit),
        memory_free_bytes=_least(free, limit) if free is not None else None,
        disk_free_bytes=shutil.disk_usage(_existing(home())).free,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )


def most_memory() -> int:
    """Bytes of memory that this process has taken so far at its peak; 0 where none tells."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _least(first: int | None, second: int | None) -> int | None:
    known = [value for value in (first, second) if value is not None]
    return min(known, default=None)


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:  # no such system, or no container
        return None
    return int(text) if text.isdigit() else None  # "max" is no limit


def _meminfo(name: str) -> int | None:
    try:
        lines = MEMORY.read_text().splitlines()
    except OSError:  # not Linux
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None


def _processor() -> str:
    try:
        lines = PROCESSOR.read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder
