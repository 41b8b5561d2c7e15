"""Networks by name: the library's own module, reproducible, with what belongs to it."""

import copy
import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save, save_file
from torch import nn
from torchvision.models import get_model

from budwood.errors import ConfigError, UnknownName, WeightsError
from budwood.models.building import build, rebuild
from budwood.models.info import Origin, info, preprocessing_of
from budwood.models.packaged_source import packaged
from budwood.models.prepared import normalise
from budwood.models.states import load_state

NAMES = ["resnet18", "squeezenet1_1", "timm/resnet18", "test_vit", "efficientnet_lite0"]

PUBLISHED = {
    "resnet18": ("resnet18-f37072fd.pth", {}),
    "googlenet": ("googlenet-1378be20.pth", {"init_weights": False}),
    "inception_v3": ("inception_v3_google-0cc3c7bd.pth", {"init_weights": False}),
}
"""Names of torchvision's files, and how to make what is in them (auxiliary heads included)."""


def same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


@pytest.fixture
def downloads(budwood_home) -> Path:
    """The folder in which downloaded weights are kept, so that tests can put some there."""
    folder = budwood_home / "weights"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", NAMES)
class TestEveryNetwork:
    def test_it_is_in_eval_mode_and_all_of_it_trains(self, name):
        network = build(name, weights="none")
        assert not any(module.training for module in network.modules())
        assert all(parameter.requires_grad for parameter in network.parameters())

    def test_the_seed_decides_and_the_global_state_is_untouched(self, name):
        before = torch.get_rng_state()
        one, other = (build(name, weights="none", seed=3, classes=4) for _ in range(2))
        assert torch.equal(torch.get_rng_state(), before)
        assert same(one, other)
        assert not same(one, build(name, weights="none", seed=4, classes=4))

    def test_on_meta_it_has_the_same_structure_and_no_memory(self, name):
        network = build(name, classes=4, head="mlp:5", device="meta")
        assert all(tensor.is_meta for tensor in network.state_dict().values())
        real = build(name, weights="none", classes=4, head="mlp:5").state_dict()
        shapes = {key: value.shape for key, value in network.state_dict().items()}
        assert shapes == {key: value.shape for key, value in real.items()}

    def test_it_is_rebuilt_from_its_origin(self, name):
        network = build(name, weights="none", classes=["a", "b"], head="mlp:5")
        origin = Origin.from_json(json.loads(json.dumps(info(network).origin.to_json())))
        again = rebuild(origin)
        load_state(again, network.state_dict())
        assert info(again).origin == origin
        assert preprocessing_of(again) == preprocessing_of(network)
        images = torch.randn(1, 3, *preprocessing_of(network).size)
        with torch.no_grad():
            assert torch.equal(again(images), network(images))

    def test_origin_and_preprocessing_survive_copies_and_are_no_state(self, name):
        network = build(name, weights="none")
        again = copy.deepcopy(network).to(torch.float64)
        assert (info(again).origin, preprocessing_of(again)) == (
            info(network).origin,
            preprocessing_of(network),
        )
        assert not [key for key in network.state_dict() if key.startswith("model_info")]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_classes_give_a_new_head_and_are_remembered(device):
    network = build("resnet18", weights="none", classes=["cat", "dog"], device=device)
    assert network.fc.out_features == 2
    assert info(network).origin == Origin(
        architecture="torchvision/resnet18",
        weights="none",
        num_classes=2,
        classes=("cat", "dog"),
        head="linear",
    )


def test_without_classes_the_head_stays():
    origin = info(build("resnet18", weights="none", device="meta")).origin
    assert (origin.num_classes, origin.classes, origin.head) == (1000, None, None)


def test_a_network_that_ends_in_features_says_so():
    assert info(build("vit_small_patch14_dinov2", device="meta")).origin.num_classes == 0


def test_a_network_that_ends_in_features_is_rebuilt_with_a_head():
    network = build("vit_small_patch14_dinov2", classes=3, device="meta")
    assert rebuild(info(network).origin).head.out_features == 3


def test_regnet_computes_its_widths_on_meta():
    meta, real = (
        build("regnet_y_400mf", weights="none", device=device).state_dict()
        for device in ("meta", "cpu")
    )
    assert {key: value.shape for key, value in meta.items()} == {
        key: value.shape for key, value in real.items()
    }


