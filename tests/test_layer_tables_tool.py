"""The tool that stores the layers of every network: what it keeps, leaves out and refuses."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from budwood.inspection.layer_tables import FILE, read_table, stored_summary
from budwood.networks.catalog import find

from .pages import ROOT


@pytest.fixture
def maker(monkeypatch, tmp_path) -> Iterator[ModuleType]:
    """The tool, for three networks and a file of its own."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import make_layer_tables

    few = tuple(map(find, ("lenet5", "resnet18", "volo_d4_448")))
    monkeypatch.setattr(make_layer_tables, "models", lambda: few)
    monkeypatch.setattr(make_layer_tables, "ALL", ["torchvision", "timm", "budwood"])
    monkeypatch.setattr(make_layer_tables, "TABLES", tmp_path / FILE)
    yield make_layer_tables
    del sys.modules["make_layer_tables"]


def run(maker, monkeypatch, *sources):
    """What is stored then of each of the three."""
    monkeypatch.setattr(sys, "argv", ["make_layer_tables.py", *sources])
    maker.main()
    summaries = {}
    for architecture in maker.models():
        with maker.TABLES.open("rb") as file:
            summaries[architecture.name] = read_table(file, architecture)
    return summaries


def test_it_makes_what_can_be_made_and_keeps_the_rest(maker, monkeypatch, capsys):
    made = []
    make = maker.made
    monkeypatch.setattr(maker, "made", lambda each: made.append(each.name) or make(each))
    stored = run(maker, monkeypatch, "timm", "budwood")
    assert made == ["lenet5", "volo_d4_448"]
    assert stored["lenet5"] == stored_summary(find("lenet5"))
    assert stored["resnet18"] == stored_summary(find("resnet18"))
    assert stored["volo_d4_448"] is None
    printed = capsys.readouterr()
    assert printed.out.startswith(f"2 of 3 networks in {FILE}")
    assert printed.err.startswith("timm/volo_d4_448: ConfigError: volo_d4_448 was trained")


def test_without_sources_it_makes_all_anew(maker, monkeypatch):
    monkeypatch.setattr(maker, "stored_summary", lambda each: pytest.fail("was read"))
    assert run(maker, monkeypatch)["resnet18"] == stored_summary(find("resnet18"))


def test_a_source_that_is_unknown_is_refused(maker, monkeypatch):
    with pytest.raises(SystemExit, match="No source is called 'keras'; there are torchvision, "):
        run(maker, monkeypatch, "keras")
    assert not maker.TABLES.exists()


def test_what_is_out_of_date_is_not_kept(maker, monkeypatch):
    monkeypatch.setattr(maker, "stored_summary", lambda each: None)
    with pytest.raises(RuntimeError, match="of torchvision is out of date; name it too"):
        run(maker, monkeypatch, "timm", "budwood")
    assert not maker.TABLES.exists()


def test_without_a_library_nothing_is_written(maker, monkeypatch):
    monkeypatch.setattr(maker, "code_digest", lambda source: None if source == "timm" else "0")
    with pytest.raises(RuntimeError, match="The code of timm is not found"):
        run(maker, monkeypatch)
    assert not maker.TABLES.exists()
