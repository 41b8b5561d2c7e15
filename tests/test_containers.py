"""What a container allows, read from made-up folders of control groups."""

import pytest

from budwood import machine
from budwood.images.contents import workers
from budwood.machine import memory_limits, processor_share


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """`groups(text, {file: content})`: the groups of this process, and files under the mount."""

    def make(text, files):
        (tmp_path / "self").write_text(text)
        for name, content in files.items():
            file = tmp_path / "mount" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        monkeypatch.setattr(machine, "GROUPS", tmp_path / "self")
        monkeypatch.setattr(machine, "MOUNT", tmp_path / "mount")

    return make


def free():
    return min(limit.free for limit in memory_limits())


def test_what_a_container_has_taken_is_not_free(groups):
    stat = "anon 5\ninactive_file 100\n"
    files = {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": stat}
    groups("0::/\n", files)
    assert (memory_limits()[0].limit, free()) == (1000, 400)


def test_a_group_is_bound_by_all_above_it(groups):
    files = {
        "a/memory.max": "500",
        "a/memory.current": "450",
        "a/b/memory.max": "max",
        "a/b/c/memory.max": "800",
        "a/b/c/memory.current": "100",
        "a/cpu.max": "150000 100000",
        "a/b/c/cpu.max": "max 100000",
    }
    groups("0::/a/b/c\n", files)
    assert free() == 50
    assert processor_share() == 1.5


def test_the_first_version_has_a_folder_for_each_controller(groups):
    files = {
        "memory/docker/x/memory.limit_in_bytes": "1000",
        "memory/docker/x/memory.usage_in_bytes": "600",
        "memory/docker/x/memory.stat": "inactive_file 1\ntotal_inactive_file 200\n",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "cpu,cpuacct/docker/x/cpu.cfs_quota_us": "200000",
        "cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000",
    }
    groups("9:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n", files)
    assert [(limit.limit, limit.free) for limit in memory_limits()] == [(1000, 600)]
    assert processor_share() == 2


def test_the_path_may_be_that_of_the_host(groups):
    """Inside a container with no view of the host's groups, the mount is the group."""
    groups("0::/../../system.slice/docker-x\n", {"memory.max": "1000", "memory.current": "1"})
    assert free() == 999
    groups("9:memory:/docker/x\n", {"memory/memory.limit_in_bytes": "70"})
    assert free() == 70


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"memory.max": "max", "cpu.max": "max 100000"},
        {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
    ],
)
def test_no_limit_is_none(files, groups):
    groups("0::/\n3:cpu:/\n", files)
    assert memory_limits() == []
    assert processor_share() is None


def test_another_system_has_no_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "none")
    monkeypatch.setattr(machine, "MOUNT", tmp_path / "none")
    assert memory_limits() == []
    assert processor_share() is None


@pytest.mark.parametrize(("quota", "expected"), [("200000", 2), ("50000", 1), ("150000", 2)])
def test_cores_are_those_that_a_container_is_given(quota, expected, groups, monkeypatch):
    groups("0::/\n", {"cpu.max": f"{quota} 100000"})
    monkeypatch.setattr(machine, "processors", lambda: 64)
    assert machine.cores() == workers() == machine.machine().cores == expected


def test_a_machine_has_no_more_memory_than_its_container(groups):
    groups("0::/\n", {"memory.max": "1000000", "memory.current": "400000"})
    found = machine.machine()
    assert (found.memory_bytes, found.memory_free_bytes) == (1_000_000, 600_000)
