"""What a machine has, whatever of it the system tells."""

import pytest

from budwood import machine as module
from budwood.machine import machine, most_memory


def test_a_machine_has_cores_and_a_disk():
    found = machine()
    assert found.cores >= 1
    assert found.disk_free_bytes > 0
    assert found.processor
    assert found.to_json()["python"].startswith("3.")


def test_memory_is_at_most_what_a_container_allows(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    limit.write_text("1000000\n")
    monkeypatch.setattr(module, "LIMITS", (tmp_path / "none", limit))
    assert machine().memory_bytes == 1_000_000
    limit.write_text("max\n")
    assert machine().memory_bytes != 1_000_000


def test_free_memory_is_read_from_the_system(tmp_path, monkeypatch):
    table = tmp_path / "meminfo"
    table.write_text("MemTotal:  2000 kB\nMemFree:  100 kB\nMemAvailable:  500 kB\n")
    monkeypatch.setattr(module, "MEMORY", table)
    monkeypatch.setattr(module, "LIMITS", ())
    assert (machine().memory_bytes, machine().memory_free_bytes) == (2000 * 1024, 500 * 1024)


def test_what_a_system_does_not_tell_is_none(tmp_path, monkeypatch):
    for name in ("MEMORY", "PROCESSOR"):
        monkeypatch.setattr(module, name, tmp_path / "nothing")
    assert machine().memory_free_bytes is None
    assert machine().processor


def test_a_process_has_taken_some_memory():
    assert most_memory() == 0 or most_memory() > 10**7


@pytest.fixture(autouse=True)
def home_that_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("BUDWOOD_HOME", str(tmp_path / "not" / "made"))
    yield
    assert not (tmp_path / "not").exists()
