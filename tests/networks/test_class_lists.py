"""Names of classes in checkpoints and beside weights."""

import json

import pytest

from budwood.errors import WeightsError
from budwood.networks.class_lists import names_beside, names_within


@pytest.mark.parametrize(
    "checkpoint",
    [
        {"classes": ["cat", "dog"]},
        {"class_names": ("cat", "dog")},
        {"class_to_idx": {"dog": 1, "cat": 0}},
        {"idx_to_class": {1: "dog", 0: "cat"}},
        {"classes": 2, "class_names": ["cat", "dog"]},
    ],
)
def test_names_are_found_in_a_checkpoint(checkpoint):
    assert names_within(checkpoint | {"epoch": 3}) == ("cat", "dog")


@pytest.mark.parametrize(
    "checkpoint",
    [{}, {"classes": 5}, {"classes": [0, 1]}, {"classes": []}, {"class_to_idx": {"cat": 1}}],
)
def test_what_are_no_names_is_none(checkpoint):
    assert names_within(checkpoint) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", "\ufeff雏菊 \n\n tulip\n"),
        ("class_indices.json", json.dumps({"0": "雏菊", "1": "tulip"})),
        ("class_indices.json", json.dumps({"tulip": 1, "雏菊": 0})),
    ],
)
def test_names_are_found_beside_the_weights(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert names_beside(tmp_path / "net.pth") == ("雏菊", "tulip")


def test_without_such_a_file_there_are_no_names(tmp_path):
    assert names_beside(tmp_path / "net.pth") is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("class_indices.json", b"{", r"class_indices.json cannot be read: .*must be JSON such as"),
        ("class_indices.json", b"3", "no table of names and numbers.*Mend it, or move it away"),
        ("classes.txt", b"\xff\xfe\xff", r"classes.txt cannot be read: .*must be one name a line"),
    ],
)
def test_a_file_of_names_that_cannot_be_read_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        names_beside(tmp_path / "net.pth")
