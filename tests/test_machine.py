"""What a machine has, whatever of it the system tells."""

from types import SimpleNamespace

import pytest

from budwood import machine as module
from budwood.machine import installed_version, machine, most_memory


def test_a_machine_has_cores_and_a_disk():
    found = machine()
    assert found.cores >= 1
    assert found.disk_free_bytes > 0
    assert found.processor
    assert found.to_json()["python"].startswith("3.")


def test_free_memory_is_read_from_the_system(tmp_path, monkeypatch):
    table = tmp_path / "meminfo"
    table.write_text("MemTotal:  2000 kB\nMemFree:  100 kB\nMemAvailable:  500 kB\n")
    monkeypatch.setattr(module, "MEMORY", table)
    monkeypatch.setattr(module, "memory_limits", list)
    assert (machine().memory_bytes, machine().memory_free_bytes) == (2000 * 1024, 500 * 1024)


def test_what_a_system_does_not_tell_is_none(tmp_path, monkeypatch):
    for name in ("MEMORY", "PROCESSOR"):
        monkeypatch.setattr(module, name, tmp_path / "nothing")
    monkeypatch.setattr(module, "memory_limits", list)
    assert machine().memory_free_bytes is None
    assert machine().processor


def test_a_library_that_is_used_from_its_sources_has_a_version(monkeypatch):
    monkeypatch.setattr(module.sys, "modules", {"here": SimpleNamespace(__version__="1.2")})
    assert installed_version("here") == "1.2"
    assert installed_version("nowhere") == "unknown"


def test_a_process_has_taken_some_memory():
    assert most_memory() == 0 or most_memory() > 10**7


@pytest.fixture(autouse=True)
def home_that_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("BUDWOOD_HOME", str(tmp_path / "not" / "made"))
    yield
    assert not (tmp_path / "not").exists()
