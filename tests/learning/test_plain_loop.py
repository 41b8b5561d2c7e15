"""Training from the store equals the loop that everybody writes, which runs the whole network.

In fp32 torch, with the same seed: the same losses over three epochs and the same weights after.
"""

import shutil

import pytest
import torch

import budwood as bw
from budwood.data.splits import Split
from budwood.features.gathering import Extraction
from budwood.learning.training import Training, batches, total_loss
from budwood.models.info import info, set_info
from budwood.models.prepared import normalise
from budwood.reporter import Reporter

ADAMW = Training(epochs=3, lr=0.002, batch_size=5, seed=3)
# The rows come from batches of another size, which rounds otherwise. AdamW makes a whole step of
# a gradient that is nothing but rounding; behind batch normalisation there are many such.
SGD = Training(epochs=3, lr=0.01, batch_size=5, seed=3, optimizer="sgd")


def optimizer_of(config, parameters):
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, 0.01, momentum=0.9, weight_decay=0.01)
    return torch.optim.AdamW(parameters, 0.002, weight_decay=0.01)


def plain_loop(network, set_modes, config, paths, labels):
    """Mean loss of each epoch: every photo through the whole network in every step."""
    pixels = [info(network).preprocessing.pixels(path.read_bytes()) for path in paths]
    images = normalise(
        torch.stack([torch.from_numpy(p) for p in pixels]), info(network).preprocessing
    )
    labels = torch.tensor(labels)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = optimizer_of(config, parameters)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    order = torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    losses = []
    for _ in range(3):
        set_modes(network)
        total = 0.0
        for batch in batches(len(images), 5, order):
            loss = total_loss(network(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        schedule.step()
        losses.append(total / len(images))
    network.eval()
    return losses


def only(*trained):
    """All in eval mode but these."""

    def set_modes(network):
        network.eval()
        for name in trained:
            network.get_submodule(name).train()

    return set_modes


def all_but_normalisation(network):
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.Module.eval(module)
            module.training = False


def small(name, size, *trained, **options):
    network = bw.build(name, classes=["a", "b", "c"], **options)
    set_info(network, preprocessing=info(network).preprocessing.at_size(size))
    return bw.unfreeze(bw.freeze(network, "*"), *trained)


CASES = {
    "a head of two layers, packaged weights": (
        lambda: small("efficientnet_lite0", 96, "classifier", head="mlp:16"),
        only("classifier"),
        ADAMW,
    ),
    "a head of two layers": (
        lambda: small("resnet18", 64, "fc", weights="none", head="mlp:16"),
        only("fc"),
        ADAMW,
    ),
    "an unfrozen block with batch normalisation": (
        lambda: small("resnet18", 96, "layer4", "fc", weights="none"),
        only("layer4", "fc"),
        SGD,
    ),
    "auxiliary heads": (
        lambda: small(
            "googlenet", 112, "fc", "aux?.fc2", weights="none", aux_heads=True
        ),
        all_but_normalisation,
        ADAMW,
    ),
    "the last block of packaged weights": (
        lambda: small("efficientnet_lite0", 96, "blocks.6", "conv_head", "bn2", "classifier"),
        only("blocks.6", "conv_head", "bn2", "classifier"),
        SGD,
    ),
}  # fmt: skip


SHORT = "an unfrozen block with batch normalisation"
"""The case that `make test` runs."""


@pytest.mark.parametrize(
    "case", [SHORT, *(pytest.param(c, marks=pytest.mark.slow) for c in CASES if c != SHORT)]
)
def test_losses_and_weights_are_those_of_the_plain_loop(case, images, torch_engine):
    make, set_modes, config = CASES[case]
    paths, labels = images(11), [i % 3 for i in range(11)]
    split = Split("train", tuple(paths), tuple(labels), ("a", "b", "c"))
    model = bw.Classifier(make(), training=config, extraction=Extraction(precision="fp32"))
    model.fit(split)
    plain = make()
    losses = plain_loop(plain, set_modes, config, paths, labels)
    assert [row["loss"] for row in model.fit_.history] == pytest.approx(losses, rel=1e-5)
    theirs = plain.state_dict()
    for name, tensor in model.network_.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize(("in_memory", "note"), [(2**30, "nothing is stored"), (1, "uncached")])
def test_rows_that_are_not_stored_give_the_same_losses(
    in_memory, note, images, torch_engine, monkeypatch, budwood_home
):
    make, _, config = CASES[SHORT]
    split = Split("train", tuple(images(7)), (0, 1, 2, 0, 1, 2, 0), ("a", "b", "c"))
    stored = bw.Classifier(make(), training=config).fit(split).fit_.history
    shutil.rmtree(budwood_home)
    monkeypatch.setattr("budwood.features.store.IN_MEMORY", in_memory)
    notes = []
    other = bw.Classifier(
        make(),
        training=config,
        extraction=Extraction(store_limit=0),
        reporter=Reporter(note=notes.append),
    )
    other.fit(split)
    assert any(note in text for text in notes)
    losses = [row["loss"] for row in other.fit_.history]
    assert losses == pytest.approx([row["loss"] for row in stored], rel=1e-5)
