"""Times up to each output of a trunk: shares that add up, kept beside the trunk."""

import pytest
import torch
from torch import fx, nn

from budwood.evaluation.staged_networks import keep_times, kept_times, shares
from budwood.features.trunks import trunks_folder


class Three(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.heavy = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 64, 9, padding=4)

    def forward(self, x):
        first = self.first(x)
        second = self.heavy(first)
        return first.mean((2, 3)), second.mean((2, 3)), x.mean((2, 3))


def test_a_share_counts_all_that_an_output_needs():
    first, second, image = shares(fx.symbolic_trace(Three().eval()), torch.zeros(1, 3, 64, 64))
    assert 0 < image < 1
    assert 0 < first < second < 1


def test_times_are_kept_beside_a_kept_trunk_for_each_engine():
    keep_times("abc", "openvino", (1.0, 2.0))
    assert kept_times("abc", "openvino") is None
    (trunks_folder() / "abc").mkdir(parents=True)
    keep_times("abc", "openvino", (1.0, 2.0))
    assert kept_times("abc", "openvino") == (1.0, 2.0)
    assert kept_times("abc", "another") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"openvino": 3}', '{"openvino": ["x"]}'])
def test_what_cannot_be_read_is_measured_again(text):
    (trunks_folder() / "abc").mkdir(parents=True)
    (trunks_folder() / "abc" / "stage-times.json").write_text(text)
    assert kept_times("abc", "openvino") is None
