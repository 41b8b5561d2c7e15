"""The law of the cut, from the contracts, for the small networks of these tests."""

import runpy
from pathlib import Path

import pytest

CONTRACTS = Path(__file__).parent.parent / "contracts" / "conftest.py"


@pytest.fixture(scope="session")
def law():
    """`law(network, x)` asserts the cut's law and returns the cut in train mode."""
    return runpy.run_path(str(CONTRACTS))["assert_law_holds"]
