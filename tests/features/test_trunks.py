"""Converted trunks are kept, found under what they compute, and never in the way."""

import logging
import os
import shutil

import numpy as np
import pytest

from budwood.features import openvino, trunks
from budwood.features.engines import EngineSpec, build_engine
from budwood.features.openvino import keep_model, kept_model
from budwood.features.trunks import kept_trunks, trunk_key, trunks_folder

SPEC = EngineSpec("openvino", "fp32")
KEY = trunk_key(["some"], (8, 8, 3))


@pytest.fixture
def conversions(monkeypatch):
    """Counts how often a trunk is converted."""
    seen, real = [], openvino._convert
    monkeypatch.setattr(openvino, "_convert", lambda *args: seen.append(1) or real(*args))
    return seen


def test_a_trunk_is_converted_once(budwood_home, trunk, pixels, conversions):
    first = build_engine(trunk(), SPEC, pixels(1), KEY).run(pixels(5))
    again = build_engine(trunk(), SPEC, pixels(1), KEY).run(pixels(5))
    assert len(conversions) == 1
    np.testing.assert_array_equal(first[0], again[0])


def test_without_a_key_nothing_is_kept(budwood_home, trunk, pixels, conversions):
    for _ in range(2):
        build_engine(trunk(), SPEC, pixels(1))
    assert len(conversions) == 2
    assert not list(kept_trunks())


def test_a_gatherer_finds_the_trunk_of_equal_layers(budwood_home, bench, draw, tiny, conversions):
    bench(tiny(0)).gather(draw(3))
    bench(tiny(0)).gather(draw(3, first=5))
    assert len(conversions) == 1
    bench(tiny(1)).gather(draw(3))
    assert len(conversions) == 2


def test_the_order_of_outputs_and_the_size_of_photos_make_another_trunk():
    keys = {
        trunk_key(["a", "b"], (8, 8, 3)),
        trunk_key(["b", "a"], (8, 8, 3)),
        trunk_key(["a", "b"], (8, 9, 3)),
        trunk_key(["a"], (8, 8, 3)),
    }
    assert len(keys) == 4


def test_a_damaged_trunk_is_made_again(budwood_home, trunk, pixels, conversions, caplog):
    build_engine(trunk(), SPEC, pixels(1), KEY)
    (trunks_folder() / KEY / "model.xml").write_text("<net")
    with caplog.at_level(logging.WARNING, "budwood"):
        build_engine(trunk(), SPEC, pixels(1), KEY)
    assert "cannot be read and is made again" in caplog.text
    assert len(conversions) == 2
    assert kept_model(KEY) is not None


def test_a_disk_that_does_not_take_it_is_no_error(
    budwood_home, trunk, pixels, conversions, caplog, monkeypatch
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(openvino.ov, "save_model", full)
    with caplog.at_level(logging.WARNING, "budwood"):
        engine = build_engine(trunk(), SPEC, pixels(1), KEY)
    assert "cannot be kept" in caplog.text
    assert len(engine.run(pixels(2))[0]) == 2
    assert list(trunks_folder().iterdir()) == []


def test_the_trunks_used_longest_ago_make_room(budwood_home, trunk, pixels, monkeypatch):
    model = openvino.converted(trunk(), pixels(1))
    new, old, older, newest = (trunk_key([name], ()) for name in ("1", "2", "3", "4"))
    for age, name in enumerate([new, old, older]):
        keep_model(name, model)
        os.utime(trunks_folder() / name, (1e9 - age, 1e9 - age))
    (size,) = {size for _, size in kept_trunks()}
    assert kept_model(older) is not None  # being used makes it new
    monkeypatch.setattr(trunks, "LARGEST_BYTES", 3 * size)
    keep_model(newest, model)
    assert {place.name for place, _ in kept_trunks()} == {new, older, newest}


def test_a_trunk_that_is_removed_while_it_is_looked_at_is_no_error(
    budwood_home, trunk, pixels, monkeypatch
):
    model = openvino.converted(trunk(), pixels(1))
    keep_model(KEY, model)
    real = trunks.bytes_of

    def removed_meanwhile(place):
        shutil.rmtree(place)
        return real(place)

    monkeypatch.setattr(trunks, "bytes_of", removed_meanwhile)
    assert [size for _, size in kept_trunks()] == [0]
    assert list(kept_trunks()) == []


def test_old_trunks_that_cannot_be_looked_through_end_nothing(
    budwood_home, trunk, pixels, monkeypatch, caplog
):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(trunks, "_make_room", refuse)
    model = openvino.converted(trunk(), pixels(1))
    with caplog.at_level(logging.INFO, "budwood"):
        keep_model(KEY, model)
    assert "cannot be looked through: [Errno 13] Permission denied" in caplog.text
    assert kept_model(KEY) is not None


def test_a_trunk_that_cannot_be_read_now_is_kept(budwood_home, trunk, pixels, monkeypatch, caplog):
    keep_model(KEY, openvino.converted(trunk(), pixels(1)))

    class Closed:
        def read_model(self, file):
            raise RuntimeError("Too many open files")

    monkeypatch.setattr(openvino, "core", Closed)
    monkeypatch.setattr(trunks, "_can_be_read", lambda place: False)
    assert kept_model(KEY) is None
    assert "Too many open files" in caplog.text
    assert len(list(kept_trunks())) == 1
