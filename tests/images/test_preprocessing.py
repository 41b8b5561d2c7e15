import io
import json
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from budwood.errors import ConfigError, ImageError
from budwood.images.decode import decode
from budwood.images.preprocessing import Interpolation, Preprocessing, luma

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
PILLOW = {
    name: Image.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "lanczos")
}


def plainly(image, preprocessing):
    """Resize all of the photo, then crop: what everybody's evaluation transform does, by Pillow."""
    (height, width), resize = preprocessing.size, preprocessing.resize
    if isinstance(resize, int):
        short = min(image.size)
        shape = [resize if side == short else int(resize * side / short) for side in image.size]
    else:
        shape = resize[::-1]
    if len(preprocessing.mean) == 1:
        image = image.convert("L")
    # Which direction comes first makes a difference. Pillow 12 and torchvision begin with the rows
    # (of pixels) as here; Pillow 13 begins with the columns where that is cheaper.
    image = image.resize((shape[0], image.height), PILLOW[preprocessing.interpolation])
    image = image.resize(shape, PILLOW[preprocessing.interpolation])
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    cropped = np.asarray(image.crop((left, top, left + width, top + height)))
    return cropped.reshape(height, width, -1)


def by_pillow(data, preprocessing):
    """The same from a file."""
    return plainly(
        ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"), preprocessing
    )


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int))


def mean_difference(one, other):
    return difference(one, other).mean()


def noise(height, width, seed=0):
    """The hardest photo to agree on: every pixel has another colour."""
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


