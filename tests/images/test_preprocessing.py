import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torch import nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from budwood.errors import ConfigError, PhotoError
from budwood.images.preprocessing import Interpolation, Prepared, Preprocessing, luma

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
PILLOW = {
    name: Image.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "lanczos")
}


def photo_of(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def plainly(photo, preprocessing):
    """Resize all of the photo, then crop: what everybody's evaluation transform does."""
    mode = InterpolationMode(preprocessing.interpolation)
    resize = preprocessing.resize
    resize = [resize] if isinstance(resize, int) else list(resize)
    resized = functional.resize(photo, resize, mode, antialias=True)
    return functional.center_crop(resized, list(preprocessing.size)).permute(1, 2, 0).numpy()


def by_pillow(data, preprocessing):
    """The same by Pillow alone."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    short, (height, width) = preprocessing.resize, preprocessing.size
    scale = short / min(image.size)
    size = tuple(short if side == min(image.size) else int(side * scale) for side in image.size)
    image = image.resize(size, PILLOW[preprocessing.interpolation])
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return np.asarray(image.crop((left, top, left + width, top + height)))


def mean_difference(one, other):
    return np.abs(one.astype(int) - other.astype(int)).mean()


class TestPixels:
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    @pytest.mark.parametrize("shape", [(333, 500), (500, 333), (224, 224), (90, 120), (1200, 901)])
    def test_the_fast_path_agrees_with_pillow(self, scene, encoded, shape, interpolation):
        preprocessing = Preprocessing(
            size=(224, 224), resize=256, interpolation=interpolation, **IMAGENET
        )
        data = encoded(scene(*shape), "JPEG", quality=90)
        difference = mean_difference(preprocessing.pixels(data), by_pillow(data, preprocessing))
        assert difference < 2

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
        assert max(differences) < 2

    def test_pixels_are_contiguous_height_width_channels(self, scene, encoded):
        preprocessing = Preprocessing(size=(32, 48), resize=64, **IMAGENET)
        pixels = preprocessing.pixels(encoded(scene(), "PNG"))
        assert (pixels.shape, pixels.dtype) == ((32, 48, 3), np.uint8)
        assert pixels.flags.c_contiguous

    def test_a_broken_photo_is_an_error(self):
        with pytest.raises(PhotoError, match="is empty"):
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
    @pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
    @pytest.mark.parametrize("resize", [224, 256, (224, 224), (250, 300)])
    def test_ordinary_shapes_are_resized_and_cropped_the_plain_way(
        self, scene, interpolation, resize
    ):
        preprocessing = Preprocessing(
            size=(224, 224), resize=resize, interpolation=interpolation, **IMAGENET
        )
        for shape in ((375, 500), (500, 375), (224, 300), (61, 83)):
            photo = photo_of(scene(*shape))
            assert np.array_equal(preprocessing.fit(photo), plainly(photo, preprocessing))

    @pytest.mark.parametrize("shape", [(100, 450), (450, 100), (101, 1500), (700, 63), (40, 401)])
    def test_long_shapes_cropped_first_differ_from_the_plain_way_by_rounding_only(
        self, scene, shape
    ):
        preprocessing = Preprocessing(size=(64, 64), resize=72, **IMAGENET)
        photo = photo_of(scene(*shape))
        difference = mean_difference(preprocessing.fit(photo), plainly(photo, preprocessing))
        assert difference < 1

    def test_a_long_flat_photo_keeps_its_very_middle(self):
        photo = torch.zeros(3, 10, 3000, dtype=torch.uint8)
        photo[:, :, 1500:] = 255
        pixels = Preprocessing(size=(64, 64), resize=64, **IMAGENET).fit(photo)
        assert (pixels[:, :28] == 0).all()
        assert (pixels[:, 36:] == 255).all()

    @pytest.mark.parametrize("shape", [(3000, 2), (2, 3000), (1, 20000), (1, 1)])
    def test_extreme_shapes_take_little_memory(self, shape, monkeypatch):
        sizes = []
        resize = functional.resize

        def recorded(photo, size, *args, **options):
            sizes.append(size)
            return resize(photo, size, *args, **options)

        monkeypatch.setattr(functional, "resize", recorded)
        photo = torch.full((3, *shape), 7, dtype=torch.uint8)
        pixels = Preprocessing(size=(224, 224), resize=256, **IMAGENET).fit(photo)
        assert (pixels == 7).all()
        assert max(sizes[0]) < 12 * 256

    @pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
    def test_small_photos_are_enlarged(self, interpolation):
        photo = torch.full((3, 5, 9), 200, dtype=torch.uint8)
        preprocessing = Preprocessing(
            size=(32, 32), resize=36, interpolation=interpolation, **IMAGENET
        )
        assert (preprocessing.fit(photo) == 200).all()

    @pytest.mark.parametrize("mean", [(0.5,), (0.5, 0.5, 0.5)])
    def test_lanczos_is_pillows(self, scene, mean):
        preprocessing = Preprocessing(
            size=(64, 64), resize=(64, 64), interpolation="lanczos", mean=mean, std=mean
        )
        image = scene().convert("L") if len(mean) == 1 else scene()
        expected = np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS)).reshape(64, 64, -1)
        assert np.array_equal(preprocessing.fit(photo_of(scene())), expected)

    def test_grey_networks_get_one_channel(self, scene):
        preprocessing = Preprocessing(size=(32, 32), resize=32, mean=(0.5,), std=(0.5,))
        assert preprocessing.fit(photo_of(scene())).shape == (32, 32, 1)

    def test_luma_is_pillows_mode_l(self):
        colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        expected = np.asarray(Image.fromarray(colours).convert("L"))
        assert np.array_equal(luma(photo_of(colours))[0].numpy(), expected)

    @given(st.integers(1, 60), st.integers(1, 900), st.sampled_from([24, 31, (40, 26)]))
    def test_any_shape_gives_the_size_asked_for(self, height, width, resize):
        preprocessing = Preprocessing(size=(24, 24), resize=resize, **IMAGENET)
        photo = torch.zeros(3, height, width, dtype=torch.uint8)
        assert preprocessing.fit(photo).shape == (24, 24, 3)

    @pytest.mark.parametrize(
        "photo", [torch.zeros(3, 8, 8), torch.zeros(1, 8, 8).byte(), torch.zeros(3, 0, 8).byte()]
    )
    def test_another_type_or_shape_is_refused(self, photo):
        with pytest.raises(ConfigError, match=r"It must be `3 h w`, torch.uint8"):
            Preprocessing(size=(8, 8), resize=8, **IMAGENET).fit(photo)


class TestPreprocessing:
    def test_normalise_subtracts_mean_and_divides_by_std(self):
        preprocessing = Preprocessing(
            size=(1, 1), resize=1, mean=(0.5, 0.0, 1.0), std=(0.5, 1.0, 2.0)
        )
        pixels = torch.tensor([[[[255, 51, 0]]]], dtype=torch.uint8)
        images = preprocessing.normalise(pixels)
        assert images.dtype == torch.float32
        torch.testing.assert_close(images, torch.tensor([1.0, 0.2, -0.5]).view(1, 3, 1, 1))

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

    def test_every_interpolation_is_known_to_torchvision_or_pillow(self):
        assert set(Interpolation.__args__) == {"nearest", "bilinear", "bicubic", "lanczos"}


class TestPrepared:
    @pytest.fixture
    def prepared(self):
        preprocessing = Preprocessing(size=(8, 8), resize=8, **IMAGENET)
        return Prepared(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()), preprocessing).eval()

    @pytest.fixture
    def pixels(self):
        return torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)

    def test_it_is_the_network_on_normalised_pixels(self, prepared, pixels):
        expected = prepared.network(prepared.preprocessing.normalise(pixels))
        assert torch.equal(prepared(pixels), expected)

    def test_torch_fx_traces_it_with_named_constants(self, prepared, pixels):
        traced = torch.fx.symbolic_trace(prepared)
        assert torch.equal(traced(pixels), prepared(pixels))
        names = {node.target for node in traced.graph.nodes if node.op == "get_attr"}
        assert names == {"mean", "std"}

    def test_jit_traces_it(self, prepared, pixels):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # jit is on its way out
            traced = torch.jit.trace(prepared, pixels)
        more = pixels.repeat(3, 1, 1, 1)
        assert torch.equal(traced(more), prepared(more))

    def test_torch_export_exports_it(self, prepared, pixels):
        exported = torch.export.export(prepared, (pixels,)).module()
        assert torch.equal(exported(pixels), prepared(pixels))

    def test_the_constants_are_no_part_of_the_state(self, prepared):
        assert set(prepared.state_dict()) == {"network.0.weight", "network.0.bias"}

    def test_grey_networks_normalise_their_one_channel(self):
        preprocessing = Preprocessing(size=(8, 8), resize=8, mean=(0.5,), std=(0.25,))
        prepared = Prepared(nn.Identity(), preprocessing)
        assert prepared(torch.zeros(1, 8, 8, 1, dtype=torch.uint8)).unique().item() == -2.0
