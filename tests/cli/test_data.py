"""`budwood data`: what there is, and clear errors where it cannot be had."""

import pytest

from budwood.course.datasets import DATASETS

OFFLINE = """\
import socket, sys, time

def unknown(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")

def wait(seconds):
    raise AssertionError("it waits for a network that is not there")

socket.getaddrinfo, time.sleep = unknown, wait
from budwood.cli import main
sys.argv = ["budwood", "data", "get", "flowers"]
sys.stderr = sys.stdout
try:
    main()
except SystemExit as end:
    print(end.code, "torch" in sys.modules)
"""


@pytest.fixture(scope="module")
def outcomes(place):
    """Several commands in one process."""
    (place.folder / "short.tgz").write_bytes(b"short")
    commands = {
        "list": ["data", "list"],
        "unknown": ["data", "get", "flower"],
        "in use": ["data", "get", "flowers", "--out", "photos"],
        "no archive": ["data", "get", "flowers", "--archive", "shart.tgz"],
        "other archive": ["data", "get", "catdog", "--archive", "short.tgz", "--json"],
    }
    return dict(zip(commands, place.run_several(list(commands.values())), strict=True))


def test_the_list_names_every_data_set_with_its_photos_and_address(outcomes):
    for dataset in DATASETS.values():
        assert f"{dataset.name}: {sum(dataset.images.values())} photos" in outcomes["list"].out
        assert dataset.url in outcomes["list"].out


@pytest.mark.parametrize(
    ("case", "parts"),
    [
        ("unknown", ["No data set is called 'flower'.", "mean 'flowers'?"]),
        ("in use", ["photos is not empty.", "--out"]),
        ("no archive", ["no archive shart.tgz", "mean short.tgz?"]),
    ],
)
def test_errors_name_the_next_step(outcomes, case, parts):
    assert outcomes[case].code == 1
    assert all(part in outcomes[case].err for part in parts)


def test_another_archive_is_refused_as_json(outcomes, place):
    problem = outcomes["other archive"].json
    assert problem["error"] == ("short.tgz is not the published archive of catdog. It has 5 bytes.")
    assert problem["expected"] == "It must be 68,606,236 bytes."
    assert not (place.folder / "catdog").exists()


def test_offline_it_says_at_once_where_to_get_the_archive_and_loads_no_torch(place):
    said = place.python(OFFLINE)
    assert f"budwood: {DATASETS['flowers'].url} cannot be downloaded" in said
    assert "Name or service not known" in said
    assert "pass --archive FILE." in said
    assert said.endswith("1 False\n")
    assert not (place.folder / "flowers").exists()


def test_the_help_names_every_data_set_and_says_which_cats_and_dogs(place):
    (help_,) = place.run_several([["data", "get", "--help"]])
    text = " ".join(help_.out.split())
    assert f"get [OPTIONS] {'|'.join(DATASETS)}" in text
    assert "another subset of the same Kaggle photos" in text
