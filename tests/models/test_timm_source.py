"""timm's weights: their preprocessing, files and foreign layouts."""

import dataclasses
import os

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config

from budwood.errors import ConfigError, WeightsError
from budwood.models import timm_source
from budwood.models.building import build
from budwood.models.sources import source as named

source = named("timm")

FULL_NAMES = [
    "resnet50.a1_in1k",
    "resnet50.tv_in1k",
    "tf_efficientnet_lite1.in1k",
    "vit_base_patch16_siglip_224.webli",
    "vit_small_patch14_dinov2.lvd142m",
    "eva02_base_patch14_448.mim_in22k_ft_in22k_in1k",
]


def surveyed() -> list[str]:
    return timm.list_pretrained() if os.environ.get("BUDWOOD_ALL_ARCHS") == "1" else FULL_NAMES


@pytest.mark.parametrize("full", surveyed())
def test_the_preprocessing_is_timms(full):
    name, tag = full.split(".", 1)
    config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(full).to_dict())
    try:
        ours = source.preprocessing(name, tag)
    except ConfigError:
        assert config["crop_mode"] == "border" or config["crop_pct"] > 1
        return
    steps = {type(step).__name__: step for step in create_transform(**config).transforms}
    size = steps["Resize"].size
    assert ours.resize == (size if isinstance(size, int) else tuple(size))
    assert ours.size == tuple(steps["CenterCrop"].size)
    assert ours.interpolation == steps["Resize"].interpolation.value
    assert ours.mean == pytest.approx(steps["Normalize"].mean.tolist())
    assert ours.std == pytest.approx(steps["Normalize"].std.tolist())


@pytest.mark.parametrize("name", ["volo_d4_448", "deepseek_vit_412m"])
def test_photos_with_a_border_are_refused(name):
    with pytest.raises(ConfigError, match="crops squares from the centre, or squashes photos"):
        source.preprocessing(name, None)


@pytest.mark.parametrize(
    ("name", "tag", "size"),
    [
        ("convnext_tiny", "in12k_ft_in1k_384", (384, 384)),
        ("vit_base_patch16_sapiens2", "fb", (1024, 768)),
    ],
)
def test_squashed_photos_are_resized_exactly(name, tag, size):
    assert source.preprocessing(name, tag).resize == source.preprocessing(name, tag).size == size


@pytest.fixture
def config(monkeypatch):
    """Replaces fields of every configuration of published weights."""

    def change(**fields):
        real = timm.get_pretrained_cfg("test_resnet")
        monkeypatch.setattr(timm_source, "_config", lambda *_: dataclasses.replace(real, **fields))

    return change


def test_a_file_named_in_a_configuration_is_the_one_asked_for(config, monkeypatch):
    config(hf_hub_id="a/b", hf_hub_filename="c.bin")
    asked = []
    monkeypatch.setattr(
        timm_source.weights, "from_hub", lambda *args, **options: asked.append((args, options))
    )
    source.file("test_resnet", "tag", None)
    assert asked == [(("a/b", "test_resnet.tag"), {"files": ("c.bin",), "on_progress": None})]


def test_weights_that_are_not_on_the_hub_come_from_their_url(config, monkeypatch):
    config(hf_hub_id=None, url="https://example.org/a.pth")
    monkeypatch.setattr(timm_source.weights, "published", lambda url, **_: url)
    assert source.file("test_resnet", "tag", None) == "https://example.org/a.pth"


@pytest.mark.parametrize("fields", [{"url": "https://a/b.npz", "custom_load": True}, {"url": None}])
def test_weights_in_a_form_of_their_own_are_refused(config, fields):
    config(hf_hub_id=None, **fields)
    with pytest.raises(WeightsError, match=r"Choose others of r160_in1k, or pass --weights PATH"):
        source.file("test_resnet", "r160_in1k", None)


def test_published_weights_are_loaded_and_leave_no_trace_of_the_file(tmp_path):
    saved = timm.create_model("test_resnet").state_dict()
    save_file(saved, tmp_path / "a.safetensors")
    network = source.pretrained("test_resnet", "r160_in1k", tmp_path / "a.safetensors")
    assert all(torch.equal(tensor, saved[key]) for key, tensor in network.state_dict().items())
    assert network.pretrained_cfg == timm.create_model("test_resnet.r160_in1k").pretrained_cfg


@pytest.mark.parametrize("damage", ["other", "short"])
def test_published_weights_that_are_not_what_they_should_be_are_named(tmp_path, damage):
    path = tmp_path / "a.safetensors"
    save_file(timm.create_model("test_vit").state_dict(), path)
    if damage == "short":
        path.write_bytes(path.read_bytes()[:999])
    with pytest.raises(WeightsError, match=r"does not hold the weights 'r160_in1k'.*Remove it"):
        source.pretrained("test_resnet", "r160_in1k", path)


def test_a_foreign_layout_is_converted_as_timm_does(tmp_path):
    """ConvNeXt's authors name the stem and the head in another way."""
    saved = timm.create_model("convnext_atto", num_classes=5).state_dict()
    state = {
        key.replace("stem.", "downsample_layers.0.")
        .replace(".downsample.", ".D.")
        .replace("blocks.", "")
        .replace("conv_dw", "dwconv")
        .replace("mlp.fc", "pwconv")
        .replace("head.fc", "head")
        .replace("head.norm", "norm"): tensor
        for key, tensor in saved.items()
    }
    state = {_authors(key): tensor for key, tensor in state.items()}
    torch.save({"model": state}, tmp_path / "atto.pth")
    loaded = build("convnext_atto", weights=tmp_path / "atto.pth").state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in saved.items())


def _authors(key: str) -> str:
    if ".D." in key:
        stage, rest = key.removeprefix("stages.").split(".D.")
        return f"downsample_layers.{stage}.{rest}"
    return key


def test_a_file_that_no_converter_knows_is_compared_as_it_is(tmp_path):
    torch.save({"strange": torch.ones(1)}, tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match="1 unexpected"):
        build("convnext_atto", weights=tmp_path / "mine.pth")


def test_auxiliary_heads_are_torchvisions_only():
    with pytest.raises(ConfigError, match="timm/inception_v3 has no auxiliary heads"):
        build("timm/inception_v3", weights="none", aux_heads=True)
