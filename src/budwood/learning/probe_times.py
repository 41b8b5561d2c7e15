"""What solving a linear head takes on this machine, from one pass over noise."""

import time
from collections.abc import Callable

import torch

from budwood.learning.penalties import HELD_OUT

ROWS = 2048
"""Rows of noise; passes over more take so many times as long."""
WIDEST = 1024
"""Features of which the axes are found; of more it takes the cube of the ratio."""
PASSES = 150
"""Passes over the rows until penalty and optimum are found: a typical number."""
FOLDS = 5


def probe_seconds(photos: int, width: int, classes: int) -> float:
    """Seconds that `fit_probe` takes for so many photos of so many features and classes."""
    m = min(photos, width)
    rows, folds = min(photos, ROWS), min(FOLDS, max(1, -(-HELD_OUT * FOLDS // photos)))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, m, generator=generator)
    w = torch.randn(folds * classes, m, generator=generator)
    narrow = x[:, :WIDEST]
    _pass(x, w)
    one = _seconds(lambda: _pass(x, w)) * photos / rows
    axes = _seconds(lambda: torch.linalg.eigh(narrow.T @ narrow)) * (m / narrow.shape[1]) ** 3
    return PASSES * one + axes


def _pass(x: torch.Tensor, w: torch.Tensor) -> None:
    log_p = (w @ x.T).log_softmax(0)
    log_p.exp_() @ x


def _seconds(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started
