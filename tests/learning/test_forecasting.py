"""Forecasts: what they say of photos and networks, and what their figures follow from."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from budwood.errors import CutError, ImageError, UnknownName
from budwood.learning import forecasting
from budwood.learning.forecasting import (
    StepTimes,
    TimeForecast,
    forecasts,
    probe_seconds,
    step_times,
)
from budwood.surgery.cutting import FrontierTensor


@pytest.fixture
def images(tmp_path):
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i:02}.png")
    return sorted(tmp_path.iterdir())


def test_three_ways_of_training_are_forecast(images):
    found, times, seconds = forecasts("resnet20_cifar", 3, images, 5)
    assert [one.trains for one in found] == ["head", "last stage", "whole network"]
    head, last, whole = found
    assert head.parameters < last.parameters < whole.parameters
    assert (head.unfreeze, whole.unfreeze) == ((), ("*",))
    assert last.unfreeze
    assert whole.stored_bytes == 25 * 32 * 32 * 3 * 4
    assert times.unreadable == {}
    assert all(one.seconds > 0 and one.memory_bytes > 0 for one in found)
    assert seconds > 0


def test_a_network_of_few_layers_is_forecast(images):
    found, _, _ = forecasts("lenet5", 2, images, 0)
    assert found[2].parameters > found[0].parameters


def test_a_network_without_stages_has_no_last_stage(images, monkeypatch):
    def stages_of(*given):
        raise CutError("The stages of this network cannot be found.")

    monkeypatch.setattr(forecasting, "stages_of", stages_of)
    found, _, _ = forecasts("lenet5", 2, images, 0)
    assert [one.trains for one in found] == ["head", "whole network"]


def test_broken_photos_of_the_sample_are_named(images):
    images[3].write_bytes(b"no photo")
    _, times, _ = forecasts("lenet5", 2, images, 0)
    assert list(times.unreadable) == [images[3]]
    for path in images:
        path.write_bytes(b"no photo")
    with pytest.raises(ImageError, match=r"None of 8 photos can be read.*Copy the photos again"):
        forecasts("lenet5", 2, images, 0)


def test_an_unknown_network_is_an_error(images):
    with pytest.raises(UnknownName, match="resnet81"):
        forecasts("resnet81", 2, images, 0)


def test_what_a_process_takes_is_added():
    one = TimeForecast("head", (), 10, 5.0, 100, 7).after(2.0)
    assert (one.seconds, one.memory_bytes, one.stored_bytes) == (7.0, 100, 7)


def test_training_takes_its_photos_and_its_steps():
    times = StepTimes(
        image=0.5, step=2.0, forward=0.1, kept=0, alive=0, parameters=0, measuring=0.0
    )
    assert times.training(images=65, epochs=3, batch=32) == 3 * (65 * 0.5 + 3 * 2.0)


class Graft(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(8), nn.Linear(8, 2)

    def forward(self, frontier):
        return self.last(self.norm(frontier[0]).relu())


def test_a_step_keeps_what_the_way_back_needs():
    frontier = [FrontierTensor("x", (8,), torch.float32)]
    times = step_times(Graft().train(), frontier, 2, 32, 0.2)
    # Of 8 floats a photo: what goes into the normalisation, and what comes out of the ReLU. The
    # statistics of the batch, log-probabilities and labels come on top.
    assert 64 <= times.kept <= 200
    assert times.alive == 2 * 8 * 4
    assert times.parameters == 4 * (8 + 8 + 16 + 2)
    assert min(times.image, times.step, times.forward) > 0


def test_more_photos_take_longer():
    assert probe_seconds(100_000, 64, 5) > probe_seconds(5_000, 64, 5)
