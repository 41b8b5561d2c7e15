"""What fits of a file is loaded, a receipt tells the rest, and nothing is guessed in silence."""

import copy
import json
import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model, googlenet

from budwood.capsule.format import FORMAT
from budwood.capsule.pack import Capsule, write_capsule
from budwood.errors import ConfigError, WeightsError
from budwood.images.preprocessing import Preprocessing
from budwood.models.building import build
from budwood.models.info import info, preprocessing_of, set_info
from budwood.models.loading import load_weights

NAMES = ("cat", "dog", "emu")


def small(outputs: int = 3, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, outputs, bias))


def named(classes) -> nn.Sequential:
    """A network whose classes are known, as `build(classes=...)` makes them known."""
    origin = info(build("lenet5", weights="none", classes=classes, device="meta")).origin
    network = small(len(classes))
    set_info(network, origin=origin)
    return network


def values(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def by_status(receipt) -> dict[str, list[str]]:
    return {
        status: [line.name for line in receipt.having(status)]
        for status, count in receipt.counts().items()
        if count
    }


@pytest.fixture
def saved(tmp_path):
    """Saves anything by torch.save and gives its path."""

    def save(content, name="net.pth"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


class TestPlainFiles:
    """One file, one network: what is loaded, and how it is told."""

    @pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "state_dict_ema"])
    @pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.model.", "backbone."])
    def test_everything_is_loaded_bit_for_bit(self, saved, wrapper, prefix):
        donor, network = small(), small()
        state = {f"{prefix}{name}": tensor for name, tensor in donor.state_dict().items()}
        receipt = load_weights(network, saved({wrapper: state} if wrapper else state))
        assert same(network.state_dict(), donor.state_dict())
        assert (receipt.is_full, receipt.share) == (True, 1.0)
        assert info(network).receipt is receipt

    def test_safetensors_and_paths_as_text_are_read(self, tmp_path):
        donor, network = small(), small()
        save_file(donor.state_dict(), tmp_path / "net.safetensors")
        assert load_weights(network, str(tmp_path / "net.safetensors")).is_full
        assert same(network.state_dict(), donor.state_dict())

    def test_each_tensor_has_its_line(self, saved):
        network = small(5)
        network.append(nn.Linear(5, 5))
        state = small(3).state_dict() | {"queue": torch.ones(7)}
        del state["0.bias"]
        before = values(network)
        receipt = load_weights(network, saved(state), minimum_share=0.3)
        assert by_status(receipt) == {
            "loaded": [
                "0.weight",
                "1.weight",
                "1.bias",
                "1.running_mean",
                "1.running_var",
                "1.num_batches_tracked",
            ],
            "shape differs": ["2.weight", "2.bias"],
            "missing": ["0.bias", "3.weight", "3.bias"],
            "unexpected": ["queue"],
        }
        after = network.state_dict()
        for name in by_status(receipt)["missing"] + by_status(receipt)["shape differs"]:
            assert torch.equal(after[name], before[name])
        assert torch.equal(after["0.weight"], state["0.weight"])
        elements = sum(p.numel() for p in network.parameters())
        assert receipt.share == (24 + 12) / elements

    def test_parameters_stay_in_place_and_trainable(self, saved):
        network = small()
        weight = network[0].weight
        load_weights(network, saved(small().state_dict()))
        assert network[0].weight is weight
        assert weight.requires_grad

    def test_other_types_are_converted(self, saved):
        donor, network = small().half(), small()
        donor[1].num_batches_tracked += 7
        load_weights(network, saved(donor.state_dict()))
        assert network[0].weight.dtype == torch.float32
        assert torch.equal(network[0].weight, donor[0].weight.float())
        assert network[1].num_batches_tracked == 7

    def test_batch_counters_that_old_files_lack_are_no_loss(self, saved):
        state = {name: t for name, t in small().state_dict().items() if "num_batches" not in name}
        network = small()
        network[1].num_batches_tracked += 7
        receipt = load_weights(network, saved({f"net.{name}": t for name, t in state.items()}))
        assert receipt.is_full
        assert network[1].num_batches_tracked == 0

    def test_a_tensor_with_two_names_is_loaded_by_either(self, saved):
        network = nn.ModuleDict({"enter": nn.Linear(3, 3), "leave": nn.Linear(3, 3)})
        network["leave"].weight = network["enter"].weight
        state = copy.deepcopy(network).state_dict()
        state["enter.weight"] = torch.full((3, 3), 7.0)
        del state["leave.weight"]
        receipt = load_weights(network, saved(state))
        assert (receipt.is_full, receipt.share) == (True, 1.0)
        line = next(each for each in receipt.lines if each.name == "leave.weight")
        assert line.note == "one tensor with enter.weight"
        assert (network["leave"].weight == 7).all()

    def test_on_meta_names_and_shapes_are_compared(self, saved):
        with torch.device("meta"):
            network = small()
        assert load_weights(network, saved(small().state_dict())).is_full
        assert network[0].weight.is_meta

    def test_a_network_is_loaded_into_a_wrapper(self, saved):
        donor, wrapper = small(), nn.ModuleDict({"model": small(), "extra": nn.Linear(3, 2)})
        receipt = load_weights(wrapper, saved(donor.state_dict()))
        assert by_status(receipt)["missing"] == ["extra.weight", "extra.bias"]
        assert [line.source for line in receipt.having("renamed")][:2] == ["0.weight", "0.bias"]
        assert same(wrapper["model"].state_dict(), donor.state_dict())


