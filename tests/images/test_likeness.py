"""Likeness: copies, resized, mirrored, recompressed and cropped ones are found, others are not."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from budwood.images.likeness import SMALL, agreements, alike, equal_files, groups, members


def picture(seed, size=(300, 400)):
    """Soft shapes, as photos have them."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (8, 10, 3), np.uint8)
    return Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)


def small(photo, quality=90):
    file = BytesIO()
    photo.save(file, "JPEG", quality=quality)
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
    photos = [picture(seed) for seed in range(30)]
    copies = np.stack([small(p) for p in photos] + [small(CHANGES[change](photos[7]), 60)])
    assert [(pair.first, pair.second) for pair in alike(copies)] == [(7, 30)]


def test_different_pictures_do_not_agree():
    copies = np.stack([small(picture(seed)) for seed in range(12)])
    every_pair = [(i, j) for i in range(12) for j in range(i)]
    assert all(edges < 0.8 for _, _, edges in agreements(copies, every_pair))
    assert alike(copies, every_pair) == []


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
    assert alike(both, [(0, 1)]) == []


@pytest.mark.parametrize("cut", [(0.0, 0.08, 0.0, 0.0), (0.07, 0.0, 0.03, 0.1), (0.1,) * 4])
def test_a_part_cut_out_of_its_own_shape_is_laid_where_it_was(cut):
    photo = picture(3)
    width, height = photo.size
    left, top, right, bottom = cut
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    both = np.stack([small(photo), small(photo.crop(tuple(map(round, box))))])
    for pair in ((0, 1), (1, 0)):
        ((_, agreement, edges),) = agreements(both[list(pair)], [(0, 1)])
        assert agreement > 0.98
        assert edges > 0.95


def test_blank_photos_are_not_called_one_picture():
    blank = np.full((3, 64, 64), 200, np.uint8)
    assert alike(blank) == []


def test_a_candidate_is_only_looked_at():
    copies = np.stack([small(picture(seed)) for seed in range(4)])
    assert alike(copies, [(0, 3), (2, 1)]) == []


def test_equal_files_are_paired_with_the_first():
    pairs = equal_files([b"a", b"b", b"a", b"a"])
    assert [(p.first, p.second, p.is_exact) for p in pairs] == [(0, 2, True), (0, 3, True)]


def test_groups_join_what_is_linked_in_any_way():
    of = groups(6, [(4, 2), (2, 5), (0, 1)])
    assert list(members(of)) == [[0, 1], [2, 4, 5]]
    assert of[3] == 3
