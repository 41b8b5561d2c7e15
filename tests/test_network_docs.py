"""The pages on the classic networks: tables as the networks are, alike in both languages."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from budwood.classics.scaling import PUBLISHED, count_parameters, scale_by

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(page.name for page in (DOCS / "networks").glob("*.md"))
SLOW = {"efficientnet-sizes", "efficientnet-grown 0 1 2 3"}
"""Tables that take too long for a test; of these the parameters are checked by arithmetic."""
UPDATE = "run: python tools/make_network_docs.py"

TABLE = re.compile(r"<!-- table: (.+?) -->\n(.*?)<!-- end -->", re.S)
CONSOLE = re.compile(r"```(?:console|python)\n(.+?)```", re.S)
IMAGE = re.compile(r"!\[.+?\]\((.+?)\)")


@pytest.fixture(scope="module")
def maker() -> Iterator[ModuleType]:
    """The tool that writes the tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS.parent / "tools"))
        import make_network_docs

        yield make_network_docs
    for name in [name for name in sys.modules if name.partition(".")[0] == "network_docs"]:
        del sys.modules[name]
    del sys.modules["make_network_docs"]


def english(page: str) -> str:
    return (DOCS / "networks" / page).read_text("utf-8")


def chinese(page: str) -> str:
    return (DOCS / "zh" / "networks" / page).read_text("utf-8")


def numbers(table: str) -> list[str]:
    return re.findall(r"\d+(?:[,.]\d+)*", table)


def test_every_page_is_in_both_languages():
    assert sorted(page.name for page in (DOCS / "zh" / "networks").glob("*.md")) == PAGES
    assert len(PAGES) == 7


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_are_up_to_date(maker, page):
    for text, is_chinese in ((english(page), False), (chinese(page), True)):
        assert text == maker.filled(text, is_chinese, SLOW), UPDATE


def test_the_slow_tables_have_the_parameters_that_arithmetic_gives():
    tables = dict(TABLE.findall(english("efficientnet.md")))
    assert set(tables) > SLOW
    sizes, grown = (
        re.findall(r"^\| (\w+) \|.*?(\d+(?:,\d+){2}) ", tables[mark], re.M)
        for mark in sorted(SLOW, reverse=True)
    )
    assert sizes == [
        (name.upper(), f"{count_parameters(scale):,}") for name, scale in PUBLISHED.items()
    ]
    assert grown == [(phi, f"{count_parameters(scale_by(float(phi))):,}") for phi in "0123"]


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_tables_and_numbers(page):
    ours, theirs = (TABLE.findall(text) for text in (english(page), chinese(page)))
    assert [mark for mark, _ in ours] == [mark for mark, _ in theirs]
    for (mark, rows), (_, translated) in zip(ours, theirs, strict=True):
        assert numbers(rows) == numbers(translated), mark


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_commands(page):
    ours, theirs = (
        [re.sub(r" +# .+", "", block) for block in CONSOLE.findall(text)]
        for text in (english(page), chinese(page))
    )
    assert ours
    assert ours == theirs


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("folder", ["networks", "zh/networks"])
def test_every_drawing_is_there(folder, page):
    drawings = IMAGE.findall((DOCS / folder / page).read_text("utf-8"))
    assert (len(drawings) > 0) == (page != "README.md")
    for drawing in drawings:
        root = ElementTree.parse((DOCS / folder / drawing).resolve()).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_every_drawing_is_shown(maker):
    shown = {Path(drawing).stem for page in PAGES for drawing in IMAGE.findall(english(page))}
    assert shown - {"degradation"} == set(maker.DRAWN)  # that chart `budwood lesson` draws


def test_a_mark_that_names_no_table_is_refused(maker):
    with pytest.raises(ValueError, match=r"No table is called 'layer'\. Did you mean 'layers'"):
        maker.filled("<!-- table: layer lenet5 -->\n<!-- end -->", False)


def test_what_stands_between_the_marks_is_replaced(maker):
    page = "Before.\n<!-- table: networks lenet5 -->\nold\n<!-- end -->\nAfter.\n"
    new = maker.filled(page, False)
    assert new.startswith("Before.\n<!-- table: networks lenet5 -->\n| name | input shape |")
    assert new.endswith("| `lenet5` | 32×32×1 | 61,706 | - |\n<!-- end -->\nAfter.\n")
    assert maker.filled(page, False, {"networks lenet5"}) == page


class TestChinese:
    @pytest.mark.parametrize(
        ("cell", "expected"),
        [
            ("parameters", "参数量"),
            ("2x2 max pooling, stride 2", "2×2 最大池化，步长为 2"),
            ("3x3 depthwise convolution, 96 channels", "3×3 逐通道卷积，输出通道数为 96"),
            ("`features.conv1`", "`features.conv1`"),
            ("floor((224-7+2×3)/2)+1 = 112", "floor((224-7+2×3)/2)+1 = 112"),
        ],
    )
    def test_a_cell_is_translated(self, maker, cell, expected):
        assert maker.in_chinese(cell) == expected

    def test_a_word_that_is_not_known_is_refused(self, maker):
        with pytest.raises(ValueError, match="has no words for 'octave convolution'"):
            maker.in_chinese("octave convolution, 3 channels")