class TestRefusals:
    """What does not belong together changes nothing."""

    def test_too_small_a_share(self, saved):
        network = small()
        before = values(network)
        path = saved({"0.bias": torch.ones(6), "0.weight": torch.ones(9, 9)})
        with pytest.raises(
            WeightsError,
            match=r"net.pth does not fit Sequential: it would load 1 of 9 tensors, 9.5 % of the "
            r"parameters; 1 differs in shape: 0.weight \[9, 9\] in the file, \[6, 4\] here; "
            r"7 missing: .*At least 50.0 % of the parameters must be in the file \(`minimum_share`",
        ):
            load_weights(network, path)
        assert same(network.state_dict(), before)
        assert info(network).receipt is None
        assert load_weights(network, path, minimum_share=0.09).share == 6 / 63

    def test_nothing_in_common_is_refused_whatever_the_share(self, saved):
        with pytest.raises(WeightsError, match="would load 0 of 9 tensors"):
            load_weights(small(), saved({"strange": torch.ones(1)}), minimum_share=0)

    @pytest.mark.parametrize(
        ("donor", "name"),
        [
            ("resnet50", "vgg16"),
            ("vgg19", "vgg16"),
            ("resnet34", "resnet18"),
            ("resnet18", "resnet34"),
            ("resnet101", "resnet50"),
        ],
    )
    def test_the_file_of_another_network(self, saved, donor, name):
        with torch.device("meta"):
            shapes = get_model(donor, init_weights=False) if "vgg" in donor else get_model(donor)
        # One number each, seen as many times as it takes: a small file of the right shapes.
        state = {
            key: torch.zeros((), dtype=t.dtype).expand(t.shape)
            for key, t in shapes.state_dict().items()
        }
        network = build(name, weights="none", device="meta")
        with pytest.raises(
            WeightsError,
            match=rf"does not fit .*: it would load .*as many parameters as {donor}[,.]",
        ):
            load_weights(network, saved(state))

    def test_more_layers_than_a_network_from_elsewhere_has_are_told(self, saved):
        network = get_model("resnet18")
        receipt = load_weights(network, saved(get_model("resnet34").state_dict()))
        assert receipt.notes[0].startswith(
            "96 tensors of the file, such as layer1.2.conv1.weight, are of layers that this "
            "network does not have. The file has as many parameters as resnet34"
        )

    def test_whatever_fits_is_taken_if_that_is_asked_for(self, saved):
        network = build("resnet34", weights="none", device="meta")
        path = saved(get_model("resnet18").state_dict())
        with pytest.raises(WeightsError, match=r"96 tensors, such as layer1.2.conv1.weight, tell"):
            load_weights(network, path)
        assert load_weights(network, path, minimum_share=0).counts()["missing"] == 96

    @pytest.mark.parametrize("share", [-0.1, 1.1])
    def test_a_share_that_is_none(self, saved, share):
        with pytest.raises(ConfigError, match=r"minimum_share is .*It must be from 0 to 1"):
            load_weights(small(), saved(small().state_dict()), minimum_share=share)

    def test_no_file_is_unpickled(self, tmp_path):
        class Runs:
            def __reduce__(self):
                return open, (str(tmp_path / "it ran"), "w")

        (tmp_path / "net.pth").write_bytes(pickle.dumps(Runs()))
        with pytest.raises(WeightsError, match="not loaded: it is a pickle"):
            load_weights(small(), tmp_path / "net.pth")
        assert not (tmp_path / "it ran").exists()

    @pytest.mark.filterwarnings("ignore:Validating sparse tensor")
    def test_tensors_without_plain_numbers(self, saved):
        sparse = torch.ones(2, 2).to_sparse()
        with pytest.raises(WeightsError, match="does not hold plain numbers: 'w' is sparse"):
            load_weights(small(), saved({"w": sparse}))
        with pytest.raises(WeightsError, match=r"'w' is empty.*Save the state dict"):
            load_weights(small(), saved({"w": torch.ones(2, device="meta")}))

    def test_names_of_weights_need_an_architecture(self):
        with pytest.raises(
            WeightsError, match=r"'imagenet' for this Sequential, which.*budwood.build\(\), or give"
        ):
            load_weights(small(), "imagenet")

    def test_random_weights_are_nothing_to_load(self):
        with pytest.raises(WeightsError, match="'none' are random: there is nothing to load"):
            load_weights(build("resnet18", weights="none", device="meta"), "none")

    def test_unknown_names_of_weights(self):
        with pytest.raises(WeightsError, match="Did you mean 'IMAGENET1K_V1'"):
            load_weights(build("resnet18", weights="none", device="meta"), "imagenet1k-v1")