class TestPixels:
    @pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
    @pytest.mark.parametrize("shape", [(333, 500), (500, 333), (224, 224), (90, 120), (700, 901)])
    def test_the_fast_path_agrees_with_pillow(self, scene, encoded, shape, interpolation):
        preprocessing = Preprocessing(
            size=(224, 224), resize=256, interpolation=interpolation, **IMAGENET
        )
        data = encoded(scene(*shape), "JPEG", quality=90)
        assert mean_difference(preprocessing.pixels(data), by_pillow(data, preprocessing)) < 0.5

    @pytest.mark.slow
    @pytest.mark.photos
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    def test_the_fast_path_agrees_with_pillow_on_real_photos(
        self, real_photos: Path, interpolation
    ):
        preprocessing = Preprocessing(
            size=(224, 224), resize=256, interpolation=interpolation, **IMAGENET
        )
        files = sorted((real_photos / "flowers" / "train").glob("*/*.jpg"))[::100]
        differences = [
            mean_difference(preprocessing.pixels(data), by_pillow(data, preprocessing))
            for data in map(Path.read_bytes, files)
        ]
        assert len(differences) > 20
        assert max(differences) < 0.5

    @pytest.mark.slow
    @pytest.mark.photos
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
    @pytest.mark.parametrize("resize", [36, 18])
    def test_real_photos_decoded_at_a_fraction_look_like_whole_ones(
        self, real_photos, interpolation, resize
    ):
        preprocessing = Preprocessing(
            size=(resize, resize), resize=resize, interpolation=interpolation, **IMAGENET
        )
        files = sorted((real_photos / "flowers" / "train").glob("*/*.jpg"))[::60]
        images = [path.read_bytes() for path in files]
        assert all(preprocessing._reduction(*decode(data).shape[:2]) > 1 for data in images)
        differences = [
            mean_difference(preprocessing.pixels(data), preprocessing.fit(decode(data)))
            for data in images
        ]
        assert len(differences) > 20
        assert np.mean(differences) < 1
        assert max(differences) < 2.5  # strong colours, whose clipping is not that of their mean

    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
    @pytest.mark.parametrize("shape", [(1600, 2003), (1999, 1537), (3500, 3100)])
    @pytest.mark.parametrize("size", [224, 96])
    def test_large_photos_decoded_at_a_fraction_look_like_whole_ones(
        self, scene, encoded, shape, size, interpolation
    ):
        preprocessing = Preprocessing(
            size=(size, size), resize=size + 8, interpolation=interpolation, **IMAGENET
        )
        assert preprocessing._reduction(*shape) > 1
        data = encoded(scene(*shape), "JPEG", quality=92)
        pixels, whole = preprocessing.pixels(data), preprocessing.fit(decode(data))
        assert mean_difference(pixels, whole) < 1
        assert mean_difference(pixels, by_pillow(data, preprocessing)) < 1

    @pytest.mark.parametrize("shape", [(1001, 1007), (1003, 1601)])
    def test_a_fraction_of_an_odd_size_is_not_shifted(self, encoded, shape):
        """A ramp gives away a shift: a tenth of a pixel of the result is a grey level here."""
        ramp = np.broadcast_to(np.linspace(0, 255, shape[1])[:, None], (*shape, 3))
        data = encoded(Image.fromarray(ramp.astype(np.uint8)), "JPEG", quality=100)
        preprocessing = Preprocessing(size=(32, 32), resize=32, **IMAGENET)
        whole = preprocessing.fit(decode(data)).astype(int)
        assert abs((preprocessing.pixels(data) - whole).mean()) < 0.2

    def test_nearest_is_never_decoded_at_a_fraction(self, encoded):
        preprocessing = Preprocessing(size=(8, 8), resize=8, interpolation="nearest", **IMAGENET)
        data = encoded(noise(800, 900), "JPEG")
        assert np.array_equal(preprocessing.pixels(data), preprocessing.fit(decode(data)))

    @given(st.integers(1, 5000), st.integers(1, 5000), st.integers(8, 300))
    def test_what_is_left_of_a_photo_is_three_times_what_it_is_resized_to(
        self, height, width, resize
    ):
        preprocessing = Preprocessing(size=(8, 8), resize=resize, **IMAGENET)
        reduction = preprocessing._reduction(height, width)
        resized = preprocessing._resized_shape(height, width)
        pixels_for_one = min(height / resized[0], width / resized[1]) / reduction
        assert reduction == 1 or pixels_for_one >= 3
        assert reduction == 4 or pixels_for_one < 6

    def test_the_same_photo_gives_the_same_pixels_in_many_threads(self, scene, encoded):
        preprocessing = Preprocessing(size=(64, 64), resize=72, **IMAGENET)
        files = [encoded(scene(100 + 40 * n, 150 + 50 * n, n), "JPEG") for n in range(16)]
        expected = [preprocessing.pixels(data) for data in files]
        with ThreadPoolExecutor(8) as pool:
            for pixels in (pool.map(preprocessing.pixels, files) for _ in range(10)):
                assert all(map(np.array_equal, pixels, expected))

    def test_pixels_are_contiguous_height_width_channels(self, scene, encoded):
        preprocessing = Preprocessing(size=(32, 48), resize=64, **IMAGENET)
        pixels = preprocessing.pixels(encoded(scene(), "PNG"))
        assert (pixels.shape, pixels.dtype) == ((32, 48, 3), np.uint8)
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable

    def test_a_broken_photo_is_an_error(self):
        with pytest.raises(ImageError, match="is empty"):
            Preprocessing(size=(8, 8), resize=8, **IMAGENET).pixels(b"")

    @pytest.mark.parametrize("orientation", [1, 3, 6, 8])
    def test_a_photo_lying_on_its_side_gives_what_the_upright_one_gives(
        self, scene, encoded, orientation
    ):
        preprocessing = Preprocessing(size=(64, 64), resize=64, **IMAGENET)
        exif = Image.Exif()
        exif[0x0112] = orientation
        lying = encoded(scene(), "PNG", exif=exif)
        upright = encoded(ImageOps.exif_transpose(Image.open(io.BytesIO(lying))), "PNG", exif=b"")
        assert np.array_equal(preprocessing.pixels(lying), preprocessing.pixels(upright))