def test_the_structure_follows_the_weights_it_is_for():
    network = build("vit_b_16", weights="IMAGENET1K_SWAG_E2E_V1", device="meta")
    assert network.image_size == 384
    assert preprocessing_of(network).size == (384, 384)
    assert rebuild(info(network).origin).image_size == 384


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(("name", "aux"), [("googlenet", "aux1"), ("inception_v3", "AuxLogits")])
def test_auxiliary_heads_are_kept_if_asked(name, aux, kept):
    network = build(name, weights="none", aux_heads=kept, device="meta")
    assert (getattr(network, aux) is not None) is kept
    assert network.aux_logits is kept
    assert network.transform_input
    assert rebuild(info(network).origin).state_dict().keys() == network.state_dict().keys()


def test_a_network_from_elsewhere_has_no_origin_and_no_preprocessing():
    assert info(nn.Linear(1, 1)).origin is None
    with pytest.raises(ConfigError, match=r"budwood.build\(\), .*budwood.set_info\(network, prep"):
        preprocessing_of(nn.Linear(1, 1))


@pytest.mark.parametrize("name", ["timm/resnet18", *PUBLISHED])
def test_published_weights_are_loaded_from_where_they_are_kept(downloads, name):
    if name.startswith("timm/"):
        state = timm.create_model("resnet18").state_dict()
        tag = timm.get_pretrained_cfg("resnet18").tag
        save_file(state, downloads / f"resnet18.{tag}.safetensors")
    else:
        file, options = PUBLISHED[name]
        state = get_model(name, **options).state_dict()
        tag = "IMAGENET1K_V1"
        torch.save(state, downloads / file)
    network = build(name)
    assert info(network).origin.weights == tag
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_published_weights_are_downloaded_with_progress(site, monkeypatch):
    saved, calls = timm.create_model("test_resnet").state_dict(), []
    site.content = save(saved)
    site.linked_etag = f'"{site.sha256}"'
    monkeypatch.setenv("HF_ENDPOINT", site.address)
    network = build("test_resnet", on_progress=lambda *now: calls.append(now))
    assert calls[-1] == (len(site.content), len(site.content))
    assert all(torch.equal(tensor, saved[key]) for key, tensor in network.state_dict().items())


def test_packaged_weights_tell_what_is_on_a_photo():
    picture = files("budwood.course") / "surface_pictures" / "fur.png"
    cat = np.asarray(Image.open(picture).convert("RGB"))
    network = build("efficientnet_lite0")
    pixels = preprocessing_of(network).fit(cat)
    images = normalise(torch.from_numpy(pixels)[None], preprocessing_of(network))
    with torch.no_grad():
        best = network(images).topk(3).indices[0].tolist()
    assert set(best) & {281, 282, 283, 285}  # tabby, tiger cat, Persian, Egyptian cat


