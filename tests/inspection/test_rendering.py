"""A summary as text, as the course's table, as Markdown, CSV and HTML: all show the same rows."""

import csv
import io
import re
from dataclasses import fields
from html.parser import HTMLParser

import pytest
import torch
from torch import nn

from budwood.classics.alexnet import alexnet_course
from budwood.inspection.summarizing import summarize
from budwood.inspection.summary import LayerRow
from budwood.surgery.freezing import freeze
from budwood.text import width_of


@pytest.fixture(scope="module")
def alexnet():
    """The course's AlexNet with frozen features."""
    with torch.device("meta"):
        network = alexnet_course()
    return summarize(freeze(network.eval(), "features.*"), (3, 227, 227))


@pytest.fixture(scope="module")
def awkward():
    """A network with names that mean something in Markdown, CSV and HTML."""
    block = nn.Sequential(nn.Conv2d(3, 2, 3, bias=False), nn.BatchNorm2d(2))
    freeze(block, "0")
    network = nn.Sequential()
    network.add_module("a|b", block)
    network.add_module('<i>, "quoted"', nn.Flatten())
    network.add_module("fc", nn.Linear(18, 2))
    return summarize(network, (3, 5, 5))


COURSE = """\
layer           input        operation                                           output       size                 parameters              state
features.conv1  1x3x227x227  11x11 convolution, 96 channels, stride 4            1x96x55x55   (227-11)/4+1 = 55    96×3×11×11+96 = 34944   frozen
features.relu1  1x96x55x55   ReLU                                                1x96x55x55   -                    0                       -
features.pool1  1x96x55x55   3x3 max pooling, stride 2                           1x96x27x27   (55-3)/2+1 = 27      0                       -
features.norm1  1x96x27x27   local response normalisation                        1x96x27x27   -                    0                       -
features.conv2  1x96x27x27   5x5 convolution, 256 channels, stride 1, padding 2  1x256x27x27  (27-5+2×2)/1+1 = 27  256×96×5×5+256 = 614656  frozen
"""  # noqa: E501
END = """\
(flatten)         1x256x6x6  flatten                   1x9216  6×6×256 = 9216  0                          -
classifier.drop1  1x9216     dropout, probability 0.5  1x9216  -               0                          -
classifier.fc1    1x9216     linear                    1x4096  -               9216×4096+4096 = 37752832  trainable
"""  # noqa: E501


def squeezed(text):
    """The lines with their columns two blanks apart."""
    return [re.sub(r" {2,}", "  ", line) for line in text.splitlines()]


def test_the_formulas_of_alexnet_are_those_of_the_course(alexnet):
    lines = squeezed(alexnet.formulas())
    assert lines[:6] == squeezed(COURSE)
    start = next(i for i, line in enumerate(lines) if line.startswith("(flatten)"))
    assert lines[start : start + 3] == squeezed(END)
    assert lines[-2] == "parameters: 62,378,344, of these trainable 58,631,144 (93.99 %)"


def test_formulas_line_up(alexnet):
    head, *lines = alexnet.formulas().partition("\n\n")[0].splitlines()
    for name in ("input", "operation", "output", "size", "parameters", "state"):
        start = head.index(name)
        assert {line[start - 1] for line in lines} == {" "}
        assert " " not in {line[start] for line in lines}


def test_on_a_narrow_terminal_each_layer_takes_a_few_lines(alexnet):
    text = alexnet.formulas(width=60)
    assert width_of(text.partition("\n\n")[0]) <= 60
    assert text.startswith(
        "features.conv1 (frozen)\n"
        "    11x11 convolution, 96 channels, stride 4\n"
        "    1x3x227x227 to 1x96x55x55\n"
        "    size: (227-11)/4+1 = 55\n"
        "    parameters: 96×3×11×11+96 = 34944\n"
        "features.relu1\n"
        "    ReLU\n"
    )
    wide = width_of(alexnet.formulas())
    assert alexnet.formulas(wide) == alexnet.formulas()
    assert alexnet.formulas(wide - 1) != alexnet.formulas()


def test_formulas_leave_out_what_neither_runs_nor_holds_anything():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)
            self.spare = nn.Conv2d(3, 2, 1)
            self.nothing = nn.Identity()

        def forward(self, x):
            return self.conv(x)

    lines = squeezed(summarize(Spare(), (3, 5, 5)).formulas())
    assert [line.split()[0] for line in lines[1:3]] == ["conv", "spare"]
    assert lines[2] == (
        "spare  -  1x1 convolution, 2 channels, stride 1  -  -  2×3×1×1+2 = 8  trainable"
    )
    assert lines[3] == ""


