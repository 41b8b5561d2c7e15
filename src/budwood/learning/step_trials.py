"""How the steps of a training run here, tried on its first batch: in bf16 or not, on how many
threads.

bf16 is used for a graft's convolutions, and only where it is faster and its gradients agree. A
small step is run on one thread unless all of them are faster: where other programs use the machine,
threads wait for each other. What was measured is remembered, because two measurements may differ,
and the same seed has to give the same numbers.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from statistics import median
from typing import Literal

import torch
from torch import Tensor, nn

from budwood.features.openvino import processor
from budwood.files import home, whole_file
from budwood.reporter import Reporter
from budwood.threads import one_torch_thread

Precision = Literal["fp32", "bf16"]

AGREES = 0.1
"""Distance of the gradients, as a part of their length, up to which bf16 agrees. A step then points
less than 6 degrees away, which costs half a percent of the descent; the gradient of one batch of
photos is many times farther from that of the next batch."""
LOSS_AGREES = 0.01
"""The same for the loss."""
FASTER = 0.8
"""Share of fp32's time that bf16 may take at most."""
WORTH_A_TRIAL = 50
"""Steps of training below which the trial takes longer than what it saves."""
TIMED = 2
"""Steps that are timed, after one that warms up."""

SMALL_STEP = 50_000_000
"""Multiply-adds of a step below which one thread may be faster than several."""
TURNS = 9
"""Steps that are timed on one thread, and on all; the median counts."""
ALONE = 1.1
"""Up to how many times as long one thread may take and still run the steps: the others are free."""

SPEEDS = "graft-speeds.json"
"""In the home folder: how long a step of each graft takes in bf16, as a multiple of fp32's, and on
one thread, as a multiple of all of them."""

Loss = Callable[[Precision], Tensor]
"""The loss of one batch, computed in a precision."""


def settle_precision(
    graft: nn.Module,
    loss: Loss,
    steps: int,
    wanted: Literal["auto", "fp32", "bf16"],
    reporter: Reporter,
) -> Precision:
    """The precision a graft is trained in; weights and optimizer are float32 either way.

    For auto: fp32 without convolutions, or for a few steps. Else both are tried on one batch, and
    the graft is left as it was: weights, running statistics, gradients, modes, random state. Which
    is faster is remembered, so that on one machine the same training always takes the same.
    """
    if wanted != "auto":
        return wanted
    if steps < WORTH_A_TRIAL or not any(
        p.dim() > 2 and p.requires_grad for p in graft.parameters()
    ):
        return "fp32"
    with _restored(graft):
        exact, gradient, slow = _try(graft, loss, "fp32")
        near, near_gradient, fast = _try(graft, loss, "bf16")
    ratio = _remembered(_key(graft), fast / slow)
    apart = float((near_gradient - gradient).norm() / gradient.norm().clamp(min=1e-30))
    agrees = apart <= AGREES and abs(near - exact) <= LOSS_AGREES * abs(exact)
    chosen: Precision = "bf16" if agrees and ratio <= FASTER else "fp32"
    reporter.note(
        f"Training in {chosen}: a step in bf16 takes {ratio:.2f} times as long as in fp32, "
        f"and the gradients differ by {apart:.1%}."
    )
    return chosen


def settle_threads(graft: nn.Module, loss: Loss, steps: int, batch_size: int) -> bool:
    """True if one thread is to run the steps: handing a small one to several may take longer than
    doing it. The graft is left as it was."""
    parameters = list(graft.parameters())
    work = batch_size * sum(p.numel() for p in parameters)
    if any(p.dim() > 2 for p in parameters) or work >= SMALL_STEP:
        return False
    if steps < WORTH_A_TRIAL or torch.get_num_threads() == 1:
        return True
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with _restored(graft):
        for _ in range(1 + TURNS):
            for is_alone, taken in seconds.items():
                with one_torch_thread() if is_alone else nullcontext():
                    started = time.perf_counter()
                    loss("fp32").backward()  # type: ignore[no-untyped-call]
                    taken.append(time.perf_counter() - started)
    alone, together = (median(taken[1:]) for taken in seconds.values())
    return _remembered(f"{_key(graft)} batch {batch_size}", alone / together) <= ALONE


def _key(graft: nn.Module) -> str:
    """What the speed of a graft depends on."""
    shapes = [tuple(p.shape) for p in graft.parameters() if p.requires_grad]
    parts = f"{graft} {shapes} {torch.__version__} {torch.get_num_threads()} {processor()}"
    return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()


def _remembered(key: str, measured: float) -> float:
    """The ratio that was measured first, which may be this one."""
    file = Path(home(), SPEEDS)
    try:
        known = json.loads(file.read_text("utf-8"))
        if isinstance(known.get(key), float):
            return float(known[key])
    except (OSError, ValueError, AttributeError):
        known = {}
    with suppress(OSError), whole_file(file) as out:  # not remembered: measured again
        out.write(json.dumps({**known, key: measured}).encode())
    return measured


def _try(graft: nn.Module, loss: Loss, precision: Precision) -> tuple[float, Tensor, float]:
    """Loss, gradient of all that trains, and the seconds of a step."""
    seconds = []
    for _ in range(1 + TIMED):
        graft.zero_grad()
        started = time.perf_counter()
        value = loss(precision)
        value.backward()  # type: ignore[no-untyped-call]
        seconds.append(time.perf_counter() - started)
    gradients = [p.grad.flatten() for p in graft.parameters() if p.grad is not None]
    return float(value.detach()), torch.cat(gradients).clone(), min(seconds[1:])


@contextmanager
def _restored(graft: nn.Module) -> Iterator[None]:
    """Batch statistics in use, what is random (dropout) at rest; all as before afterwards."""
    modes = {module: module.training for module in graft.modules()}
    buffers = {buffer: buffer.clone() for buffer in graft.buffers()}
    for module in modes:
        if not any(True for _ in module.children()) and not module.state_dict():
            module.training = False
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for buffer, before in buffers.items():
                if not torch.equal(buffer, before):
                    buffer.copy_(before)
        graft.zero_grad()
