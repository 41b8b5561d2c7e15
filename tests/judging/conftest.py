"""Features of photos, drawn."""

import pytest
import torch


@pytest.fixture
def clusters():
    """`clusters(n, d, k)`: features and labels, the same for the same seed."""

    def make(n: int = 60, d: int = 8, k: int = 3, seed: int = 0, spread: float = 0.3):
        random = torch.Generator().manual_seed(seed)
        centres = 2 * torch.randn(k, d, generator=random)
        labels = torch.arange(n) % k
        return centres[labels] + spread * torch.randn(n, d, generator=random), labels

    return make
