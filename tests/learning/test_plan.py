"""The plan of a network: which linear head is solved, what is stored, and when it is stale."""

import pytest
import torch
from torch import nn

import budwood as bw
from budwood.features.engines import EngineSpec
from budwood.features.gathering import Extraction
from budwood.images.preprocessing import Preprocessing
from budwood.learning.plan import Plan
from budwood.learning.probe import probed_layer
from budwood.models.heads import head_names
from budwood.models.info import info, set_info
from budwood.models.prepared import normalise
from budwood.reporter import Reporter
from budwood.surgery.cutting import cut


def headed(name, size=64, **options):
    """A network of random weights, all frozen but its head, for small photos."""
    network = bw.build(name, weights="none", classes=3, **options)
    set_info(network, preprocessing=info(network).preprocessing.at_size(size))
    return bw.unfreeze(bw.freeze(network, "*"), *head_names(network))


def solved(network):
    parts = cut(network.eval())
    return probed_layer(parts.graft, [tensor.shape for tensor in parts.frontier])


def plan_of(network, *, logistic=True, notes=None, device="cpu"):
    notes = [] if notes is None else notes
    return Plan(
        network,
        info(network).preprocessing,
        Extraction(precision="fp32", device=device),
        logistic=logistic,
        reporter=Reporter(note=notes.append),
    )


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("resnet18", "fc", 64),
        ("efficientnet_b0", "classifier.1", 64),
        ("vgg11", "classifier.6", 224),
        ("googlenet", "fc", 64),
        ("timm/test_convnext", "head.fc", 160),
        ("timm/test_vit", "head", 160),
        ("timm/test_efficientnet", "classifier", 160),
    ],
)
def test_a_linear_head_is_found_and_solved(name, layer, size):
    network = headed(name, size)
    assert solved(network) is network.get_submodule(layer)


@pytest.mark.parametrize(
    ("name", "options", "patterns"),
    [
        ("resnet18", {"head": "mlp:8"}, []),
        ("squeezenet1_1", {}, []),
        ("resnet18", {}, ["layer4.1.*"]),
        ("vgg11", {}, ["classifier.3"]),
    ],
)
def test_every_other_graft_is_trained(name, options, patterns):
    network = headed(name, 224 if name == "vgg11" else 64, **options)
    assert solved(bw.unfreeze(network, *patterns)) is None


