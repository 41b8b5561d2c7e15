"""The document: well-formed, sized to what is in it, for light and dark pages."""

from xml.etree import ElementTree

import pytest
from torch import nn

from budwood.drawing.network_drawing import draw

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def root(hollow):
    return ElementTree.fromstring(draw(hollow("resnet152")).svg)


def test_letters_are_large_enough_to_read(root):
    style = root.find(f"{SVG}style").text
    sizes = [int(part.partition("px")[0]) for part in style.split("font-size:")[1:]]
    assert min(sizes) >= 11
    classes = {text.get("class") for text in root.iter(f"{SVG}text")}
    assert classes <= {"head", "title", "small", "muted"}


def test_every_class_has_a_colour_in_light_and_in_dark(root):
    light, dark = root.find(f"{SVG}style").text.split("@media(prefers-color-scheme:dark)")
    drawn = (*root.iter(f"{SVG}rect"), *root.iter(f"{SVG}text"), *root.iter(f"{SVG}polygon"))
    used = {name for element in drawn for name in element.get("class").split()}
    for name in used - {"box", "plain"}:
        assert f".{name}" in light
        assert f".{name}" in dark
    assert root.find(f"{SVG}rect").get("class") == "page"


def test_everything_is_on_the_page(root):
    width, height = float(root.get("width")), float(root.get("height"))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    for rect in root.iter(f"{SVG}rect"):
        x, y = float(rect.get("x", 0)), float(rect.get("y", 0))
        assert 0 <= x <= x + float(rect.get("width")) <= width
        assert 0 <= y <= y + float(rect.get("height")) <= height


def test_shortcuts_have_styles_of_their_own(root):
    paths = [path.get("class") for path in root.iter(f"{SVG}path")]
    # Four projections of three lines each, identities of folded blocks; and each in the legend.
    assert paths.count("identity") == 4 + 1
    assert paths.count("projection") == 4 * 4 + 1
    style = root.find(f"{SVG}style").text
    assert ".projection{stroke-dasharray" in style
    assert ".identity{stroke-dasharray" not in style


def test_a_folded_block_says_how_often_it_is_there(root):
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts.count("x 35") == 1
    assert "layer3.1 ... 35" in texts
    behind = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "behind"]
    assert len(behind) == 3 * 4


def test_a_long_title_widens_the_page():
    network = nn.Sequential(nn.Conv2d(3, 4, 1))
    narrow = ElementTree.fromstring(draw(network, (3, 5, 5), title="short").svg)
    wide = ElementTree.fromstring(draw(network, (3, 5, 5), title="a long title " * 9).svg)
    assert float(wide.get("width")) > float(narrow.get("width")) + 300


def test_boxes_say_more_when_pointed_at(root):
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert "layer1 (Sequential)" in titles
    assert any("conv1: 7x7 convolution, 64 channels, stride 2, padding 3" in t for t in titles)
