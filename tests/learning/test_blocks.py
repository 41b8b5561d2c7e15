"""Rows that are streamed give the solution that rows in memory give."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from budwood.learning import probe
from budwood.learning import streaming as blocks
from budwood.learning.probe import Probe, fit_probe
from budwood.learning.streaming import FeatureRows, spans, standardised


@given(n=st.integers(0, 50), size=st.integers(1, 60))
def test_blocks_are_a_partition(n, size):
    assert [i for part in spans(n, size) for i in range(n)[part]] == list(range(n))
    assert all(0 < part.stop - part.start <= size for part in spans(n, size))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    n=st.integers(2, 40),
    size=st.integers(1, 50),
    far=st.sampled_from([0.0, 3.0, 1e4]),
)
def test_standardised_rows_have_mean_zero_and_deviation_one(seed, n, size, far):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=random) * torch.tensor([0.5, 1, 2, 9]) + far
    parts = standardised(FeatureRows(x), True, size)
    torch.testing.assert_close(parts.centre, x.double().mean(0))
    torch.testing.assert_close(parts.scale, x.double().std(0, correction=0))
    for dtype in (torch.float32, torch.float64):
        z = torch.cat([block for _, block in parts.each(dtype)])
        exact = (x.double() - parts.centre) / parts.scale
        torch.testing.assert_close(z.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.fixture
def streamed(monkeypatch):
    """Nothing is kept, and a block has five rows of eight features."""
    monkeypatch.setattr(blocks, "KEPT_BYTES", 0)
    monkeypatch.setattr(probe, "BLOCK_BYTES", 5 * 8 * 4)


@pytest.mark.parametrize("l2_strength", [None, 3.0])
@pytest.mark.parametrize("n", [60, 7])
def test_a_streamed_solution_is_that_of_rows_in_memory(l2_strength, n, rows, clusters, request):
    x, y = clusters(n, 8, 3, spread=2.0)
    kept = fit_probe(x, y, 3, Probe(l2_strength=l2_strength))
    request.getfixturevalue("streamed")
    streamed = fit_probe(rows(x), y, 3, Probe(l2_strength=l2_strength))
    assert streamed.l2_strength == kept.l2_strength
    torch.testing.assert_close(streamed.weight, kept.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(streamed.bias, kept.bias, rtol=1e-4, atol=1e-5)
    assert streamed.loss == pytest.approx(kept.loss, rel=1e-5)


def test_rows_are_never_asked_for_all_at_once(rows, clusters, streamed):
    x, y = clusters(60, 8, 3, spread=2.0)
    asked = []

    class Watched(rows):
        def take(self, positions):
            asked.append(len(positions))
            return super().take(positions)

    fit_probe(Watched(x), y, 3)
    assert max(asked) == 5


def test_side_by_side_rows_of_a_tensor_are_not_copied():
    x = torch.arange(12.0).view(6, 2)
    rows = FeatureRows(x)
    (near,), (far,) = rows.take(range(1, 3)), rows.take([4, 0])
    assert near.data_ptr() == x[1].data_ptr()
    assert torch.equal(near, x[1:3])
    assert torch.equal(far, x[[4, 0]])
