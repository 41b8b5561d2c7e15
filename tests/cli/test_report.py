"""`train` leaves a page behind, `report` makes it again: whole, also where photos have moved."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ..page_checks import check_page  # noqa: TID252

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # a browser has wishes of its own
]


@pytest.fixture(scope="module")
def quick(place, run) -> str:
    """The page that `train` wrote."""
    return (place.folder / run / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def moved(place, run) -> Path:
    """The same run beside photos of which one has gone, and one whose photos all have."""
    images = place.folder / "to be moved"
    shutil.copytree(place.folder / "photos", images)
    outcome = place.run("train", "to be moved", "--out", "some moved", "--no-report")
    assert outcome.code == 0, outcome.err
    assert not (place.folder / "some moved" / "report.html").exists()
    shutil.copytree(place.folder / "some moved", place.folder / "all moved")
    listed = (place.folder / "some moved" / "photos.csv").read_text()
    gone = next(line.split(",")[0] for line in listed.splitlines() if line.endswith(",test"))
    Path(gone).unlink()
    return Path(gone)


@pytest.fixture(scope="module")
def outcomes(place, run, moved):
    """Reports of both, in both languages."""
    commands = {
        "en": ["report", run, "--json"],
        "some moved": ["report", "some moved", "--json"],
        "some moved, in words": ["report", "some moved"],
        "no run": ["report", "photos", "--json"],
    }
    found = dict(zip(commands, place.run_several(list(commands.values())), strict=True))
    for name in ("en", "some moved"):
        assert found[name].code == 0, found[name].err
    page = (place.folder / run / "report.html").read_text("utf-8")
    (place.folder / "to be moved").rename(place.folder / "elsewhere")
    (place.folder / "all moved" / "photos.csv").unlink()  # as runs of before had none
    last = [
        ["report", "some moved", "--lang", "zh", "--json"],
        ["report", "all moved", "--json"],
        ["report", run / "model.safetensors", "--lang", "zh", "--json"],
    ]
    names = ("none left", "unknown", "zh")
    found |= dict(zip(names, place.run_several(last), strict=True))
    return found, page


def page_of(place, outcome):
    return (place.folder / outcome.json["report"]).read_text("utf-8")


def test_train_writes_the_quick_part(quick, place, run):
    page = check_page(quick)
    said = " ".join("".join(page.words).split())
    assert "of 6 test photos correctly (3 classes)" in said
    assert "adds them" in said
    assert (place.folder / run / "model-card.md").read_text().startswith("# Model card")
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(images) >= 6


def test_the_list_of_photos_has_all_of_them(place, run, trained):
    lines = (place.folder / run / "photos.csv").read_text().splitlines()
    counts = trained.json["images"]
    assert len(lines) == 1 + counts["train"] + counts["test"]
    assert all(Path(line.split(",")[0]).is_file() for line in lines[1:])


def test_the_whole_report_has_maps_and_all_else(outcomes, place, run):
    found, page = outcomes
    read = check_page(page)
    assert found["en"].json["missing"] == []
    assert found["en"].json["bytes"] == len(page.encode())
    alts = [a["alt"] for tag, a in read.elements if tag == "img"]
    assert any("what speaks for" in alt for alt in alts)
    assert "adds them" not in page


def test_it_is_chinese_if_asked(outcomes, place):
    found, _ = outcomes
    page = page_of(place, found["zh"])
    check_page(page)
    assert '<html lang="zh-CN">' in page
    assert "张测试图像" in page
    assert found["zh"].json["language"] == "zh"


def test_a_photo_that_has_gone_is_named(outcomes, moved):
    found, _ = outcomes
    name = f"{moved.parent.name}/{moved.name}"
    assert found["some moved"].json["missing"] == [name]
    assert f"1 photo is no longer there: {name}" in found["some moved, in words"].out


def test_without_any_photo_the_report_still_opens(outcomes, place):
    found, _ = outcomes
    gone = found["none left"]
    assert gone.code == 0, gone.err
    page = page_of(place, gone)
    read = check_page(page)
    assert len(gone.json["missing"]) == 30
    assert [1 for tag, _ in read.elements if tag == "img"] == []
    assert "图像已不在原处" in page
    assert "matrix" in page


def test_without_a_list_it_says_that_the_photos_are_not_known(outcomes, place):
    found, _ = outcomes
    assert found["unknown"].code == 0, found["unknown"].err
    said = "".join(check_page(page_of(place, found["unknown"])).words)
    assert "The photos of this run are not where they were" in said


def test_what_is_no_run_is_told(outcomes):
    found, _ = outcomes
    assert found["no run"].code == 1
    assert "There is no capsule at photos" in found["no run"].json["error"]


def test_a_browser_shows_it_without_a_complaint(outcomes, place, tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    page = tmp_path / "report.html"
    page.write_text(outcomes[1], "utf-8")
    command = [
        browser, *QUIET, f"--user-data-dir={tmp_path / 'profile'}",
        "--enable-logging=stderr", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    assert ":CONSOLE" not in done.stderr  # a request would break the page's policy: one line
    (button,) = re.findall(r"<button[^>]*id=\"theme\"[^>]*>", done.stdout)
    assert "hidden" not in button  # the script of the page has run