class TestFiles:
    """Weights from a path, in any layout that is about."""

    @pytest.mark.parametrize("classes", [1000, 5])
    def test_the_number_of_classes_is_the_files(self, tmp_path, classes):
        saved = get_model("resnet18", num_classes=classes)
        torch.save(saved.state_dict(), tmp_path / "mine.pth")
        network = build("resnet18", weights=tmp_path / "mine.pth")
        assert same(network, saved)
        assert info(network).origin.weights == "file:mine.pth"
        assert info(network).origin.num_classes == classes
        assert rebuild(info(network).origin).fc.out_features == classes

    def test_classes_replace_the_files_head(self, tmp_path):
        saved = get_model("resnet18", num_classes=5)
        torch.save(saved.state_dict(), tmp_path / "mine.pth")
        network = build("resnet18", weights=str(tmp_path / "mine.pth"), classes=["a", "b"])
        assert network.fc.out_features == 2
        assert torch.equal(network.conv1.weight, saved.conv1.weight)

    def test_safetensors_of_timm_are_read(self, tmp_path):
        saved = timm.create_model("test_vit", num_classes=5)
        save_file(saved.state_dict(), tmp_path / "mine.safetensors")
        assert same(build("test_vit", weights=tmp_path / "mine.safetensors"), saved)

    def test_a_training_checkpoint_is_read(self, tmp_path):
        saved = get_model("squeezenet1_1", num_classes=5)
        state = {f"module.{key}": value for key, value in saved.state_dict().items()}
        torch.save({"epoch": 1, "state_dict": state}, tmp_path / "mine.pth")
        assert same(build("squeezenet1_1", weights=tmp_path / "mine.pth"), saved)

    @pytest.mark.parametrize("with_aux", [True, False])
    def test_auxiliary_tensors_are_dropped_where_they_are_not_wanted(self, tmp_path, with_aux):
        saved = get_model("googlenet", num_classes=5, aux_logits=with_aux, init_weights=False)
        torch.save(saved.state_dict(), tmp_path / "mine.pth")
        network = build("googlenet", weights=tmp_path / "mine.pth")
        assert network.aux1 is None
        assert torch.equal(network.fc.weight, saved.fc.weight)

    def test_auxiliary_tensors_are_loaded_where_they_are_wanted_and_told_where_they_lack(
        self, tmp_path
    ):
        saved = get_model("googlenet", aux_logits=True, num_classes=5, init_weights=False)
        torch.save(saved.state_dict(), tmp_path / "mine.pth")
        assert same(build("googlenet", weights=tmp_path / "mine.pth", aux_heads=True), saved)
        without = {key: value for key, value in saved.state_dict().items() if "aux" not in key}
        torch.save(without, tmp_path / "mine.pth")
        network = build("googlenet", weights=tmp_path / "mine.pth", aux_heads=True)
        missing = [line.name for line in info(network).receipt.having("missing")]
        assert missing == [key for key in saved.state_dict() if "aux" in key]
        assert network.aux1.conv.conv.weight.std() > 0

    def test_the_packaged_file_is_read_by_its_path(self):
        path = packaged("efficientnet_lite0")
        assert same(build("efficientnet_lite0", weights=path), build("efficientnet_lite0"))

    def test_packaged_weights_in_timms_layout_are_read(self, tmp_path):
        saved = timm.create_model("tf_efficientnet_lite0", num_classes=5)
        save_file(saved.state_dict(), tmp_path / "mine.safetensors")
        assert same(build("efficientnet_lite0", weights=tmp_path / "mine.safetensors"), saved)

    def test_the_name_of_a_published_file_decides_on_the_preprocessing(self, tmp_path):
        saved = get_model("resnet50").state_dict()
        for name, resize in [("resnet50-0676ba61.pth", 256), ("resnet50-11ad3fa6.pth", 232)]:
            torch.save(saved, tmp_path / name)
            network = build("resnet50", weights=tmp_path / name, device="meta")
            assert preprocessing_of(network).resize == resize
            assert preprocessing_of(rebuild(info(network).origin)).resize == resize

    def test_a_file_of_another_architecture_is_refused_with_the_receipt(self, tmp_path):
        torch.save(get_model("resnet34").state_dict(), tmp_path / "mine.pth")
        with pytest.raises(
            WeightsError,
            match=r"does not fit ResNet: it would load 122 of 122 tensors.*"
            r"96 unexpected: layer1.2.conv1.*as many parameters as resnet34.*of this architecture",
        ):
            build("resnet18", weights=tmp_path / "mine.pth")

    def test_on_meta_only_shapes_are_compared(self, tmp_path):
        torch.save(get_model("resnet18", num_classes=5).state_dict(), tmp_path / "mine.pth")
        network = build("resnet18", weights=tmp_path / "mine.pth", device="meta")
        assert network.fc.weight.is_meta
        assert network.fc.out_features == 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"head": "mlp:8"}, "Pass `classes` too"),
        ({"head": "mlp", "classes": 2}, "must be linear, or mlp:"),
        ({"classes": 0}, "must be at least 1"),
        ({"aux_heads": True}, "Those that have them are torchvision/googlenet, "),
    ],
)
def test_impossible_options_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        build("resnet18", weights="none", **options)


def test_an_unknown_architecture_is_refused():
    with pytest.raises(UnknownName, match="Did you mean 'resnet50'"):
        build("resnet5O")


@pytest.mark.slow
def test_building_from_torchvision_does_not_import_timm():
    code = (
        "import sys; from budwood.models.building import build;"
        "build('resnet18', weights='none', classes=2, head='mlp:8');"
        "sys.exit('timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_large_network_on_meta_takes_no_memory():
    code = (
        "import resource, sys; from budwood.models.building import build;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "build('regnet_y_128gf', device='meta', classes=7);"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "sys.exit(f'{after - before}' if after - before > 200_000 else 0)"
    )
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
