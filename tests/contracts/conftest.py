"""The cut's law as a check that any test can put a network to."""

import pytest
import torch
from torch import Tensor

from budwood.surgery.cutting import cut


def tensors(output) -> list[Tensor]:
    """A network's output, one tensor or several, as a list."""
    parts = [output] if isinstance(output, Tensor) else list(output)
    return [part for part in parts if part is not None]


def restore(network, buffers):
    for name, buffer in network.named_buffers():
        buffer.copy_(buffers[name])


def backward(network, outputs, directions):
    """The gradient of every trainable parameter for a given gradient of the outputs."""
    network.zero_grad()
    pairs = zip(outputs, directions, strict=True)
    torch.autograd.backward(*zip(*(pair for pair in pairs if pair[0].requires_grad), strict=True))
    return {
        name: None if p.grad is None else p.grad.clone()
        for name, p in network.named_parameters()
        if p.requires_grad
    }


def assert_same(ours, theirs, what):
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert torch.equal(a, b), f"{what} {i} differs by {(a - b).abs().max()}"


def assert_law_holds(network, x):
    """`graft(trunk(x)) == network(x)`, forward and gradients, bit for bit, in both modes.

    Two epochs run on the same rows, which must stay as they are. Returns the cut in train mode.
    """
    network.eval()
    judged = cut(network, x[:1])
    with torch.no_grad():
        assert_same(
            tensors(judged.graft(judged.trunk(x))), tensors(network(x)), "output in eval mode"
        )
    network.train()
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    split = cut(network, x[:1])
    assert_same(network.buffers(), buffers.values(), "buffer after cutting")
    for path in split.silenced:
        network.get_submodule(path).training = False
    torch.manual_seed(1)
    expected = tensors(network(x.clone()))
    directions = [torch.randn_like(output) for output in expected]
    gradients = backward(network, expected, directions)
    with torch.no_grad():
        restore(network, buffers)
        rows = split.trunk(x)
    assert [(tuple(r.shape), r.dtype) for r in rows] == [
        ((len(x), *tensor.shape), tensor.dtype) for tensor in split.frontier
    ]
    kept = [row.clone() for row in rows]
    for epoch in ("first", "second"):
        restore(network, buffers)
        torch.manual_seed(1)
        outputs = tensors(split.graft(rows))
        assert_same(outputs, expected, f"{epoch} epoch: output")
        for name, gradient in backward(network, outputs, directions).items():
            assert (gradient is None) == (gradients[name] is None), name
            assert gradient is None or torch.equal(gradient, gradients[name]), name
        assert_same(rows, kept, f"{epoch} epoch: row")
    restore(network, buffers)
    network.train()
    return split


@pytest.fixture(scope="session")
def law():
    """`law(network, x)` asserts the cut's law and returns the cut in train mode."""
    return assert_law_holds
