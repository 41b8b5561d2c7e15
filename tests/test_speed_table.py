"""The tables of speed in docs and READMEs are what the tool makes of the saved results."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MACHINE = {
    "cores": 2,
    "processor": "Maker family 1",
    "extensions": ["avx2"],
    "memory_gb": 8,
    "system": "Linux x86_64",
    "versions": {"torch": "2.9", "openvino": "2025.3"},
}
ROWS = {
    "course_jobs": [
        {"job": "lite0-flowers", "epochs": 10, "chapter_seconds": 1200.0, "ratio": 60.0,
         "measured_on": "1 epoch, 10% of photos, scaled", "budwood_seconds": 20.0},
    ],
    "peers": [
        {"job": "lite0-flowers", "who": "expert", "seconds": 90.0, "measured_on": "all",
         "of_budwood": 4.5},
        {"job": "lite0-flowers", "who": "budwood", "seconds": 20.0, "measured_on": "all"},
        {"job": "lite0-flowers", "who": "keras", "not_measured": "no such package"},
    ],
    "floor": [
        {"network": "vgg16", "floor_ms": 60.0, "budwood_ms": 66.0, "share_of_floor": 0.909},
    ],
    "second_run": [
        {"training": "first", "seconds": 20.0, "misses": 3119, "ratio": 1.0},
        {"training": "ten photos more", "seconds": 8.0, "misses": 10, "ratio": 2.5},
    ],
    "growth": [],
    "start": [
        {"command": "import torch", "seconds": 6.0, "peak_mb": 900.0},
        {"command": "budwood --help", "seconds": 0.21, "peak_mb": 22.0},
    ],
    "accuracy": [
        {"photos": "flowers", "precision": "bf16", "seeds": 5, "fp32_top1": 0.93, "top1": 0.929,
         "difference": -0.001, "low": -0.004, "high": 0.002},
    ],
}  # fmt: skip
"""Invented rows of every benchmark."""


def load_tool():
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location("speed", ROOT / "tools" / "make_speed_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = load_tool()


def result(name, **other):
    """What a benchmark saves."""
    return {
        "benchmark": name,
        "command": f"python benchmarks/{name}.py",
        "short": False,
        "load_before": 0.1,
        "machine": MACHINE,
        "geometric_mean": 60.0,
        "exponents": {"probe over photos": 1.02},
        "rows": ROWS[name],
    } | other


def save(folder, *results):
    """Save results where the tool looks for them."""
    for i, one in enumerate(results):
        (folder / f"{i}.json").write_text(json.dumps(one), "utf-8")


@pytest.mark.parametrize(("name", "language"), TOOL.PAGES.items())
def test_the_page_shows_what_was_measured(name, language):
    page = (ROOT / name).read_text("utf-8")
    assert page == TOOL.with_table(page, TOOL.speed_table(TOOL.saved(), language))


@pytest.mark.parametrize(("name", "language"), TOOL.READMES.items())
def test_a_readme_shows_six_lines_of_it(name, language):
    page = (ROOT / name).read_text("utf-8")
    table = TOOL.speed_table(TOOL.saved(), language, only=TOOL.HEADLINES)
    assert page == TOOL.with_table(page, table)
    assert table.count("\n| ") == 2 + 6
    assert set(table.splitlines()) <= set(TOOL.speed_table(TOOL.saved(), language).splitlines())


@pytest.mark.parametrize("language", TOOL.WORDS)
def test_every_figure_and_its_command_are_in_the_table(language, tmp_path):
    save(tmp_path, *map(result, reversed(ROWS)))
    results = TOOL.saved(tmp_path)
    assert [one["benchmark"] for one in results] == list(ROWS)
    table = TOOL.speed_table(results, language)
    figures = (
        "1200 s",
        "20.0 s",
        "60x",
        "90.0 s",
        "4.5x",
        "60.0 ms",
        "91%",
        "8.00 s",
        "10",
        "2.5x",
    )
    for figure in (*figures, "1.02", "0.21 s", "22 MB", "0.9290", "-0.0010", "+0.0020"):
        assert figure in table
    for name in ROWS:
        assert f"`python benchmarks/{name}.py`" in table


@pytest.mark.parametrize("language", TOOL.WORDS)
def test_scaled_baselines_say_so_and_missing_peers_say_why(language, tmp_path):
    save(tmp_path, result("course_jobs"), result("peers"))
    lines = TOOL.speed_table(TOOL.saved(tmp_path), language).splitlines()
    mark = {"en": "scaled", "zh": "推算"}[language]
    assert [line for line in lines if "1200 s" in line and mark in line]
    assert [line for line in lines if "90.0 s" in line and mark not in line]
    assert [line for line in lines if "keras" in line and "no such package" in line]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"short": True}, "0.json was measured with --short"),
        ({"load_before": 2.9}, r"0.json was measured while others used the machine \(load 2.9\)"),
        ({"benchmark": "recipes"}, "0.json is of 'recipes', which has no lines here"),
    ],
)
def test_a_result_that_may_not_be_shown_is_refused(other, message, tmp_path):
    save(tmp_path, result("floor", **other))
    with pytest.raises(ValueError, match=message):
        TOOL.saved(tmp_path)


def test_results_of_two_machines_have_a_folder_and_a_table_each(tmp_path):
    other = result("floor", machine=MACHINE | {"processor": "Maker family 2"})
    save(tmp_path, result("floor"), other)
    with pytest.raises(ValueError, match=r"1\.json is of another machine"):
        TOOL.saved(tmp_path)
    (tmp_path / "on-other").mkdir()
    (tmp_path / "1.json").rename(tmp_path / "on-other" / "floor.json")
    table = TOOL.speed_table(TOOL.saved(tmp_path), "en")
    first, second = table.index("Maker family 1"), table.index("Maker family 2")
    assert first < second < table.index("Ratios of two machines")
    assert table.count("| vgg16, a photo") == 2


def test_only_what_is_between_the_markers_is_written():
    page = f"before\n{TOOL.BEGIN}\nold\n{TOOL.END}\nafter\n"
    assert TOOL.with_table(page, "new") == page.replace("old", "new")


@pytest.mark.parametrize(
    "page", ["", TOOL.BEGIN, TOOL.END + TOOL.BEGIN, (TOOL.BEGIN + TOOL.END) * 2]
)
def test_a_page_needs_both_markers_once(page):
    with pytest.raises(ValueError, match="The page needs one"):
        TOOL.with_table(page, "new")
