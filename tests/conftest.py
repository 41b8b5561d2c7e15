"""Fixtures that many tests share: a home of their own, and the real photos where they exist."""

import os
import re
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# Machines are shared: how long an example takes says nothing.
settings.register_profile("quick", deadline=None, max_examples=20)
settings.register_profile("full", deadline=None, max_examples=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

ROOT = Path(__file__).parent.parent
SLOW = (
    "cli", "contracts", "simulations", "course/test_degradation.py", "drawing/test_layout.py",
    "evaluation/test_transferability.py", "learning/test_plain_loop.py", "learning/test_plan.py",
    "models/test_building.py", "surgery/test_fingerprints.py", "surgery/test_probing.py",
    "surgery/test_stages.py", "tasks/test_audits.py",
    "tasks/test_comparisons.py", "test_classifier_trust.py", "test_documentation.py",
    "test_network_docs.py", "test_proof.py", "test_threads.py",
)  # fmt: skip
"""Folders and files of tests that start processes, build many networks, draw much data or train
several times; a test elsewhere is marked by itself."""
LARGE = re.compile(
    r"densenet\d+|efficientnet_b[4-7]|maxvit_t|resnet(101|152)|swin_t|vgg1[69]|vit_b_16"
)
"""Networks that take seconds to build and trace: of the tests that are parametrised over networks
`make test` runs those on smaller ones."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves to `make test-all`, and put files with such tests first.

    What takes long and is begun last would let the other core idle.
    """
    for item in items:
        is_slow = any(item.path.is_relative_to(ROOT / "tests" / place) for place in SLOW)
        if is_slow or any(map(LARGE.fullmatch, _words(item))):
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _words(item: pytest.Item) -> list[str]:
    """The parameters of a test that are text."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return [value for value in parameters if isinstance(value, str)]


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
