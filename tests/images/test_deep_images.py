"""Folders of images of more than 8 bits: what is white in them, and what is said of it."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from budwood.data import deep_images
from budwood.data.deep_images import Extent, depth_of, extents_of, misfit_notes
from budwood.data.folder import load_folder, load_test
from budwood.data.inputs import fitted_images
from budwood.images.decode import decoding
from budwood.images.depth import Depth
from budwood.images.preprocessing import Preprocessing

GREY = Preprocessing(size=(60, 80), resize=(60, 80), interpolation="nearest", mean=(0.5,), std=(1,))


def write_tiff(path, values, tags=None, *, photometric=1, bits=None):
    """An uncompressed grey TIFF of any numbers, or of packed 12-bit ones."""
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    height, width = values.shape
    data = values.tobytes()
    if bits == 12:
        first, second = values[:, ::2].astype(np.uint32), values[:, 1::2].astype(np.uint32)
        packed = [first >> 4, (first & 15) << 4 | second >> 8, second & 255]
        data = np.stack(packed, -1).astype(np.uint8).tobytes()
    entries = {256: (4, width), 257: (4, height), 258: (3, bits or values.itemsize * 8),
               259: (3, 1), 262: (3, photometric), 273: (4, 8), 277: (3, 1), 278: (4, height),
               279: (4, len(data)), 339: (3, kind)}  # fmt: skip
    entries |= {tag: (4, value) for tag, value in (tags or {}).items()}
    body = b"".join(struct.pack("<HHII", t, k, 1, v) for t, (k, v) in sorted(entries.items()))
    head = b"II*\0" + struct.pack("<I", 8 + len(data)) + data
    path.write_bytes(head + struct.pack("<H", len(entries)) + body + struct.pack("<I", 0))


def write_png(path, colours):
    """A PNG of 16 bits a sample: grey and alpha, RGB or RGBA by the number of channels."""
    import zlib

    def chunk(name, content):
        sum_ = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + sum_

    height, width, channels = colours.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = colours.astype(">u2").reshape(height, -1).view(np.uint8)
    # Rows are stored as differences to what lies above: both halves must be put together right.
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    data = zlib.compress(np.pad(rows - above, ((0, 0), (1, 0)), constant_values=2).tobytes())
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def write(path, values):
    if path.suffix == ".png":
        Image.fromarray(values).save(path)
    else:
        write_tiff(path, values)


@pytest.fixture
def grey():
    """`grey(seed)`: a picture of 8 bits, of soft shapes, from black to white."""

    def draw(seed=0):
        few = np.random.default_rng(seed).integers(-40, 296, (6, 8)).clip(0, 255).astype(np.uint8)
        few[0, :2] = 0, 255
        return np.asarray(Image.fromarray(few).resize((80, 60), Image.Resampling.BICUBIC))

    return draw


@pytest.fixture
def deep_folder(tmp_path, grey):
    """Draws two classes of pictures, whose values `made(grey)` makes."""

    def draw(made, suffix=".tif", number=5, root="photos"):
        for i in range(2 * number):
            path = tmp_path / root / "ab"[i % 2] / f"{i}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, made(grey(i)))
        return tmp_path / root

    return draw


def texts(folder, *kinds):
    return [note.text for note in folder.notes if note.kind in kinds]


def of_bits(bits):
    return lambda picture: (picture.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)


def up_to(top, kind="f4", bottom=0):
    return lambda picture: (picture / 255 * (top - bottom) + bottom).astype(kind)


class TestAFolder:
    @pytest.mark.parametrize(
        ("made", "suffix"),
        [
            *((of_bits(bits), name) for bits in (8, 10, 12, 14, 16) for name in (".png", ".tif")),
            *((up_to(top), ".tif") for top in (1.0, 1.1, 255, 260, 4095, 0.02, 3e6)),
            (up_to(3071, "i2", -1024), ".tif"),
            (up_to(4095, "i2"), ".tif"),
            (up_to(32767, "i2"), ".tif"),
            (up_to(4095, "i4"), ".tif"),
            (up_to(2**31 - 1, "i4"), ".tif"),
            (up_to(2**32 - 1, "u4"), ".tif"),
            (up_to(2**20 - 1, "u4"), ".tif"),
            (up_to(0.5, bottom=-0.5), ".tif"),
        ],
    )  # fmt: skip
    def test_every_photo_looks_like_its_8_bit_original(self, deep_folder, grey, made, suffix):
        folder = load_folder(deep_folder(made, suffix))
        for split in (folder.train, folder.test):
            seen = Preprocessing(**{**vars(GREY), "depth": split.depth})
            for path in split.paths:
                shown = seen.pixels(path.read_bytes())[..., 0].astype(int)
                assert np.abs(shown - grey(int(path.stem))).max() <= 1

    def test_12_bits_are_told_once(self, deep_folder):
        folder = load_folder(deep_folder(of_bits(12), ".png"))
        assert texts(folder, "depth") == [
            "8 training photos hold 12-bit values (at most 4095) in 16-bit files; 4095 is taken as "
            "white, here and for prediction."
        ]
        assert texts(folder, "mixed-depths", "clipped", "unknown-depth") == []

    def test_signed_values_are_told(self, deep_folder):
        (said,) = texts(load_folder(deep_folder(up_to(3071, "i2", -1024))), "depth")
        assert said.startswith("8 training photos hold values from -1024 to 3071 in signed 16-bit")
        assert "-1030 is taken as black and 3080 as white" in said

    @pytest.mark.parametrize("made", [of_bits(16), up_to(1.0)])
    def test_a_full_range_is_nothing_to_tell(self, deep_folder, made):
        assert texts(load_folder(deep_folder(made)), "depth", "mixed-depths") == []

    def test_a_dark_photo_is_as_dark_as_beside_the_others(self, deep_folder):
        root = deep_folder(of_bits(12), ".png")
        dark = root / "a" / "0.png"
        Image.fromarray(np.full((60, 80), 800, np.uint16)).save(dark)
        depth = load_folder(root, test_fraction=None).depth
        with decoding(dark.read_bytes(), lambda h, w: 1, depth=depth) as decoded:
            assert decoded.image.max() == 50

    def test_photos_of_8_bits_have_no_depth(self, deep_folder):
        folder = load_folder(deep_folder(lambda picture: picture, ".png"))
        assert folder.depth == folder.train.depth == Depth()
        assert texts(folder, "depth", "mixed-depths") == []

    def test_test_photos_have_no_say(self, deep_folder):
        deep_folder(of_bits(12), ".png", root="photos/train")
        deep_folder(of_bits(16), ".png", root="photos/test")
        root = deep_folder(of_bits(12), ".png", root="photos/val").parent
        folder = load_folder(root)
        assert folder.depth == folder.test.depth == Depth({"uint16": (0, 4095)})
        assert texts(folder, "clipped") == [
            "10 photos of 20 hold 16-bit values from 0 to 65535, beyond 0 to 4095, the range of "
            "the training photos: those are clipped."
        ]

    def test_what_was_measured_is_kept(self, deep_folder, monkeypatch):
        root = deep_folder(of_bits(12), ".png")
        first = load_folder(root)
        monkeypatch.setattr(deep_images, "_extent", None)
        assert load_folder(root) == first

    def test_a_changed_file_is_measured_again(self, deep_folder, grey):
        root = deep_folder(of_bits(10), ".png")
        assert load_folder(root).depth == Depth({"uint16": (0, 1023)})
        for i in range(4):
            write(root / "ab"[i % 2] / f"{i}.png", of_bits(14)(grey(i)))
        assert load_folder(root).depth == Depth({"uint16": (0, 16383)})

    def test_photos_stay_closed_if_asked(self, class_folders, monkeypatch):
        monkeypatch.setattr(deep_images, "_extent", None)
        folder = load_folder(class_folders(a=3, b=3), find_groups=False, find_depth=False)
        assert folder.train.depth is None

    def test_copies_of_dark_photos_are_found(self, deep_folder, grey):
        """With all 16 bits as their range 10 bits would be four grey levels."""
        root = deep_folder(of_bits(10), ".png")
        brighter = (of_bits(10)(grey(0)) * 0.9).astype(np.uint16)
        write(root / "a" / "copy.png", brighter)
        folder = load_folder(root, test_fraction=None)
        group = dict(zip((p.name for p in folder.train.paths), folder.train.groups, strict=True))
        assert group["copy.png"] == group["0.png"]


class TestAMix:
    def test_two_sources_in_16_bit_files_are_told(self, deep_folder):
        root = deep_folder(of_bits(16), ".png")
        root = deep_folder(of_bits(12), ".png", number=2)
        (said,) = texts(load_folder(root, test_fraction=None), "mixed-depths")
        assert said.startswith("4 training photos of 10 hold no value above 4095, and white is")

    def test_one_blank_photo_is_no_mix(self, deep_folder):
        root = deep_folder(of_bits(16), ".png")
        Image.fromarray(np.full((60, 80), 7, np.uint16)).save(root / "a" / "0.png")
        assert texts(load_folder(root, test_fraction=None), "mixed-depths") == []

    def test_8_bits_beside_16_are_told(self, deep_folder, grey):
        root = deep_folder(of_bits(12), ".png")
        Image.fromarray(grey(0)).save(root / "a" / "0.png")
        assert texts(load_folder(root, test_fraction=None), "mixed-depths") == [
            "Training photos are of different depth (9 16-bit, 1 8-bit): each is read in its own "
            "range."
        ]


class TestTags:
    def test_12_bits_a_sample_need_no_folder(self, tmp_path, grey):
        values = of_bits(12)(grey())
        write_tiff(tmp_path / "a.tif", values, bits=12)
        (extent,) = extents_of([tmp_path / "a.tif"]).values()
        assert extent.kind == "uint12"
        assert depth_of([extent]) == Depth()
        shown = GREY.pixels((tmp_path / "a.tif").read_bytes())[..., 0].astype(int)
        assert np.abs(shown - grey()).max() <= 1

    @pytest.mark.parametrize("tag", [281, 341])
    def test_a_maximum_that_all_files_state_is_white(self, tmp_path, grey, tag):
        paths = [tmp_path / f"{i}.tif" for i in range(3)]
        for i, path in enumerate(paths):
            write_tiff(path, of_bits(9)(grey(i)), {tag: 3000})
        assert depth_of(extents_of(paths).values()) == Depth({"uint16": (0, 3000)})

    def test_a_maximum_of_each_file_is_a_statistic(self, tmp_path, grey):
        paths = [tmp_path / f"{i}.tif" for i in range(3)]
        for i, path in enumerate(paths):
            write_tiff(path, of_bits(12)(grey(i)) // (i + 1), {281: 4095 // (i + 1)})
        assert depth_of(extents_of(paths).values()) == Depth({"uint16": (0, 4095)})

    def test_a_maximum_that_is_exceeded_is_none(self, tmp_path, grey):
        write_tiff(tmp_path / "a.tif", of_bits(12)(grey()), {281: 1})
        extents = extents_of([tmp_path / "a.tif"]).values()
        assert depth_of(extents) == Depth({"uint16": (0, 4095)})

    def test_zero_may_be_white(self, tmp_path, grey):
        write_tiff(tmp_path / "a.tif", 65535 - of_bits(16)(grey()), photometric=0)
        shown = GREY.pixels((tmp_path / "a.tif").read_bytes())[..., 0].astype(int)
        assert np.abs(shown - grey()).max() <= 1


class TestColours:
    @pytest.mark.parametrize("channels", [2, 3, 4])
    @pytest.mark.parametrize("bits", [10, 12, 16])
    def test_a_png_of_16_bits_a_sample(self, tmp_path, scene, channels, bits):
        colours = np.asarray(scene(60, 80)).astype(int)
        colours[0, 0], colours[0, 1] = 255, 0
        if channels == 2:
            colours = colours[..., :1].repeat(3, 2)
        shown = colours * (2**bits - 1) // 255
        stored = shown[..., : 1 if channels == 2 else 3]
        if channels != 3:
            stored = np.concatenate([stored, np.full((60, 80, 1), 65535)], -1)
        write_png(tmp_path / "a.png", stored)
        self.check(tmp_path / "a.png", colours, bits)

    @pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
    @pytest.mark.parametrize("bits", [10, 12, 16])
    def test_a_tiff_of_16_bits_a_sample(self, tmp_path, scene, compression, bits):
        tifffile = pytest.importorskip("tifffile")
        colours = np.asarray(scene(60, 80)).astype(int)
        colours[0, 0], colours[0, 1] = 255, 0
        stored = (colours * (2**bits - 1) // 255).astype(np.uint16)
        tifffile.imwrite(tmp_path / "plain.tif", stored, photometric="rgb", planarconfig="contig")
        path = tmp_path / "plain.tif"
        if compression == "tiff_adobe_deflate":
            path = tmp_path / "packed.tif"
            tifffile.imwrite(path, stored, photometric="rgb", compression="zlib")
        self.check(path, colours, bits)

    def check(self, path, colours, bits):
        depth = depth_of(extents_of([path]).values())
        assert depth == Depth({"uint16": (0, 2**bits - 1)})
        with decoding(path.read_bytes(), lambda h, w: 1, depth=depth) as decoded:
            assert np.abs(decoded.image.astype(int) - colours).max() <= 1

    def test_alpha_is_laid_over_white(self, tmp_path):
        colours = np.full((8, 8, 4), 1000)
        colours[..., 3] = 0
        colours[0, 0] = 4095, 0, 0, 65535
        write_png(tmp_path / "a.png", colours)
        data = (tmp_path / "a.png").read_bytes()
        with decoding(data, lambda h, w: 1, depth=Depth({"uint16": (0, 4095)})) as decoded:
            assert decoded.image[0, 0].tolist() == [255, 0, 0]
            assert (decoded.image[1:] == 255).all()


class TestOtherPhotos:
    """Of more than 8 bits, for a model that was trained on other ones."""

    def extent(self, kind, low, high):
        return Extent(kind, low, high, low, high, None)

    def test_a_kind_that_training_lacked_is_told(self):
        (note,) = misfit_notes(Depth(), [self.extent("float", 0, 1)])
        assert note.kind == "unknown-depth"
        assert note.text == (
            "1 photo holds floating-point values, and of training photos that did nothing is "
            "known: 0 is taken as black and 1 as white."
        )

    def test_values_beyond_the_full_range_are_told_too(self):
        kinds = [note.kind for note in misfit_notes(Depth(), [self.extent("float", 0, 80)])]
        assert kinds == ["unknown-depth", "clipped"]

    def test_what_fits_is_nothing_to_tell(self):
        depth = Depth({"uint16": (0, 4095), "float": (-1, 1)})
        known = [self.extent("uint16", 0, 4095), self.extent("float", -1, 0.5)]
        assert list(misfit_notes(depth, [*known, self.extent("uint12", 0, 4095)])) == []

    def test_of_floats_a_hot_pixel_is_not_told(self):
        hot = Extent("float", 0, 900, 0, 1, None)
        assert list(misfit_notes(Depth({"float": (0, 1)}), [hot])) == []

    def test_photos_of_a_test_set_are_told(self, deep_folder):
        root = deep_folder(of_bits(16), ".png")
        split, notes = load_test(root, ("a", "b"), depth=Depth({"uint16": (0, 4095)}))
        assert split.depth == Depth({"uint16": (0, 4095)})
        assert [note.kind for note in notes] == ["clipped"]

    def test_an_image_in_memory_is_read_likewise(self, grey):
        seen = Preprocessing(**{**vars(GREY), "depth": Depth({"uint16": (0, 4095)})})
        (pixels,) = fitted_images([Image.fromarray(of_bits(12)(grey()))], seen)
        assert np.abs(pixels[..., 0].astype(int) - grey()).max() <= 1


def test_a_file_that_cannot_be_read_is_passed_over(tmp_path, deep_folder):
    root = deep_folder(of_bits(12), ".png")
    (root / "a" / "0.png").write_bytes((root / "a" / "0.png").read_bytes()[:200])
    (root / "a" / "2.png").write_bytes(b"II*\0")
    folder = load_folder(root, test_fraction=None)
    assert folder.depth == Depth({"uint16": (0, 4095)})
    assert len(extents_of([*folder.train.paths, Path("nowhere.png")])) == 8


def test_hot_pixels_do_not_darken_floats(tmp_path, grey):
    values = up_to(2.0)(grey())
    values[0, 0], values[0, 1], values[0, 2] = 1e9, np.nan, np.inf
    write_tiff(tmp_path / "a.tif", values)
    assert depth_of(extents_of([tmp_path / "a.tif"]).values()) == Depth({"float": (0, 2)})


@pytest.mark.parametrize(
    "values", [np.zeros((8, 8)), np.full((8, 8), -5.0), np.full((8, 8), np.nan)]
)
def test_photos_of_one_value_only_have_a_range(tmp_path, values):
    write_tiff(tmp_path / "a.tif", values.astype("f4"))
    depth = depth_of(extents_of([tmp_path / "a.tif"]).values())
    black, white = depth.range_of("float")
    assert black < white