def small(*behind):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2), *behind)
    set_info(
        network, preprocessing=Preprocessing(size=(8, 8), resize=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    )
    return bw.unfreeze(bw.freeze(network, "*"), "2")


def test_a_layer_that_something_follows_is_trained():
    assert solved(small(nn.ReLU())) is None
    assert solved(small(nn.Softmax(1))) is None


def test_dropout_behind_the_layer_is_none_of_its_business():
    network = small(nn.Dropout())
    assert solved(network) is network[2]


def test_a_layer_without_bias_is_solved():
    network = small()
    network[2] = nn.Linear(4 * 36, 2, bias=False)
    assert solved(network) is network[2]


@pytest.mark.parametrize("part", ["2.weight", "2.bias"])
def test_a_layer_that_is_partly_frozen_is_trained(part):
    assert solved(bw.freeze(small(), part)) is None


def test_a_layer_that_computes_something_else_is_trained():
    class Cosine(nn.Linear):
        def forward(self, x):
            return super().forward(nn.functional.normalize(x))

    network = small()
    network[2] = Cosine(4 * 36, 2)
    assert solved(network) is None


def test_the_networks_own_parts_are_trained_in_eval_mode_only_if_it_is_solved():
    assert plan_of(small()).layer is not None
    plan = plan_of(small(), logistic=False)
    assert plan.layer is None
    assert [type(m).__name__ for m in plan.grafts.training.modules() if not list(m.children())] == [
        "Linear"
    ]


def test_a_plan_changes_no_tensor_of_the_network():
    network = bw.unfreeze(headed("resnet18"), "layer4")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    plan_of(network, logistic=False)
    changed = [n for n, t in network.state_dict().items() if not torch.equal(t, before[n])]
    assert changed == []


def test_a_plan_leaves_the_network_in_eval_mode():
    network = headed("googlenet", aux_heads=True).train()
    plan_of(network, logistic=False)
    assert not any(module.training for module in network.modules())


def test_one_trunk_serves_both_modes_of_googlenet(images, torch_engine):
    plan = plan_of(headed("googlenet", 112, aux_heads=True), logistic=False)
    paths = images(3)
    training, judging = plan.training_rows(paths), plan.judging_rows(paths)
    assert len(training.rows.take([0])) == 3
    assert [tuple(t.shape) for t in judging.rows.take([0, 2])] == [(2, 1024)]
    assert (judging.hits, judging.misses) == (3, 0)
    assert plan.logits(judging).shape == (3, 3)


def test_the_logits_are_those_of_the_whole_network(images, torch_engine):
    network = headed("resnet18")
    plan = plan_of(network)
    gathered = plan.judging_rows(images(3))
    pixels = torch.stack(
        [torch.from_numpy(info(network).preprocessing.pixels(p.read_bytes())) for p in images(3)]
    )
    with torch.no_grad():
        whole = network(normalise(pixels, info(network).preprocessing))
    torch.testing.assert_close(plan.logits(gathered), whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plan.answers_exactly(pixels.numpy()), whole, rtol=1e-4, atol=1e-5)
    exact = plan.answers(pixels.numpy(), EngineSpec("torch", "fp32"))
    torch.testing.assert_close(exact, whole, rtol=1e-4, atol=1e-5)


def test_the_solved_layers_features_are_its_inputs(images, torch_engine):
    network = headed("efficientnet_b0")
    plan = plan_of(network)
    gathered = plan.judging_rows(images(3))
    (features,) = plan.features(gathered).take(range(3))
    assert features.shape == (3, 1280)
    assert not features.is_inference()
    torch.testing.assert_close(network.classifier[1](features), plan.logits(gathered))


EDITS = {
    "another head": lambda n: bw.replace_head(n, 5),
    "unfreezing": lambda n: bw.unfreeze(n, "layer4.1.conv2"),
    "freezing": lambda n: bw.freeze(n, "fc.bias"),
    "other frozen weights": lambda n: n.load_state_dict(
        {k: v * 2 for k, v in n.state_dict().items()}
    ),
    "normalisation that trains": lambda n: bw.unfreeze(n, "bn1"),
    "another preprocessing": lambda n: set_info(n, preprocessing=info(n).preprocessing.at_size(32)),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_network_needs_another_plan(edit):
    network = headed("resnet18")
    plan = plan_of(network)
    assert plan.is_current()
    EDITS[edit](network)
    assert not plan.is_current()


def test_training_what_trains_keeps_the_plan():
    network = headed("resnet18")
    plan = plan_of(network)
    with torch.no_grad():
        network.fc.weight.zero_()
    network.train().eval()
    assert plan.is_current()


def test_photos_can_be_compared_by_what_a_frozen_layer_made_of_them():
    assert plan_of(headed("resnet18")).has_features
    network = bw.unfreeze(headed("resnet18"), "*")
    assert not plan_of(network, logistic=False).has_features


@pytest.mark.parametrize(("logistic", "count"), [(True, 0), (False, 1)])
def test_what_trains_on_the_processor_beside_a_gpu_is_said(logistic, count, monkeypatch):
    specs = [EngineSpec("torch", "fp32", "cuda")]
    monkeypatch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: specs)
    notes = []
    plan_of(headed("timm/test_resnet"), logistic=logistic, notes=notes, device="cuda")
    said = "Only what is frozen runs on cuda; what trains runs on the processor."
    assert notes.count(said) == count
