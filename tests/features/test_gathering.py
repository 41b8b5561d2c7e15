"""From a list of photos to their rows: each is computed once, and found again."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import budwood
from budwood.errors import ConfigError, StoreError
from budwood.features import engine_choice, extraction, verification
from budwood.features import store as stores
from budwood.features.engines import EngineSpec
from budwood.features.gathering import CHANGED, Extraction, FeatureExtractor
from budwood.features.rows import LiveRows
from budwood.features.torch_engine import TorchEngine
from budwood.features.verification import spread_error
from budwood.images import contents
from budwood.models.info import info, set_info
from budwood.models.prepared import Prepared
from budwood.reporter import SILENT


def everything(gathered):
    return gathered.rows.take(range(len(gathered.rows)))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_second_run_computes_nothing(bench, draw):
    paths = draw(12)
    first = bench().gather(paths)
    assert (first.hits, first.misses, first.bytes) == (0, 12, 12 * 64)
    second = bench()
    again = second.gather(paths)
    assert (again.hits, again.misses) == (12, 0)
    assert same(everything(first), everything(again))
    assert second.progress == []


def test_ten_more_photos_are_ten_rows(bench, draw):
    bench().gather(draw(12))
    more = bench()
    gathered = more.gather(draw(22))
    assert (gathered.hits, gathered.misses) == (12, 10)
    assert more.progress[-1].total == 10


def test_a_photo_that_moved_is_not_computed_again(bench, draw, tmp_path):
    paths = draw(6)
    bench().gather(paths)
    moved = shutil.move(paths[0], tmp_path / "another class.png")
    assert bench().gather([moved, *paths[1:]]).misses == 0


def test_equal_photos_are_computed_once(bench, draw):
    paths = draw(4)
    copies = [shutil.copy(path, path.with_stem(f"copy of {path.stem}")) for path in paths]
    gathered = bench().gather([*paths, *copies])
    assert (gathered.misses, gathered.hits) == (4, 4)
    assert same(gathered.rows.take(range(4)), gathered.rows.take(range(4, 8)))


def test_rows_come_in_the_order_of_the_paths(bench, draw, tiny, trunk):
    paths = draw(9)
    order = [5, 2, 8, 0, 2, 1]
    bench().gather(paths[3:])
    gathered = bench().gather([paths[i] for i in order])
    assert list(gathered.paths) == [paths[i] for i in order]
    pixels = [tiny.preprocessing.pixels(paths[i].read_bytes()) for i in order]
    expected = trunk()(torch.from_numpy(np.stack(pixels)))[0]
    assert spread_error(expected.numpy(), everything(gathered)[0].numpy()) < 1e-4


def test_two_frontier_tensors_come_in_their_order(bench, draw, two_rows, tiny, trunk):
    paths = draw(6)
    gathered = bench(two_rows()).gather(paths)
    pixels = [tiny.preprocessing.pixels(path.read_bytes()) for path in paths]
    expected = trunk(two_rows())(torch.from_numpy(np.stack(pixels)))
    for right, rows in zip(expected, everything(gathered), strict=True):
        assert spread_error(right.numpy(), rows.numpy()) < 1e-4


def test_broken_photos_are_named_and_left_out(bench, draw, tmp_path):
    good, text, gone = draw(3), tmp_path / "text.jpg", tmp_path / "gone.jpg"
    text.write_text("not a photo")
    gathered = bench().gather([good[0], text, good[1], gone, good[2]])
    assert list(gathered.paths) == good
    assert set(gathered.unreadable) == {text, gone}
    assert all(gathered.unreadable.values())
    assert gathered.misses == 3


def test_an_engine_is_not_built_for_broken_photos_alone(bench, draw, tmp_path, monkeypatch):
    text = tmp_path / "text.jpg"
    text.write_text("not a photo")
    first = bench().gather([*draw(3), text])

    def never(*_):
        raise AssertionError("an engine was built")

    monkeypatch.setattr(verification, "build_engine", never)
    second = bench().gather([*draw(3), text])
    assert second.unreadable == first.unreadable
    assert (second.hits, second.misses) == (3, 0)


def test_no_photo_at_all_is_no_error(bench):
    gathered = bench().gather([])
    assert (len(gathered.rows), gathered.paths, gathered.misses) == (0, (), 0)


def test_a_photo_that_changes_while_it_is_read_is_left_out(bench, draw, monkeypatch):
    monkeypatch.setattr(contents, "KEPT_BYTES", 0)  # what is kept cannot change
    paths = draw(4)
    real = extraction._decode_one

    def decode(path, *settings):
        if path == paths[1]:
            path.write_bytes(draw(1, first=99, folder="other")[0].read_bytes())
        return real(path, *settings)

    monkeypatch.setattr(extraction, "_decode_one", decode)
    gathered = bench().gather(paths)
    assert gathered.unreadable == {paths[1]: CHANGED}
    assert len(gathered.rows.take([0, 1, 2])[0]) == 3


def test_rows_of_a_photo_that_changed_lie_under_what_was_decoded(bench, draw, monkeypatch):
    paths, (other,) = draw(4), draw(1, first=99, folder="other")
    expected = everything(bench().gather([other]))
    real = extraction._decode_one
    with monkeypatch.context() as patch:
        patch.setattr(
            extraction,
            "_decode_one",
            lambda path, *settings: replace(
                real(other if path == paths[1] else path, *settings), path=path
            ),
        )
        bench().gather(paths)
    after = bench().gather([*paths, other])
    assert after.misses == 1
    assert same(after.rows.take([4]), expected)


def test_what_is_odd_about_photos_is_a_note_a_kind(bench, draw):
    paths = draw(6)
    for path in paths[2:5]:
        path.write_bytes(path.read_bytes()[:-12])  # without IEND: still sound
        Image.open(path).convert("RGB").save(path.with_suffix(".jpg"))
    odd = [path.with_suffix(".jpg") for path in paths[2:5]]
    for path in odd:
        path.write_bytes(path.read_bytes()[:-2])
    told = bench()
    gathered = told.gather([*paths, *odd])
    assert (len(gathered.paths), gathered.unreadable) == (9, {})
    notes = [note for note in told.notes if "no end marker" in note]
    assert len(notes) == 1
    assert notes[0].startswith("3 photos have no end marker, but all rows")
    assert str(min(odd)) in notes[0]


def test_another_engine_preprocessing_or_weight_is_another_row(bench, draw, tiny, budwood_home):
    paths = draw(3)
    assert bench().gather(paths).misses == 3
    assert bench(tiny(seed=1)).gather(paths).misses == 3
    other = tiny()
    set_info(other, preprocessing=tiny.preprocessing.at_size(24))
    assert bench(other).gather(paths).misses == 3
    assert bench(tiny()).gather(paths).misses == 0


def test_a_new_head_is_no_new_row(bench, draw, tiny):
    paths = draw(3)
    bench().gather(paths)
    network = tiny()
    network.classifier = torch.nn.Linear(16, 7)
    assert bench(network).gather(paths).misses == 0


def test_what_makes_the_rows_is_said_in_advance(bench, draw):
    made = bench()
    made.gather(draw(3))
    assert made.said("3 photos x 64 bytes = 192 bytes through the trunk.")


def test_a_refused_engine_is_not_tried_again(bench, draw, monkeypatch):
    real, tried = verification.build_engine, []

    def build(trunk, spec, example, key):
        tried.append(spec.library)
        if spec.library == "openvino":
            raise RuntimeError("broken installation")
        return real(trunk, spec, example, key)

    monkeypatch.setattr(verification, "build_engine", build)
    first = bench()
    assert first.gather(draw(3)).engine.library == "torch"
    assert first.said("broken installation")
    second = bench()
    gathered = second.gather(draw(5))
    assert (gathered.hits, gathered.misses) == (3, 2)
    assert not second.said("broken installation")
    assert tried == ["openvino", "torch", "torch"]


def test_rows_that_were_made_by_the_fallback_are_found(bench, draw, monkeypatch):
    """The first choice has no rows yet, is refused, and the second choice has them all."""
    with monkeypatch.context() as patch:
        torch_alone = [EngineSpec("torch", "fp32")]
        patch.setattr(engine_choice, "preferred_specs", lambda *_, **__: torch_alone)
        bench().gather(draw(3))
    monkeypatch.setattr(verification, "TOLERANCE", -1.0)
    gathered = bench().gather(draw(3))
    assert (gathered.engine.library, gathered.misses) == ("torch", 0)


def test_an_engine_refused_on_other_photos_is_not_tried_on_a_few_new_ones(bench, draw, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(verification, "TOLERANCE", -1.0)
        assert bench().gather(draw(5)).engine.library == "torch"
    gathered = bench().gather(draw(7))
    assert (gathered.engine.library, gathered.hits, gathered.misses) == ("torch", 5, 2)


def test_nothing_frozen_means_that_the_photo_itself_is_the_row(draw, tiny):
    network = tiny()
    parts = budwood.cut(Prepared(network, info(network).preprocessing).eval())
    gatherer = FeatureExtractor(
        parts, info(network).preprocessing, Extraction(precision="fp32"), SILENT
    )
    paths = draw(3)
    gathered = gatherer.gather(paths)
    pixels = [tiny.preprocessing.pixels(path.read_bytes()) for path in paths]
    expected = parts.trunk(torch.from_numpy(np.stack(pixels)))
    torch.testing.assert_close(everything(gathered), expected)
    assert expected[0][0].numel() == 3 * 32 * 32


def test_without_a_store_the_same_rows_stay_in_memory(bench, draw, shards):
    paths = draw(7)
    made = bench(store_limit=0)
    gathered = made.gather(paths)
    assert made.said("--store-limit is 0 bytes: nothing is stored, memory holds it")
    assert (shards(), gathered.bytes) == ([], 0)
    assert made.gather(paths).misses == 0
    assert same(everything(gathered), everything(bench().gather(paths)))


def test_rows_that_are_stored_are_used_beyond_the_limit(bench, draw, shards):
    stored = bench().gather(draw(4))
    gathered = bench(store_limit=0).gather(draw(6))
    assert (gathered.hits, gathered.misses) == (4, 2)
    assert same(gathered.rows.take(range(4)), everything(stored))
    assert len(shards()) == 1


def test_too_little_disk_is_said_and_nothing_is_stored(bench, draw, shards, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=stores.SPARE_DISK + 100)
    with monkeypatch.context() as patch:
        patch.setattr(stores.shutil, "disk_usage", lambda _: usage)
        made = bench()
        gathered = made.gather(draw(7))
    (note,) = made.said("nothing is stored")
    assert "7 photos x 64 bytes = 448 bytes, but only 100 bytes of disk are free" in note
    assert shards() == []
    assert same(everything(gathered), everything(bench().gather(draw(7))))


def test_rows_too_large_for_disk_and_memory_are_made_each_time(bench, draw, shards, monkeypatch):
    monkeypatch.setattr(stores, "IN_MEMORY", 100)
    paths = draw(7)
    paths[3].write_text("not a photo")
    made = bench(store_limit=0)
    gathered = made.gather(paths)
    assert made.said("the trunk runs uncached")
    assert isinstance(gathered.rows, LiveRows)
    assert (gathered.misses, gathered.bytes, list(gathered.unreadable)) == (6, 0, [paths[3]])
    assert shards() == []
    stored = bench().gather(paths)
    for one, other in zip(everything(gathered), everything(stored), strict=True):
        assert spread_error(other.numpy(), one.numpy()) < 1e-5


def test_nothing_is_kept_if_not_asked_to(bench, draw, shards):
    made = bench()
    gathered = made.gather(draw(3), keep=False)
    assert (shards(), gathered.bytes) == ([], 0)
    assert made.gather(draw(3), keep=False).misses == 3
    assert made.gather(draw(3)).misses == 3
    assert made.gather(draw(3), keep=False).misses == 0


def test_a_negative_limit_is_refused():
    with pytest.raises(ConfigError, match="must not be negative, got -1"):
        Extraction(store_limit=-1)


def test_the_store_says_what_made_its_rows(bench, draw, budwood_home):
    bench().gather(draw(1))
    (about,) = (budwood_home / "store").glob("*/about.json")
    said = json.loads(about.read_text())
    assert said["shape"] == [16]
    assert said["engine"].startswith("openvino")
    assert said["preprocessing"]["size"] == [32, 32]


@pytest.mark.photos
def test_a_real_network_on_real_photos_agrees_with_torch(bench, real_photos):
    network = budwood.build("efficientnet_lite0", classes=["a", "b"])
    paths = sorted((real_photos / "flowers" / "train").rglob("*.jpg"))[::150]
    made = bench(network, precision="auto")
    gathered = made.gather(paths)
    assert gathered.misses == len(paths) > 10
    assert not made.said("falling back")
    pixels = np.stack([info(network).preprocessing.pixels(path.read_bytes()) for path in paths])
    with torch.inference_mode():
        (expected,) = made.gatherer._cut.trunk(torch.from_numpy(pixels))
    error = spread_error(expected.numpy(), everything(gathered)[0].numpy())
    assert error < verification.TOLERANCE
    assert bench(network, precision="auto").gather(paths).misses == 0


def test_an_engine_is_judged_by_photos_from_all_over_the_list(bench, draw, monkeypatch):
    seen = []
    judge = verification.verified_engine
    monkeypatch.setattr(
        engine_choice,
        "verified_engine",
        lambda *given, **options: seen.append(given[2]) or judge(*given, **options),
    )
    paths = draw(40)
    made = bench()
    made.gather(paths)
    wanted = {made.gatherer._preprocessing.pixels(p.read_bytes()).tobytes() for p in paths[::5]}
    assert {image.tobytes() for image in seen[0]} == wanted


FAST, EXACT = EngineSpec("openvino", "bf16"), EngineSpec("torch", "fp32")


class Rounding(TorchEngine):
    """Keeps few digits of what torch gives: good enough beside what photos differ by."""

    step = 0.005

    def run(self, images):
        return tuple(np.round(rows / self.step) * self.step for rows in super().run(images))


@pytest.fixture
def rounding(monkeypatch):
    """The fast engine rounds; the list of what was built tells which engines were tried."""
    tried = []

    def build(trunk, spec, example, key):
        tried.append(spec.precision)
        engine = (Rounding if spec == FAST else TorchEngine)(trunk, EXACT)
        engine.spec = spec
        return engine

    monkeypatch.setattr(verification, "build_engine", build)
    monkeypatch.setattr(engine_choice, "preferred_specs", lambda *_, **__: [FAST, EXACT])
    return tried


def plain(paths):
    """Photos of next to nothing, as of a covered lens."""
    for i, path in enumerate(paths):
        Image.new("RGB", (40, 40), (i, 0, 0)).save(path)
    return paths


def test_one_more_photo_is_one_more_row_whatever_it_shows(bench, draw, rounding):
    assert bench().gather(draw(12)).engine == FAST
    more = bench()
    gathered = more.gather([*draw(12), *plain(draw(1, first=12))])
    assert (gathered.engine, gathered.hits, gathered.misses) == (FAST, 12, 1)
    assert (gathered.unreadable, more.said("falling back")) == ({}, [])


def test_what_the_fallback_lacks_is_computed(bench, draw, rounding, monkeypatch):
    """The engine that has made the rows so far no longer runs: all are missing for the next."""
    bench().gather(draw(12))

    def gone(self, images):
        raise RuntimeError("no memory")

    monkeypatch.setattr(Rounding, "run", gone)
    more = bench()
    gathered = more.gather(draw(13))
    assert more.said("no memory")
    assert (gathered.engine, gathered.hits, gathered.misses) == (EXACT, 0, 13)
    assert (gathered.unreadable, len(gathered.rows)) == ({}, 13)
    expected = bench().gather(draw(13))
    assert (expected.engine, expected.misses) == (EXACT, 0)


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_photos_that_are_alike_do_not_judge_an_engine(count, bench, draw, rounding):
    made = bench()
    gathered = made.gather(plain(draw(count)))
    assert (gathered.engine, made.said("falling back")) == (FAST, [])


def test_an_engine_that_is_wrong_is_refused_on_one_photo_too(bench, draw, rounding, monkeypatch):
    monkeypatch.setattr(Rounding, "step", 5.0)
    made = bench()
    assert made.gather(plain(draw(1))).engine == EXACT
    assert made.said("falling back")


def test_photos_of_a_whole_folder_that_are_alike_are_worth_exact_arithmetic(bench, draw, rounding):
    assert bench().gather(plain(draw(12))).engine == EXACT


def test_an_engine_that_has_agreed_on_this_trunk_is_not_judged_by_a_few(
    bench, draw, rounding, monkeypatch
):
    monkeypatch.setattr(engine_choice, "is_verified", lambda key, name: name.endswith("fast"))
    monkeypatch.setattr(engine_choice, "verified_name", lambda spec: "fast" if spec == FAST else "")
    monkeypatch.setattr(verification, "TOLERANCE", -1.0)  # what is judged is refused
    assert bench().gather(draw(2)).engine == FAST
    assert bench().gather(draw(20, first=50)).engine == EXACT


def test_rows_that_vanish_meanwhile_are_no_changed_photos(bench, draw, monkeypatch):
    monkeypatch.setattr("budwood.features.store.RowStore.write", lambda *_: None)
    with pytest.raises(StoreError, match=r"rows of 3 photos are not in the store.*Run it again"):
        bench().gather(draw(3))