def test_blocks_that_are_cut_off_by_depth_go_by_their_type():
    network = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Flatten())
    lines = squeezed(summarize(network, (3, 5, 5), depth=1).formulas())
    assert lines[1] == "0  1x3x5x5  Sequential  1x3x5x5  -  0  -"


def test_text_is_a_tree_with_totals(alexnet):
    lines = str(alexnet).splitlines()
    assert lines[:3] + lines[16:20] == [
        "layer               type               state           output  parameters"
        "  multiply-adds  field",
        "features            Sequential         frozen       1x256x6x6   3,747,200"
        "         1.08 G      -",
        "  features.conv1    Conv2d             frozen      1x96x55x55      34,944"
        "       105.42 M     11",
        "  features.pool3    MaxPool2d          -            1x256x6x6           -"
        "              -      -",
        "(flatten)           flatten            -               1x9216           -"
        "              -      -",
        "classifier          Sequential         trainable       1x1000  58,631,144"
        "        58.62 M      -",
        "  classifier.drop1  Dropout            -               1x9216           -"
        "              -      -",
    ]
    assert lines[-4:] == [
        "",
        "AlexNet: 1x3x227x227 to 1x1000",
        "parameters: 62,378,344, of these trainable 58,631,144 (93.99 %)",
        "multiply-adds: 1.14 G",
    ]


NUMBERS = {"depth", "parameters", "trainable", "macs"}
MAYBE = {"receptive_field", "size_formula", "parameters_formula"}


def parsed(name, text):
    """A cell of the CSV as the value it was."""
    if name in ("input", "output"):
        return tuple(map(int, text.split("x"))) if text else None
    if name in MAYBE and not text:
        return None
    return int(text) if name in NUMBERS | {"receptive_field"} else text


@pytest.mark.parametrize("which", ["alexnet", "awkward"])
def test_csv_is_read_back_as_the_same_rows(which, request):
    summary = request.getfixturevalue(which)
    lines = csv.DictReader(io.StringIO(summary.to_csv()))
    rows = [LayerRow(**{name: parsed(name, text) for name, text in line.items()}) for line in lines]
    assert tuple(rows) == summary.rows


def cells(line):
    """The cells of a line of a Markdown table."""
    found = re.split(r"(?<!\\)\|", line)
    assert (found[0], found[-1]) == ("", "")
    return [cell.strip().replace("\\|", "|") for cell in found[1:-1]]


def test_markdown_has_a_line_for_each_row(awkward):
    table, _, totals = awkward.to_markdown().partition("\n\n")
    head, rule, *rows = table.splitlines()
    assert cells(head) == [field.name for field in fields(LayerRow)]
    assert set(cells(rule)) == {"---"}
    assert [cells(line)[0] for line in rows] == [row.name for row in awkward.rows]
    assert all(len(cells(line)) == len(cells(head)) for line in rows)
    assert "| a\\|b.0 | Conv2d | 2 | 1x3x5x5 | 3x3 convolution, 2 channels, stride 1 |" in table
    assert totals.startswith("- Sequential: 1x3x5x5 to 1x2\n- parameters: 96")


class Cells(HTMLParser):
    """The text of each cell, and whether every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.rows = [], []

    def handle_starttag(self, tag, attrs):
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
            assert dict(attrs)["style"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("th", "td"):
            self.rows[-1][-1] += data


def test_html_is_whole_and_shows_every_row_with_its_state(awkward):
    text = awkward._repr_html_()
    found = Cells()
    found.feed(text)
    assert found.open == []
    head, *rows = found.rows
    assert (head[0], head[-1]) == ("layer", "state")
    assert [(row[0], row[-1]) for row in rows] == [(row.name, row.state) for row in awkward.rows]
    assert "<i>" not in text
    colours = {state: colour for colour, state in re.findall(r"color:(#\w+)[^>]*>(\w+)<", text)}
    assert set(colours) == {"frozen", "trainable", "partly"}
    assert len(set(colours.values())) == 3


def test_html_takes_the_colours_of_the_page_and_nothing_from_elsewhere(awkward):
    text = awkward._repr_html_()
    assert not re.search(r"background|<style|<script|http|src=|color:(black|white|#fff|#000)", text)
