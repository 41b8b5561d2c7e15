"""Fixtures that many tests share: a home of their own, and the real photos where they exist."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared: how long an example takes says nothing.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def budwood_home(tmp_path_factory, monkeypatch):
    """Every test gets an empty BUDWOOD_HOME."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("BUDWOOD_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """The folder with `flowers/` and `catdog/`; the test is skipped where there is none."""
    folder = Path(os.environ.get("BUDWOOD_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "flowers" / "train").is_dir():
        pytest.skip(f"needs real photos: no flowers/train in {folder} (set BUDWOOD_DATA)")
    return folder
