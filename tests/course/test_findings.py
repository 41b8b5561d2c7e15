"""The finding of the lesson on degradation says what the figures say, whatever they are."""

import pytest
import torch

from budwood.course.degradation import NETWORKS, Degradation, TrainedNetwork
from budwood.learning.training import Training, batches


def result_of(*losses, images=33):
    """A result with these losses in the order of the networks."""
    networks = tuple(
        TrainedNetwork(name, *NETWORKS[name], 1, ({"epoch": 1, "loss": loss},), 0.1, 1.0)
        for name, loss in zip(NETWORKS, losses, strict=True)
    )
    return Degradation("x", ("a", "b"), images, Training(batch_size=16), networks, None)


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ((0.4, 1.8, 0.14, 0.11), "harms the plain network and not the one with shortcuts"),
        ((0.4, 1.8, 0.14, 0.18), "harms the plain network and not the one with shortcuts"),
        ((0.4, 1.8, 0.14, 0.54), "harms both, and the one with shortcuts less"),
        ((0.4, 0.5, 0.1, 0.9), "harms both, and the shortcuts are no help here"),
        ((0.4, 0.3, 0.1, 0.9), "no degradation shows here"),
    ],
)
def test_the_finding_follows_from_the_figures(losses, said):
    finding = result_of(*losses).finding
    assert said in finding
    assert all(f"{loss:.2f}" in finding for loss in losses)


@pytest.mark.parametrize("images", [2, 16, 17, 33, 500])
def test_steps_are_those_of_the_training_loop(images):
    result = result_of(1, 1, 1, 1, images=images)
    assert result.steps == 30 * len(list(batches(images, 16, torch.Generator())))


def test_chance_is_the_loss_of_equal_probabilities():
    assert result_of(1, 1, 1, 1).chance == pytest.approx(0.6931, abs=1e-4)
