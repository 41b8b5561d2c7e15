"""What this machine has: cores, memory, disk."""

import math
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from budwood.containers import memory_limits, processor_share
from budwood.places import home

MEMORY = Path("/proc/meminfo")
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
    limits = memory_limits()
    memory, free = _meminfo("MemTotal"), _meminfo("MemAvailable")
    if memory is None and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=_processor(),
        cores=cores(),
        memory_bytes=_least(memory, *(group.limit for group in limits)),
        memory_free_bytes=_least(free, *(group.free for group in limits)),
        disk_free_bytes=shutil.disk_usage(_existing(home())).free,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )


def cores() -> int:
    """Cores that this process may use at once: those it is bound to, and no more than the time that
    its container is given; at least one."""
    share = processor_share()
    return processors() if share is None else min(processors(), max(1, math.ceil(share)))


def processors() -> int:
    """Processors that this process is bound to, however much time on them it is given."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def installed_version(library: str) -> str:
    """The version of a library; of one that is used from its sources, what it says of itself."""
    try:
        return version(library)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(library), "__version__", "unknown"))


def most_memory() -> int:
    """Bytes of memory that this process has taken so far at its peak; 0 where none tells."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _least(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)


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