class TestHeadsByName:
    """Rows of the head go where their class is."""

    @pytest.mark.parametrize("where", ["classes", "class_names", "class_to_idx", "beside"])
    def test_in_another_order(self, saved, tmp_path, where):
        donor, network = small(3), named(NAMES)
        turned = NAMES[::-1]
        content = {"state_dict": donor.state_dict()}
        if where == "beside":
            (tmp_path / "classes.txt").write_text("\n".join(turned))
        elif where == "class_to_idx":
            content[where] = {name: row for row, name in enumerate(turned)}
        else:
            content[where] = list(turned)
        receipt = load_weights(network, saved(content))
        assert torch.equal(network[2].weight, donor[2].weight.flip(0))
        assert torch.equal(network[2].bias, donor[2].bias.flip(0))
        assert by_status(receipt)["by name"] == ["2.weight", "2.bias"]
        assert "3 of 3 rows by name: cat, dog, emu" in receipt.summary
        assert (receipt.is_full, receipt.share) == (True, 1.0)

    def test_some_classes_are_new(self, saved):
        donor, network = small(3).half(), named(("emu", "owl", "cat", "fox"))
        before = values(network)
        receipt = load_weights(network, saved({"model": donor.state_dict(), "classes": NAMES}))
        assert torch.equal(network[2].weight[[0, 2]], donor[2].weight[[2, 0]].float())
        assert torch.equal(network[2].weight[[1, 3]], before["2.weight"][[1, 3]])
        assert str(receipt.having("by name")[0]) == "2.weight 2 of 4 rows by name: emu, cat"
        assert not receipt.is_full
        assert receipt.share == (24 + 6 + 12 + 12 + 2) / (24 + 6 + 12 + 24 + 4)

    def test_the_same_names_in_the_same_order_are_just_loaded(self, saved):
        receipt = load_weights(
            named(NAMES), saved({"model": small(3).state_dict(), "classes": NAMES})
        )
        assert by_status(receipt).keys() == {"loaded"}

    def test_no_name_in_common_leaves_the_head_alone(self, saved):
        network = named(NAMES)
        before = values(network)
        content = {"model": small(3).state_dict(), "classes": ["a", "b", "c"]}
        receipt = load_weights(network, saved(content))
        assert by_status(receipt)["other classes"] == ["2.weight", "2.bias"]
        assert "the file's are a, b, c; here cat, dog, emu" in receipt.table()
        assert torch.equal(network[2].weight, before["2.weight"])

    def test_a_name_that_a_file_has_twice_says_nothing(self, saved):
        content = {"model": small(3).state_dict(), "classes": ["cat", "dog", "cat"]}
        receipt = load_weights(named(NAMES), saved(content))
        assert receipt.having("by name")[0].rows == (1, 3)

    def test_names_for_another_number_of_rows_are_not_used(self, saved, tmp_path):
        (tmp_path / "class_indices.json").write_text(json.dumps({"0": "cat", "1": "dog"}))
        receipt = load_weights(named(NAMES), saved(small(3).state_dict()))
        assert receipt.is_full
        assert receipt.notes == (
            "The names of 2 classes do not belong to a head of 3 rows: no row is carried over by "
            "name.",
        )

    def test_a_file_without_names_is_taken_in_order_and_it_is_said(self, saved):
        receipt = load_weights(named(NAMES), saved(small(3).state_dict()))
        assert receipt.is_full
        assert receipt.notes == (
            "The file does not name its classes: the rows of the head are taken in order.",
        )

    def test_where_the_network_has_no_names_those_of_the_file_are_not_even_read(
        self, saved, tmp_path
    ):
        (tmp_path / "class_indices.json").write_text("{")
        assert load_weights(small(3), saved(small(3).state_dict())).is_full

    def test_the_last_layer_of_a_deeper_head_goes_by_name(self, saved):
        donor, network = (
            build("lenet5", weights="none", classes=names, head="mlp:8", seed=seed)
            for seed, names in enumerate((NAMES, ("emu", "cat")))
        )
        path = saved({"model": donor.state_dict(), "classes": NAMES})
        receipt = load_weights(network, path)
        last = receipt.having("by name")[0].name
        ours, theirs = network.state_dict()[last], donor.state_dict()[last]
        assert torch.equal(ours, theirs[[2, 0]])
        assert receipt.is_full


