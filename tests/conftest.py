"""Fixtures that many tests share: a home of their own, and the real photos where they exist."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# Machines are shared: how long an example takes says nothing.
settings.register_profile("quick", deadline=None, max_examples=20)
settings.register_profile("full", deadline=None, max_examples=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

ROOT = Path(__file__).parent.parent
SLOW = ("cli", "contracts", "simulations")
"""Folders of tests that start processes, build many networks or draw much data; a file or a test
elsewhere is marked by itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves to `make test-all`."""
    for item in items:
        if any(ROOT / "tests" / folder in item.path.parents for folder in SLOW):
            item.add_marker("slow")


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


@pytest.fixture
def clusters():
    """`clusters(n, d, k)`: separable features and labels, the same for the same seed."""

    def make(n: int = 60, d: int = 8, k: int = 3, seed: int = 0, spread: float = 0.3):
        random = torch.Generator().manual_seed(seed)
        centres = 2 * torch.randn(k, d, generator=random)
        labels = torch.arange(n) % k
        return centres[labels] + spread * torch.randn(n, d, generator=random), labels

    return make
