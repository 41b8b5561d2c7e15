"""The page and the card: whole, self-contained, in both languages, and honest about gaps."""

import re
from dataclasses import replace
from importlib.resources import files

import pytest

from budwood.reporting.pages import class_rows, model_card, page_style, report_page, write_pages
from budwood.reporting.words import words_of
from budwood.settings import settled

from ..page_checks import check_page  # noqa: TID252
from .conftest import facts_with, result_of

EN = words_of("en")


def said(facts, language="en"):
    """The text of a page."""
    return " ".join("".join(check_page(report_page(facts, words_of(language))).words).split())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_page_is_whole_and_asks_nothing_of_the_network(facts, language):
    page = report_page(facts, words_of(language))
    check_page(page)
    assert f'<html lang="{"en" if language == "en" else "zh-CN"}">' in page


def test_the_result_is_one_sentence_with_its_interval(facts):
    assert (
        "resnet50 classifies 85.7\N{NO-BREAK SPACE}% of 28 test photos correctly (3 classes). "
        "95 % interval: 68.5\N{NO-BREAK SPACE}% to 94.3\N{NO-BREAK SPACE}%."
    ).replace("\N{NO-BREAK SPACE}", " ") in said(facts).replace("\N{NO-BREAK SPACE}", " ")


def test_class_names_mean_themselves(facts):
    page = report_page(facts, EN)
    assert "<b>cat</b>" not in page
    assert "dog &amp; &lt;b&gt;cat&lt;/b&gt;" in page


def test_cells_open_their_photos_without_a_script(facts):
    elements = check_page(report_page(facts, EN)).elements
    opening = [a for t, a in elements if t == "button" and "cell" in (a.get("class") or "")]
    assert [a["aria-label"] for a in opening[:2]] == [
        "daisy predicted as daisy: 8 photos",
        "daisy predicted as dog & <b>cat</b>: 1 photos",
    ]
    panels = {a["id"] for _, a in elements if "popover" in a}
    assert {a["popovertarget"] for a in opening} == panels


def test_many_classes_are_told_by_their_mistakes():
    names = [f"class {i}" for i in range(40)]
    confusion = [[9 if i == j else int(j == i + 1) for j in range(40)] for i in range(40)]
    facts = facts_with(names, confusion)
    mistakes = tuple(c for row in facts.cells for c in row if not c.is_right and c.images)
    page = said(replace(facts, cells=(), confusions=mistakes[:30]))
    assert "only the 30 most frequent mistakes" in page
    assert "The 30 of 40 classes that do worst" in page


def test_without_mistakes_there_is_a_sentence():
    facts = facts_with(cells=(), confusions=(), wrong=())
    assert EN["confusion.perfect"] in said(facts)
    assert EN["most wrong.none"] in said(facts)


def test_what_is_not_there_is_said_in_its_place(facts):
    gaps = {"maps": "later", "growth": "growth.unfrozen", "reliability": "photos.moved"}
    bare = replace(facts, reliability=None, growth=None, layer=None, drawing=None, gaps=gaps)
    page = said(bare)
    for name in ("later.maps", "growth.unfrozen", "photos.moved", "network.undrawn"):
        assert EN[name] in page


def test_without_test_photos_nothing_is_claimed():
    result = result_of(("a", "b"), ((1, 0), (0, 1))) | {"test": None}
    facts = facts_with(("a", "b"), ((1, 0), (0, 1)), result=result)
    bare = replace(facts, cells=(), reliability=None, gaps={"test": "test.none"})
    page = said(bare)
    assert EN["test.none"] in page
    assert "interval" not in page.partition("Network")[0]
    assert EN["test.none"] in model_card(bare, EN)


def test_photos_that_are_gone_are_named(facts):
    page = said(facts)
    assert "1 of the 118 photos of this run are no longer where they were." in page
    assert "daisy/9.jpg" in page
    assert EN["photo.gone"] in page


def test_random_frozen_weights_are_said_beside_the_result():
    result = result_of(("a", "b"), ((1, 0), (0, 1)), weights="none", warning="random")
    facts = facts_with(("a", "b"), ((1, 0), (0, 1)), result=result)
    assert EN["warning.random"] in said(facts)
    assert EN["warning.random"] in model_card(facts, EN)


