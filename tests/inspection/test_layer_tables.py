"""The stored summaries: those of the installed networks, or none."""

import json
import os
from importlib.resources import files
from io import BytesIO
from itertools import islice
from zipfile import ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budwood.errors import ConfigError
from budwood.inspection.layer_rows import LayerRow
from budwood.inspection.layer_tables import FILE, read_table, stored_summary, write_tables
from budwood.inspection.summarizing import summarize
from budwood.inspection.summary import Summary
from budwood.networks.catalog import Architecture, find, models
from budwood.networks.source_code import code_digest
from budwood.tasks.preparing import network_to_inspect

STALE = "The stored layers are not those of today's code; run `make catalog`"

SAMPLE = (
    "resnet18",
    "googlenet",
    "swin_t",
    "vit_b_16",
    "regnet_y_400mf",
    "timm/vit_tiny_patch16_224",
    "timm/convnext_atto",
    "timm/mvitv2_tiny",
    "timm/cait_xxs24_224",
    "timm/tf_efficientnet_b0",
    "timm/resnet18",
    "efficientnet_lite0",
    "lenet5",
    "alexnet_course",
    "googlenet_2014",
    "resnet50_v15",
    "efficientnet_b0_2019",
)
"""Of each source, networks of different kinds."""


def sampled() -> tuple[str, ...]:
    """The sample, or all with BUDWOOD_ALL_ARCHS=1."""
    if os.environ.get("BUDWOOD_ALL_ARCHS") == "1":
        return tuple(each.name for each in models() if stored_summary(each))
    return SAMPLE


@pytest.mark.parametrize("name", sampled())
def test_what_is_stored_is_what_is_made(name):
    assert stored_summary(find(name)) == summarize(network_to_inspect(name)[0]), STALE


@pytest.fixture(scope="module")
def index():
    """Which networks are stored, and of which code."""
    with ZipFile(str(files("budwood.inspection").joinpath(FILE))) as tables:
        return json.loads(tables.read("index.json"))


def test_what_is_stored_is_of_the_installed_code(index):
    assert index["code"] == {source: code_digest(source) for source in index["code"]}, STALE


def test_all_is_stored_that_can_be_made(index):
    missing = {each.qualified for each in models()} - index["places"].keys()
    assert len(missing) < 10, STALE
    for name in missing:
        with pytest.raises(ConfigError):
            network_to_inspect(name)


def test_nothing_is_stored_that_is_not_in_the_catalogue(index):
    assert index["places"].keys() <= {each.qualified for each in models()}, STALE


def test_totals_are_those_of_the_catalogue():
    for architecture in islice(models(), 0, None, 100):
        summary = stored_summary(architecture)
        assert summary is not None, STALE
        assert summary.parameters == architecture.parameters
        assert sum(row.parameters for row in summary.leaves) == architecture.parameters


def test_a_network_that_is_computed_is_not_stored():
    assert stored_summary(find("efficientnet_phi(1.5)")) is None


def test_the_file_is_small():
    assert len(files("budwood.inspection").joinpath(FILE).read_bytes()) < 3_000_000


SHAPES = st.none() | st.lists(st.integers(1, 999), max_size=4).map(tuple)
NUMBERS = st.integers(0, 10**15)
ROWS = st.builds(
    LayerRow,
    name=st.text(),
    type=st.text(),
    depth=st.integers(1, 9),
    input=SHAPES,
    operation=st.text(),
    output=SHAPES,
    size_formula=st.none() | st.text(),
    parameters=NUMBERS,
    trainable=NUMBERS,
    parameters_formula=st.none() | st.text(),
    macs=NUMBERS,
    state=st.sampled_from(["frozen", "trainable", "partly", "-"]),
    receptive_field=st.none() | NUMBERS,
)
SUMMARIES = st.builds(
    Summary,
    type=st.text(),
    input=st.tuples(*[st.integers(1, 999)] * 4),
    output=SHAPES,
    parameters=NUMBERS,
    trainable=NUMBERS,
    macs=NUMBERS,
    rows=st.lists(ROWS, min_size=1, max_size=5).map(tuple),
)


def written(summaries, code):
    """A file with these summaries."""
    file = BytesIO()
    write_tables(file, summaries, code)
    return file


def of_timm(number):
    """One of many architectures."""
    return Architecture(f"oak{number}", "timm", 0, (3, 1, 1))


@settings(max_examples=20)
@given(st.lists(SUMMARIES, min_size=1, max_size=3), st.integers(1, 20))
def test_any_summary_is_read_as_it_was_written(summaries, copies):
    given = {of_timm(i).qualified: each for i, each in enumerate(summaries * copies)}
    file = written(given, {"timm": code_digest("timm")})
    for number, summary in enumerate(summaries * copies):
        assert read_table(file, of_timm(number)) == summary


@pytest.fixture
def lenet():
    """A summary that is quickly had."""
    return stored_summary(find("lenet5"))


def test_nothing_is_said_of_a_network_that_is_not_stored(lenet):
    file = written({"timm/oak0": lenet}, {"timm": code_digest("timm")})
    assert read_table(file, of_timm(0)) == lenet
    assert read_table(file, of_timm(1)) is None


def test_nothing_is_said_of_a_network_of_other_code(lenet):
    assert read_table(written({"timm/oak0": lenet}, {"timm": "0" * 32}), of_timm(0)) is None


def test_nothing_is_said_where_the_code_is_not_found(lenet, monkeypatch):
    monkeypatch.setattr("budwood.inspection.layer_tables.code_digest", lambda source: None)
    assert read_table(written({"timm/oak0": lenet}, {"timm": "0" * 32}), of_timm(0)) is None


def test_the_same_summaries_give_the_same_bytes(lenet):
    code = {"timm": "0" * 32, "budwood": "1" * 32}
    given = {"timm/oak0": lenet, "budwood/elm": lenet.to_depth(1)}
    turned = dict(reversed(given.items()))
    assert written(given, code).getvalue() == written(turned, code).getvalue()