class TestFit:
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
    @pytest.mark.parametrize("resize", [224, 256, (224, 224), (250, 300)])
    @pytest.mark.parametrize("mean", [(0.5,), (0.5, 0.5, 0.5)])
    def test_photos_are_resized_and_cropped_as_by_pillow(self, interpolation, resize, mean):
        preprocessing = Preprocessing(
            size=(224, 224), resize=resize, interpolation=interpolation, mean=mean, std=mean
        )
        for shape in ((375, 500), (500, 375), (224, 300), (61, 83), (900, 1301)):
            image = noise(*shape)
            differences = difference(
                preprocessing.fit(np.asarray(image)), plainly(image, preprocessing)
            )
            assert differences.max() <= 2
            assert differences.mean() < 0.05

    @pytest.mark.parametrize("resize", [224, 256, (224, 224), (250, 300)])
    def test_nearest_picks_the_pixels_that_pillow_picks(self, resize):
        preprocessing = Preprocessing(
            size=(224, 224), resize=resize, interpolation="nearest", **IMAGENET
        )
        for shape in ((375, 500), (500, 375), (224, 300), (61, 83), (907, 1301)):
            image = noise(*shape)
            pixels = preprocessing.fit(np.asarray(image))
            # Of a place exactly between two pixels either may be picked: see the next test.
            assert (pixels != plainly(image, preprocessing)).mean() < 0.02

    def test_nearest_of_a_place_exactly_between_two_pixels_is_either(self):
        """Pillow adds up its steps, of 3.6 pixels here, and so rounds otherwise."""
        preprocessing = Preprocessing(
            size=(250, 250), resize=(250, 250), interpolation="nearest", **IMAGENET
        )
        ramp = np.repeat(np.arange(900, dtype=np.float32)[:, None] / 4, 250, 1).astype(np.uint8)
        image = Image.fromarray(ramp).convert("RGB")
        pixels = preprocessing.fit(np.asarray(image))
        assert difference(pixels, plainly(image, preprocessing)).max() <= 1

    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
    @pytest.mark.parametrize("shape", [(100, 450), (450, 100), (101, 1500), (700, 63), (3, 401)])
    def test_long_shapes_give_what_the_plain_way_gives(self, shape, interpolation):
        preprocessing = Preprocessing(
            size=(64, 64), resize=72, interpolation=interpolation, **IMAGENET
        )
        image = noise(*shape)
        pixels = preprocessing.fit(np.asarray(image))
        assert difference(pixels, plainly(image, preprocessing)).max() <= 2

    @given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), st.integers(8, 40),
           st.sampled_from(["bilinear", "bicubic", "lanczos"]))  # fmt: skip
    def test_any_shape_gives_what_the_plain_way_gives(
        self, height, width, tall, wide, interpolation
    ):
        preprocessing = Preprocessing(
            size=(8, 8), resize=(tall, wide), interpolation=interpolation, **IMAGENET
        )
        image = noise(height, width)
        pixels = preprocessing.fit(np.asarray(image))
        assert difference(pixels, plainly(image, preprocessing)).max() <= 2

    def test_arrays_of_any_order_in_memory_are_the_same_photo(self, scene):
        image = np.asarray(scene())
        preprocessing = Preprocessing(size=(64, 64), resize=72, **IMAGENET)
        expected = preprocessing.fit(image)
        assert np.array_equal(preprocessing.fit(np.asfortranarray(image)), expected)
        assert np.array_equal(preprocessing.fit(image[::-1].copy()[::-1]), expected)

    def test_a_long_flat_photo_keeps_its_very_middle(self):
        image = np.zeros((10, 3000, 3), np.uint8)
        image[:, 1500:] = 255
        pixels = Preprocessing(size=(64, 64), resize=64, **IMAGENET).fit(image)
        assert (pixels[:, :28] == 0).all()
        assert (pixels[:, 36:] == 255).all()

    @pytest.mark.parametrize("shape", [(3000, 2), (2, 3000), (1, 20000), (1, 1)])
    @pytest.mark.parametrize("interpolation", ["bicubic", "nearest"])
    def test_extreme_shapes_take_little_memory(self, shape, interpolation):
        image = np.full((*shape, 3), 7, np.uint8)
        preprocessing = Preprocessing(
            size=(224, 224), resize=256, interpolation=interpolation, **IMAGENET
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert (preprocessing.fit(image) == 7).all()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 20_000  # KB; all of the 336000 x 224 would be 220 MB

    @pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
    def test_small_photos_are_enlarged(self, interpolation):
        image = np.full((5, 9, 3), 200, np.uint8)
        preprocessing = Preprocessing(
            size=(32, 32), resize=36, interpolation=interpolation, **IMAGENET
        )
        assert (preprocessing.fit(image) == 200).all()

    def test_grey_networks_get_one_channel(self, scene):
        preprocessing = Preprocessing(size=(32, 32), resize=32, mean=(0.5,), std=(0.5,))
        assert preprocessing.fit(np.asarray(scene())).shape == (32, 32, 1)

    def test_luma_is_pillows_mode_l(self):
        colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        expected = np.asarray(Image.fromarray(colours).convert("L"))
        assert np.array_equal(luma(colours)[..., 0], expected)

    @given(st.integers(1, 60), st.integers(1, 900), st.sampled_from([24, 31, (40, 26)]))
    def test_any_shape_gives_the_size_asked_for(self, height, width, resize):
        preprocessing = Preprocessing(size=(24, 24), resize=resize, **IMAGENET)
        image = np.zeros((height, width, 3), np.uint8)
        assert preprocessing.fit(image).shape == (24, 24, 3)

    @pytest.mark.parametrize(
        "image",
        [
            np.zeros((8, 8, 3)),
            np.zeros((8, 8, 1), np.uint8),
            np.zeros((3, 8, 8), np.uint8),
            np.zeros((0, 8, 3), np.uint8),
        ],
    )
    def test_another_type_or_shape_is_refused(self, image):
        with pytest.raises(ConfigError, match=r"It must be `h w 3`, uint8"):
            Preprocessing(size=(8, 8), resize=8, **IMAGENET).fit(image)


class TestPreprocessing:
    @pytest.mark.parametrize("resize", [256, (250, 300), 224])
    @pytest.mark.parametrize("interpolation", ["nearest", "lanczos"])
    def test_json_brings_it_back(self, resize, interpolation):
        preprocessing = Preprocessing(
            size=(224, 224), resize=resize, interpolation=interpolation, **IMAGENET
        )
        text = json.dumps(preprocessing.to_json())
        assert Preprocessing.from_json(json.loads(text)) == preprocessing

    @pytest.mark.parametrize(
        ("change", "reason"),
        [({"crop": 1}, "unexpected keyword argument 'crop'.*The fields are size, resize"),
         ({"std": [0, 1, 1]}, "Every value must be above 0")],
    )  # fmt: skip
    def test_json_of_something_else_is_refused(self, change, reason):
        fields = Preprocessing(size=(8, 8), resize=8, **IMAGENET).to_json() | change
        with pytest.raises(ConfigError, match=reason):
            Preprocessing.from_json(fields)

    def test_another_size_crops_the_same_share(self):
        preprocessing = Preprocessing(size=(224, 224), resize=256, **IMAGENET).at_size(448)
        assert (preprocessing.size, preprocessing.resize) == ((448, 448), 512)

    def test_another_size_keeps_an_exact_resize_exact(self):
        preprocessing = Preprocessing(size=(200, 100), resize=(240, 100), **IMAGENET).at_size(100)
        assert (preprocessing.size, preprocessing.resize) == ((100, 50), (120, 50))

    @given(st.integers(1, 600))
    def test_every_size_is_possible(self, px):
        preprocessing = Preprocessing(size=(224, 224), resize=232, **IMAGENET)
        assert preprocessing.at_size(px).size == (px, px)

    def test_it_says_what_it_does_in_one_line(self):
        text = str(Preprocessing(size=(224, 224), resize=(256, 250), mean=(0.5,), std=(0.25,)))
        assert text == "exactly 256 x 250 (bicubic), centre 224 x 224, mean 0.5, std 0.25, grey"

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"size": (0, 8)}, "at least 1 pixel"),
            ({"resize": 0}, "at least 1 pixel"),
            ({"resize": 7}, r"crop of 8 x 8 .* larger than a photo resized to 7.*exact"),
            ({"size": (4, 8), "resize": 6}, "Raise `resize`"),
            ({"resize": (16, 7)}, "Raise `resize`"),
            ({"interpolation": "cubic"}, "There are nearest, bilinear, bicubic, lanczos"),
            ({"mean": (0.5, 0.5)}, r"3 \(RGB\) or both 1 \(grey\)"),
            ({"std": (0.5,)}, r"mean has 3 values and std 1"),
            ({"std": (0.5, 0.0, 0.5)}, "must be above 0"),
        ],
    )
    def test_impossible_values_are_refused(self, change, reason):
        with pytest.raises(ConfigError, match=reason):
            Preprocessing(**{"size": (8, 8), "resize": 8, **IMAGENET} | change)

    def test_every_interpolation_is_known_to_pillow(self):
        assert set(get_args(Interpolation)) == set(PILLOW)
