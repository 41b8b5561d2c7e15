"""`inspect`: the course's table, as text, Markdown and CSV, of networks and recipes; drawings."""

import csv
import io
import re

import pytest

from budwood.cli.networks import inspect as command

OWN = """\
model = "resnet18"
unfreeze = ["layer4*"]
"""


@pytest.fixture(scope="module")
def outcomes(place):
    """Several commands in one process."""
    (place.folder / "own.toml").write_text(OWN)
    commands = {
        "formulas": ["inspect", "alexnet_course", "--formulas"],
        "frozen": ["inspect", "lenet5", "--freeze", "*", "--unfreeze", "output"],
        "markdown": ["inspect", "lenet5", "--format", "markdown", "--depth", "1"],
        "csv": ["inspect", "lenet5", "--format", "csv"],
        "json": ["inspect", "lenet5", "--json", "--format", "text"],
        "both": ["inspect", "lenet5", "--json", "--format", "csv"],
        "batch": ["inspect", "lenet5", "--json", "--batch", "4"],
        "no batch": ["inspect", "lenet5", "--batch", "0"],
        "recipe": ["inspect", "vgg16-graft", "--json"],
        "recipe text": ["inspect", "vgg16-graft", "--formulas", "--batch", "1"],
        "recipe file": ["inspect", "own.toml", "--depth", "1"],
        "draw": ["inspect", "lenet5", "--draw", "lenet.svg"],
        "draw json": ["inspect", "lenet5", "--draw", "lenet2.svg", "--json"],
        "draw nowhere": ["inspect", "lenet5", "--draw", "no/lenet.svg"],
        "draw png": ["inspect", "lenet5", "--draw", "lenet.png"],
        "draw impossible": ["inspect", "lenet5", "--draw", f"{'n' * 300}.svg"],
    }
    return dict(zip(commands, place.run_several(list(commands.values())), strict=True))


def test_formulas_are_one_line_a_layer_where_they_are_piped(outcomes):
    assert outcomes["formulas"].code == 0
    lines = [re.sub(r" {2,}", "  ", line) for line in outcomes["formulas"].out.splitlines()]
    assert lines[5] == (
        "features.conv2  1x96x27x27  5x5 convolution, 256 channels, stride 1, padding 2  "
        "1x256x27x27  (27-5+2×2)/1+1 = 27  256×96×5×5+256 = 614656  trainable"
    )
    assert "6×6×256 = 9216" in outcomes["formulas"].out
    assert lines[-2].startswith("parameters: 62,378,344")


def test_on_a_terminal_formulas_are_no_wider_than_it(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    command.main(["lenet5", "--formulas"], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 70
    assert "    size: (32-5)/1+1 = 28" in lines


def test_text_is_a_tree_with_the_trainable_share(outcomes):
    assert re.search(r"^output +Linear +trainable", outcomes["frozen"].out, re.M)
    assert "of these trainable 850 (1.38 %)" in outcomes["frozen"].out


def test_markdown_is_a_table(outcomes):
    head, rule, *rest = outcomes["markdown"].out.splitlines()
    assert head.startswith("| name | type | depth | input | operation |")
    assert re.fullmatch(r"(\| --- )+\|", rule)
    assert rest[0].startswith("| c1 | Conv2d | 1 | 1x1x32x32 | 5x5 convolution, 6 channels")
    assert rest[-1] == "- multiply-adds: 416.52 k"


def test_csv_has_the_fields_of_json(outcomes):
    rows = list(csv.DictReader(io.StringIO(outcomes["csv"].out)))
    layers = outcomes["json"].json["layers"]
    assert [row.keys() for row in rows] == [layer.keys() for layer in layers]
    for row, layer in zip(rows, layers, strict=True):
        assert row["parameters_formula"] == (layer["parameters_formula"] or "")
        assert row["output"] == "x".join(map(str, layer["output"] or []))


def test_json_has_every_formula_and_the_share(outcomes):
    result = outcomes["json"].json
    assert result["parameters"] == {"total": 61706, "trainable": 61706, "trainable_percent": 100.0}
    first = result["layers"][0]
    assert (first["input"], first["output"]) == ([1, 1, 32, 32], [1, 6, 28, 28])
    assert first["operation"] == "5x5 convolution, 6 channels, stride 1"
    assert first["size_formula"] == "(32-5)/1+1 = 28"
    assert first["parameters_formula"] == "6×1×5×5+6 = 156"


def test_json_and_another_format_exclude_each_other(outcomes):
    assert outcomes["both"].code == 2
    assert "--format csv and --json cannot both" in outcomes["both"].out


def test_the_batch_can_be_chosen(outcomes):
    one, four = outcomes["json"].json, outcomes["batch"].json
    assert (four["input"], four["output"]) == ([4, 1, 32, 32], [4, 10])
    assert four["macs"] == 4 * one["macs"]
    assert outcomes["no batch"].code == 2
    assert "'--batch': 0" in outcomes["no batch"].err


def test_a_recipe_is_shown_as_it_would_be_trained(outcomes):
    result = outcomes["recipe"].json
    assert (result["input"], result["output"]) == ([16, 1, 224, 224], [16, 2])
    assert result["parameters"] == {
        "total": 42544992,
        "trainable": 40146464,
        "trainable_percent": 94.36,
    }
    assert "(94.36 %)" in outcomes["recipe text"].out
    assert "1x1x224x224 to 1x2" in outcomes["recipe text"].out


def test_a_file_is_a_recipe_too(outcomes):
    assert outcomes["recipe file"].code == 0, outcomes["recipe file"].err
    assert re.search(r"^layer4 +Sequential +trainable", outcomes["recipe file"].out, re.M)
    assert re.search(r"^layer3 +Sequential +frozen", outcomes["recipe file"].out, re.M)


def test_a_drawing_is_saved_beside_the_table(outcomes, place):
    drawn = outcomes["draw"]
    assert drawn.code == 0, drawn.err
    assert drawn.out.startswith("layer ")
    assert "The drawing is in lenet.svg" in drawn.err
    assert "<svg" in (place.folder / "lenet.svg").read_text("utf-8")
    assert outcomes["draw json"].json["type"] == "LeNet5"
    assert (place.folder / "lenet2.svg").exists()


@pytest.mark.parametrize(
    ("case", "code", "parts"),
    [
        ("draw nowhere", 1, ["no folder no for lenet.svg", "after --draw"]),
        ("draw png", 2, ["writes SVG", "not lenet.png"]),
        ("draw impossible", 1, ["cannot be saved", "after --draw"]),
    ],
)
def test_a_drawing_that_cannot_be_made_is_told(outcomes, case, code, parts):
    assert outcomes[case].code == code
    assert all(part in outcomes[case].err for part in parts), outcomes[case].err
    assert outcomes[case].out == ""
