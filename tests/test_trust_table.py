"""The table of trust in docs/measured.md is what the tool makes of the saved results."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tool():
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location("trust", ROOT / "tools" / "make_trust_table.py")
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def calibration(**changes):
    """A row of `benchmarks/trust.py`."""
    return {
        "what": "calibration", "photos": "flowers", "how": "calibrated", "error": 0.0224,
        "band_low": 0.011, "band_high": 0.034, "gap": 0.0002, "inside": 9, "splits": 10,
        "is_met": True,
    } | changes  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_pages_have_the_table_of_the_saved_results(tool, language):
    (name,) = (page for page, of in tool.PAGES.items() if of == language)
    page = (ROOT / name).read_text("utf-8")
    table = tool.trust_table(tool.saved(), language)
    assert tool.with_table(page, table, tool.BEGIN, tool.END) == page, (
        "Run python tools/make_trust_table.py"
    )
    assert table.count("\n") > 5


def test_a_claim_that_fails_is_marked_as_such(tool):
    result = {"benchmark": "trust", "command": "x", "rows": [calibration()]}
    assert "0.022; a perfect classifier shows 0.011 to 0.034" in tool.trust_table([result], "en")
    assert "the claim fails" not in tool.trust_table([result], "en")
    result["rows"] = [calibration(is_met=False)]
    assert "(**the claim fails**)" in tool.trust_table([result], "en")
    assert "（**未达到**）" in tool.trust_table([result], "zh")


def test_a_short_result_is_refused(tool, tmp_path):
    (tmp_path / "trust.json").write_text(json.dumps({"short": True}))
    with pytest.raises(ValueError, match=r"trust\.json was measured with --short"):
        tool.saved(tmp_path)