def test_epochs_are_drawn_where_there_are_some():
    epochs = [{"epoch": i, "loss": 1 / i, "val_loss": 1.2 / i} for i in (1, 2, 3)]
    result = result_of(("a", "b"), ((1, 0), (0, 1)), epochs=epochs, probe=None)
    page = report_page(facts_with(("a", "b"), ((1, 0), (0, 1)), result=result), EN)
    assert 'aria-label="Loss over epochs"' in page
    check_page(page)


@pytest.mark.parametrize(
    ("asked", "given", "is_linear"),
    [
        ("auto", (), True),
        ("auto", (), False),
        ("auto", ("epochs",), True),
        ("logistic", (), True),
        ("sgd", (), True),
    ],
)
def test_the_algorithm_and_why_it_was_taken_are_told_in_both_languages(asked, given, is_linear):
    algorithm = settled(asked, given, is_linear=is_linear)
    result = result_of(("a", "b"), ((1, 0), (0, 1)), fit=algorithm.to_json())
    facts = facts_with(("a", "b"), ((1, 0), (0, 1)), result=result)
    assert str(algorithm) in report_page(facts, EN)
    assert f"--fit {asked}" in report_page(facts, words_of("zh"))


def test_the_legend_of_the_drawing_is_translated(facts):
    assert ">冻结</text>" in report_page(facts, words_of("zh"))


def test_a_card_is_markdown_that_repeats_the_command(facts):
    card = model_card(facts, EN)
    assert card.startswith("# Model card: a classifier of photos\n")
    assert "$ budwood train photos --unfreeze 'layer4*'\n" in card
    assert r"dog & \<b\>cat\</b\>" in card
    rows = [line for line in card.splitlines() if line.startswith("| daisy")]
    assert rows[0].count("|") == 6


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_sentence_is_left_with_a_gap(facts, language):
    words = words_of(language)
    for text in (said(facts, language), model_card(facts, words)):
        assert not re.search(r"\{[a-z]\w*\}", text)


def test_classes_without_photos_have_no_interval():
    test = result_of(("a", "b"), ((1, 0), (0, 0)))["test"]
    assert [(c["images"], c["interval"][0], c["recall"]) for c in class_rows(test)][1] == (
        0,
        0.0,
        None,
    )


def test_both_are_written_beside_each_other(facts, tmp_path):
    page, card = write_pages(facts, tmp_path, EN)
    assert (page.name, card.name) == ("report.html", "model-card.md")
    assert page.read_text("utf-8").startswith("<!doctype html>")


# Colours


def colours():
    """The variables of the light and of the dark page."""
    sheet = (files("budwood.reporting") / "templates" / "style.css").read_text("utf-8")
    light, dark = re.findall(r"(--paper:#[^}]+)\}", sheet)[:2]
    return [dict(re.findall(r"--(\w+):(#\w{3,6})", part)) for part in (light, dark)]


def luminance(colour):
    """WCAG's relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a, b):
    """WCAG's contrast of two colours."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mixed(colour, paper, share):
    """A colour laid thinly over paper."""
    parts = [
        round(int(colour[i : i + 2], 16) * share + int(paper[i : i + 2], 16) * (1 - share))
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{p:02x}" for p in parts)


@pytest.mark.parametrize("theme", [0, 1])
def test_everything_can_be_read(theme):
    page = colours()[theme]
    assert {"paper", "ink", "muted", "main", "other"} <= set(page)
    for name in ("ink", "muted", "main", "other"):
        for ground in ("paper", "soft"):
            assert contrast(page[name], page[ground]) >= 4.5, (name, ground)
    for tone in ("main", "other"):
        assert contrast(page["ink"], mixed(page[tone], page["paper"], 0.38)) >= 4.5


def test_the_style_knows_light_dark_and_print():
    style = page_style()
    assert style.count("{") == style.count("}")
    for part in ("prefers-color-scheme:dark", "[data-theme=dark]", "@media print"):
        assert part in style
    assert ".drawing .frozen{" in style
    assert not re.search(r"(^|\})\s*(text|path)\{", style)