class TestCapsules:
    """A capsule of `budwood train`, or the folder it lies in, is a file of weights, too."""

    @pytest.fixture
    def capsule(self, tmp_path):
        donor = build("resnet18", weights="none", classes=NAMES, seed=1)
        usual = preprocessing_of(donor)
        capsule = Capsule(
            origin=info(donor).origin,
            preprocessing=Preprocessing(
                size=usual.size, resize=300, mean=(0.5,) * 3, std=(0.5,) * 3
            ),
            classes=NAMES,
            state=donor.state_dict(),
            trainable=(),
            precision="fp32",
            golden=(),
        )
        write_capsule(tmp_path / "run" / "model.safetensors", capsule)
        return donor, tmp_path / "run"

    def test_the_format_is_the_capsules(self):
        assert FORMAT == "budwood-capsule-1"

    def test_its_rows_go_by_name_and_its_preprocessing_is_taken_over(self, capsule):
        donor, folder = capsule
        network = build("resnet18", weights="none", classes=("emu", "owl"))
        receipt = load_weights(network, folder)
        assert torch.equal(network.fc.weight[0], donor.fc.weight[2])
        assert receipt.having("by name")[0].rows == (1, 2)
        assert preprocessing_of(network).resize == 300
        assert "Photos are prepared as these weights need it" in receipt.notes[0]
        assert info(network).origin.weights == "file:run"

    def test_build_takes_it_with_its_head(self, capsule):
        donor, folder = capsule
        for path in (folder, folder / "model.safetensors"):
            network = build("resnet18", weights=path)
            assert same(network.state_dict(), donor.state_dict())
            assert info(network).receipt.is_full
            assert preprocessing_of(network).resize == 300

    def test_of_another_network_it_is_named(self, capsule):
        with pytest.raises(WeightsError, match=r"The file is a capsule of torchvision/resnet18\."):
            build("vgg11", weights=capsule[1])

    def test_a_damaged_one_is_named(self, tmp_path):
        path = tmp_path / "model.safetensors"
        save_file({"network.w": torch.ones(1)}, path, metadata={"format": FORMAT})
        with pytest.raises(WeightsError, match=r"model.safetensors is damaged, cut short"):
            load_weights(small(), path)


