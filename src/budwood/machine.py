"""What this machine has, and what a container allows of it: cores, memory, disk.

Containers are known by Linux control groups of both versions.

    /proc/self/cgroup               the groups of this process, a line for each hierarchy
    /sys/fs/cgroup/GROUP/memory.*   version 2; version 1 has /sys/fs/cgroup/memory/GROUP/...

A group is bound by its own limit and by those of all groups above it. Inside a container the path
of the group may be that of the host, which is not mounted there: then the mount itself is the
group.
"""

import math
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from budwood.files import home

MEMORY = Path("/proc/meminfo")
PROCESSOR = Path("/proc/cpuinfo")
GROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")
UNLIMITED = 2**60
"""Version 1 writes a number as large as this where there is no limit."""


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
        processor=processor_name(),
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


def processor_name() -> str:
    """What the system calls this processor."""
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


@dataclass(frozen=True)
class MemoryLimit:
    """How much memory one group may take, and takes."""

    limit: int
    used: int
    """Without the cache of files, which gives way."""

    @property
    def free(self) -> int:
        """Bytes that may still be taken."""
        return max(0, self.limit - self.used)


def memory_limits() -> list[MemoryLimit]:
    """The limits that hold for this process; none outside of a container."""
    found = []
    for folder in _folders("memory"):
        limit = _number(folder / "memory.max", folder / "memory.limit_in_bytes")
        if limit is None or limit >= UNLIMITED:
            continue
        taken = _number(folder / "memory.current", folder / "memory.usage_in_bytes") or 0
        found.append(MemoryLimit(limit, max(0, taken - _file_cache(folder))))
    return found


def processor_share() -> float | None:
    """How many cores' time this process may take, as `docker --cpus` says; None without a limit."""
    quotas = [quota for folder in _folders("cpu") if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _quota(folder: Path) -> float | None:
    words = _text(folder / "cpu.max").split()
    if len(words) != 2:  # version 1: microseconds in two files
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [word for name in names for word in _text(folder / name).split()]
    if len(words) != 2 or not all(word.isdigit() for word in words):  # "max", or -1: no limit
        return None
    quota, period = map(int, words)
    return quota / period if quota and period else None


def _folders(controller: str) -> Iterator[Path]:
    """The folders of this process's group and of all above it, where they can be seen."""
    for line in _text(GROUPS).splitlines() or ["0::/"]:
        number, controllers, group = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            root = MOUNT
        elif controller in controllers.split(","):
            root = next((d for d in (MOUNT / controller, MOUNT / controllers) if d.is_dir()), MOUNT)
        else:
            continue
        parts = Path(group.strip("/")).parts
        for depth in range(len(parts), -1, -1):
            folder = root.joinpath(*parts[:depth])
            if ".." not in parts[:depth] and folder.is_dir():
                yield folder


def _file_cache(folder: Path) -> int:
    """Bytes of files that were not read lately: the system lets go of them first."""
    lines = [line.split() for line in _text(folder / "memory.stat").splitlines()]
    sizes = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}
    return sizes.get("total_inactive_file", sizes.get("inactive_file", 0))


def _number(*files: Path) -> int | None:
    words = [text for file in files if (text := _text(file).strip())]
    return int(words[0]) if words and words[0].isdigit() else None  # "max" is no limit


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # another system, or another version
        return ""
