"""Two trials of less precision: bf16 for a graft's convolutions, and int8 for a trunk's rows.

bf16 is used only where it is faster and its gradients agree. Rows in int8 differ from fp32 by a
third of the spread between photos and may still serve a probe as well, so agreement is no measure
of them; accuracy is. Both kinds of rows are judged on the same photos in the same folds, so that
what they have in common cancels out.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from budwood.errors import DataError
from budwood.features.openvino import processor
from budwood.features.rows import RowSource
from budwood.files import home, whole_file
from budwood.intervals import difference_interval
from budwood.learning.probe import Probe, cross_validated
from budwood.reporter import Reporter
from budwood.surgery.axes import place_axes
from budwood.tensors import Features, Labels

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

SPEEDS = "graft-speeds.json"
"""In the home folder: how long a step of each graft takes in bf16, as a multiple of fp32's. It is
measured once, because two measurements may differ, and the same seed has to give the same numbers.
"""

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


ALLOWED_LOSS = 0.003
"""Top-1 that int8 may cost: 0.3 points."""
SAMPLE = 1000
"""Photos of a trial."""
POOLED = 32
"""Photos whose maps are in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a trial of int8 came to.

    Example:
        >>> trial = Trial(
        ...     images=1000, reference="bf16", both_right=880, gained=14, lost=12, speed=1.9,
        ...     interval=(-0.008, 0.012),
        ... )
        >>> str(trial).split("; ")
        ['int8 is used: top-1 on 1000 photos 89.4 %, with bf16 89.2 % (+0.2 points, \
95 % interval -0.8 to +1.2)', '1.90 times as fast.']
    """

    images: int
    reference: str
    """The precision of the rows that int8 is held against."""
    both_right: int
    """Photos that both probes get right while they are held out."""
    gained: int
    """Photos that only int8 gets right."""
    lost: int
    """Photos that only the reference gets right."""
    interval: tuple[float, float]
    """The 95 % interval of the top-1 won by int8; photos that belong together count as such."""
    speed: float
    """Photos a second in int8, as a multiple of the reference's."""

    @property
    def accepted(self) -> bool:
        """True if int8 costs no more than the allowed loss."""
        return self.lost - self.gained <= round(ALLOWED_LOSS * self.images, 9)

    @property
    def reference_top1(self) -> float:
        """Cross-validated top-1 with rows of the reference."""
        return (self.both_right + self.lost) / self.images

    @property
    def int8_top1(self) -> float:
        """Cross-validated top-1 with rows in int8."""
        return (self.both_right + self.gained) / self.images

    @property
    def difference(self) -> float:
        """Top-1 won by int8."""
        return (self.gained - self.lost) / self.images

    def to_json(self) -> dict[str, Any]:
        """The object `int8` of `train --json`; see docs/json.md."""
        return {
            "accepted": self.accepted,
            "images": self.images,
            "reference": self.reference,
            "reference_top1": self.reference_top1,
            "int8_top1": self.int8_top1,
            "difference": self.difference,
            "interval": list(self.interval),
            "speed": self.speed,
        }

    def __str__(self) -> str:
        won, low, high = (100 * share for share in (self.difference, *self.interval))
        return (
            f"int8 is {'used' if self.accepted else 'not used'}: top-1 on {self.images} photos "
            f"{100 * self.int8_top1:.1f} %, with {self.reference} "
            f"{100 * self.reference_top1:.1f} % "
            f"({won:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}); "
            f"{self.speed:.2f} times as fast."
        )


def try_int8(
    reference: Features,
    int8: Features,
    labels: Labels,
    num_classes: int,
    *,
    named: str,
    speed: float,
    groups: NDArray[np.integer] | None = None,
) -> Trial:
    """How well a probe does on int8 rows, beside one on the rows of another precision.

    Both are of the same photos in the same order, and in the same folds; each has its own
    L2 strength. `speed` is photos a second in int8 over those of the reference.
    """
    if not len(reference) == len(int8) == len(labels):
        raise DataError(
            f"A trial got {len(reference)} rows in {named}, {len(int8)} in int8 and "
            f"{len(labels)} labels.",
            expected="They must be of the same photos.",
        )
    before, after = (
        (
            cross_validated(rows, labels, num_classes, Probe(), groups).logits.argmax(1) == labels
        ).numpy()
        for rows in (reference, int8)
    )
    return Trial(
        images=len(labels),
        reference=named,
        both_right=int((before & after).sum()),
        gained=int((after & ~before).sum()),
        lost=int((before & ~after).sum()),
        interval=difference_interval(before, after, groups),
        speed=speed,
    )


def trial_sample(labels: Labels, size: int = SAMPLE, seed: int = 0) -> list[int]:
    """Positions of at most `size` photos, sorted; every class keeps its share.

    Example:
        >>> labels = torch.tensor([0] * 80 + [1] * 20)
        >>> sample = trial_sample(labels, 10)
        >>> [int((labels[sample] == k).sum()) for k in (0, 1)]
        [8, 2]
    """
    known = labels.cpu().numpy()
    shuffled = np.random.default_rng(seed).permutation(len(known))
    order = shuffled[np.argsort(known[shuffled], kind="stable")]  # class after class
    size = min(size, len(order))
    return sorted(int(order[i * len(order) // size]) for i in range(size))


def pooled(rows: RowSource) -> Features:
    """One vector a photo from frontier rows of any shape: a map's mean over its places.

    Which axis holds features was seen when the network was traced (`surgery/axes.py`); of rows that
    were made otherwise, maps are taken to be `n c h w` and sequences `n t d`. Several tensors are
    put side by side. Where nothing but the photos themselves is stored, `n h w c`, it is their mean
    colours.
    """
    parts = []
    for start in range(0, len(rows), POOLED):
        tensors = rows.take(range(start, min(start + POOLED, len(rows))))
        axes = rows.axes or (None,) * len(tensors)
        known = list(zip(tensors, axes, strict=True))
        maps = [_flat(t.float(), axis) for t, axis in known if t.is_floating_point()]
        parts.append(torch.cat(maps or [_flat(t.float(), t.dim() - 1) for t in tensors], 1))
    return torch.cat(parts)


def _flat(tensor: torch.Tensor, feature_axis: int | None) -> Features:
    places = place_axes(tensor.dim(), feature_axis)
    return tensor.mean(places) if places else tensor.reshape(len(tensor), -1)