def randomise(network: nn.Module) -> nn.Module:
    """Values that show a wrong order; as torch.randn, but in a fraction of its time."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.ndim > 1:
                bound = (3 / tensor[0].numel()) ** 0.5
                tensor.uniform_(-bound, bound)
            elif name.endswith((".running_var", ".weight")):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith((".running_mean", ".bias")):
                tensor.uniform_(-0.1, 0.1)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "file", "size"),
    [
        ("vgg16", "vgg16-397923af.pth", 32),
        ("resnet50", "resnet50-0676ba61.pth", 64),
        ("efficientnet_b7", "efficientnet_b7_lukemelas-c5b4e57e.pth", 64),
        ("inception_v3", "inception_v3_google-0cc3c7bd.pth", 96),
        ("densenet121", "densenet121-a639ec97.pth", 64),
    ],
)
def test_what_torchvision_publishes_answers_as_in_torchvision(saved, name, file, size):
    torch.manual_seed(0)
    with torch.device("meta"):
        of_inception = {"transform_input": True, "init_weights": False}
        options = of_inception if name == "inception_v3" else {}
        donor = get_model(name, **options).to_empty(device="cpu")
    network = build(name, weights="none", aux_heads="inception" in name, device="meta")
    state = randomise(donor).state_dict()
    if name.startswith("densenet"):  # as its published file has it
        state = {_with_dots(key): tensor for key, tensor in state.items()}
    receipt = load_weights(network.to_empty(device="cpu"), saved(state, file))
    assert (receipt.is_full, receipt.share) == (True, 1.0)
    assert not receipt.having("unexpected")
    with torch.no_grad():
        images = torch.randn(1, 3, size, size)
        expected = donor(images)
        assert expected.std() > 0
        assert torch.equal(network(images), expected)


def _with_dots(key: str) -> str:
    for part in ("norm1", "norm2", "conv1", "conv2"):
        if "denselayer" in key:
            key = key.replace(part, f"{part[:-1]}.{part[-1]}")
    return key


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """GoogLeNet as torchvision publishes it, with auxiliary heads, and its file."""
    torch.manual_seed(0)
    donor = randomise(googlenet(init_weights=False, transform_input=True))
    path = tmp_path_factory.mktemp("googlenet") / "googlenet-1378be20.pth"
    torch.save(donor.state_dict(), path)
    return donor, path


class TestGoogLeNet:
    """Its auxiliary heads, its rescaled input, and the course's example 5.3."""

    def test_five_classes_and_a_file_of_a_thousand_need_no_list(self, published):
        donor, path = published
        network = googlenet(num_classes=5, init_weights=False)
        receipt = load_weights(network, path)
        heads = {
            f"{layer}.{kind}"
            for layer in ("aux1.fc2", "aux2.fc2", "fc")
            for kind in ("weight", "bias")
        }
        assert {line.name for line in receipt.having("shape differs")} == heads
        assert receipt.counts()["loaded"] == len(receipt.lines) - len(heads)
        assert network.transform_input
        assert receipt.notes == (
            "GoogLeNet.transform_input is now True, as its published weights need it.",
        )
        network.fc = donor.fc
        with torch.no_grad():
            images = torch.randn(1, 3, 64, 64)
            assert torch.equal(network.eval()(images), donor(images))

    def test_auxiliary_heads_that_the_network_lacks_are_unexpected_and_said_once(self, published):
        donor, path = published
        network = build("googlenet", weights="none")
        receipt = load_weights(network, path)
        assert receipt.is_full
        left = [name for name in donor.state_dict() if name.startswith("aux")]
        assert [line.name for line in receipt.having("unexpected")] == left
        assert receipt.notes == (
            "The file's auxiliary heads (aux1, aux2) are left out: this network has none.",
        )
        with torch.no_grad():
            images = torch.randn(1, 3, 64, 64)
            assert torch.equal(network(images), donor(images))


def test_timms_networks_know_timms_layouts_by_themselves(saved):
    donor = timm.create_model("test_vit")
    state = donor.state_dict()
    grown = timm.create_model("test_vit", img_size=320)
    receipt = load_weights(grown, saved(state))
    line = next(each for each in receipt.lines if each.name == "pos_embed")
    assert (line.status, line.note) == ("loaded", "converted")
    assert receipt.is_full
