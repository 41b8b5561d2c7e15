"""The page on the design names files that are there."""

import re

import pytest

from .pages import ROOT, Page

SOURCE = ROOT / "src" / "budwood"
FILES = sorted(set(re.findall(r"`([\w/]+\.py)`", Page("docs/design.md").text)))


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_there(name):
    below = {SOURCE, ROOT}
    found = any((folder / name).is_file() for folder in below)
    assert found or ("/" not in name and list(SOURCE.rglob(name)))
