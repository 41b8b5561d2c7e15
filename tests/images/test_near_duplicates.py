"""Likeness: copies, resized, mirrored, recompressed and cropped ones are found, others are not."""

import tracemalloc
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from budwood.data import near_duplicates as module
from budwood.data.near_duplicates import SMALL, agreements, alike, equal_files, groups, members


def picture(seed, size=(300, 400)):
    """Soft shapes, as photos have them."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (8, 10, 3), np.uint8)
    return Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)


def small(image, quality=90):
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return SMALL.pixels(file.getvalue())[..., 0]


CHANGES = {
    "recompressed": lambda p: p,
    "half the size": lambda p: p.resize((p.width // 2, p.height // 2)),
    "mirrored": lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cropped": lambda p: p.crop((12, 9, p.width - 16, p.height - 12)),
    "cropped and mirrored": lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT).crop(
        (10, 10, p.width - 10, p.height - 10)
    ),
    "brighter": lambda p: p.point(lambda value: min(255, int(value * 1.15))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_others(change):
    images = [picture(seed) for seed in range(30)]
    copies = np.stack([small(p) for p in images] + [small(CHANGES[change](images[7]), 60)])
    assert [(pair.first, pair.second) for pair in alike(copies).pairs] == [(7, 30)]


def test_different_pictures_do_not_agree():
    copies = np.stack([small(picture(seed)) for seed in range(12)])
    every_pair = [(i, j) for i in range(12) for j in range(i)]
    assert all(edges < 0.8 for _, _, edges in agreements(copies, every_pair))
    assert alike(copies, every_pair).pairs == ()


def test_soft_shapes_that_agree_are_not_one_picture():
    """Two balls before a dark ground, as dandelions are: grey levels agree, edges do not."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    ball = 200 * np.exp(-3 * (x**2 + y**2))
    random = np.random.default_rng(0)
    grain = random.normal(0, 12, (2, 16, 16)).repeat(4, 1).repeat(4, 2) * (ball > 60)
    both = (ball + grain).clip(0, 255).astype(np.uint8)
    ((_, agreement, edges),) = agreements(both, [(0, 1)])
    assert agreement > 0.95
    assert edges < 0.9
    assert alike(both, [(0, 1)]).pairs == ()


@pytest.mark.parametrize("cut", [(0.0, 0.08, 0.0, 0.0), (0.07, 0.0, 0.03, 0.1), (0.1,) * 4])
def test_a_part_cut_out_of_its_own_shape_is_laid_where_it_was(cut):
    image = picture(3)
    width, height = image.size
    left, top, right, bottom = cut
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    both = np.stack([small(image), small(image.crop(tuple(map(round, box))))])
    for pair in ((0, 1), (1, 0)):
        ((_, agreement, edges),) = agreements(both[list(pair)], [(0, 1)])
        assert agreement > 0.98
        assert edges > 0.95


def test_blank_photos_are_not_called_one_picture():
    blank = np.full((3, 64, 64), 200, np.uint8)
    assert alike(blank).pairs == ()


def test_a_candidate_is_only_looked_at():
    copies = np.stack([small(picture(seed)) for seed in range(4)])
    assert alike(copies, [(0, 3), (2, 1)]).pairs == ()


def test_equal_files_are_paired_with_the_first():
    pairs = equal_files([b"a", b"b", b"a", b"a"])
    assert [(p.first, p.second, p.is_exact) for p in pairs] == [(0, 2, True), (0, 3, True)]


def test_groups_join_what_is_linked_in_any_way():
    of = groups(6, [(4, 2), (2, 5), (0, 1)])
    assert list(members(of)) == [[0, 1], [2, 4, 5]]
    assert of[3] == 3


def frames(count, seed=0):
    """Small copies of what a fixed camera saw: in other light, with noise and something moving."""
    random = np.random.default_rng(seed)
    scene = random.integers(40, 190, (8, 8)).repeat(8, 0).repeat(8, 1)
    light = 0.9 + 0.1 * np.sin(np.arange(count) / 50)[:, None, None]
    seen = light * scene + random.normal(0, 3, (count, 64, 64))
    for frame, (y, x) in zip(seen, random.integers(0, 56, (count, 2)), strict=True):
        frame[y : y + 8, x : x + 8] += 40
    return seen.clip(0, 255).astype(np.uint8)


def test_equal_placeholders_hide_no_copies():
    """210 times one picture are 21,945 pairs, more than are looked at."""
    originals = [small(picture(100 + seed)) for seed in range(20)]
    copies = [small(CHANGES["cropped"](picture(100 + seed))) for seed in range(20)]
    placeholders = [small(picture(7))] * 210
    found = alike(np.stack([*originals, *copies, *placeholders]), bits=16)
    pairs = {(pair.first, pair.second) for pair in found.pairs}
    assert {(i, i + 20) for i in range(20)} <= pairs
    assert pairs - {(i, i + 20) for i in range(20)} == {(40, 40 + i) for i in range(1, 210)}
    assert found.left_out == 0


def test_blank_placeholders_hide_no_copies():
    blank = np.full((210, 64, 64), 200, np.uint8)
    blank += np.arange(210, dtype=np.uint8)[:, None, None] % 40
    both = np.stack([small(picture(3)), small(CHANGES["cropped"](picture(3)))])
    found = alike(np.concatenate([blank, both]), bits=16)
    assert [(pair.first, pair.second) for pair in found.pairs] == [(210, 211)]
    assert found.left_out == 0


def test_frames_of_a_fixed_camera_are_linked_by_as_many_pairs_as_it_takes():
    """Every one of 499,500 pairs shows one picture; they are neither held nor looked at."""
    copies = frames(1000)
    tracemalloc.start()
    found = alike(copies, bits=16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.pairs) == 999
    assert len(set(groups(1000, ((pair.first, pair.second) for pair in found.pairs)))) == 1
    assert found.left_out == 0
    assert peak < 250e6


def test_copies_are_found_beside_the_frames_of_a_camera(monkeypatch):
    monkeypatch.setattr(module, "MOST_PAIRS", 0)
    copies = np.concatenate(
        [frames(150), [small(picture(3)), small(CHANGES["cropped"](picture(3)))], frames(150, 9)]
    )
    found = alike(copies, bits=16)
    of = groups(302, ((pair.first, pair.second) for pair in found.pairs))
    assert sorted(map(len, members(of))) == [2, 150, 150]
    assert found.left_out == 0


def test_pairs_that_are_too_many_are_counted_and_the_closest_looked_at(monkeypatch):
    """Pictures whose hashes are alike and that do not agree: grain over one soft shape."""
    monkeypatch.setattr(module, "MOST_PAIRS", 0)
    random = np.random.default_rng(0)
    soft = small(picture(3)).astype(float) / 4
    grain = random.integers(-70, 71, (40, 16, 16)).repeat(4, 1).repeat(4, 2)
    different = (soft + 90 + grain).clip(0, 255).astype(np.uint8)
    copy = different[:1] + random.integers(0, 3, (1, 64, 64), np.uint8)
    monkeypatch.setattr(module, "SURE_BITS", 32)
    found = alike(np.concatenate([different, copy]), bits=32)
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 40)]
    assert found.left_out > 100
