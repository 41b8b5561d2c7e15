"""Which engine is the fastest on this machine: measured, where a flag would be a guess.

A processor may offer an arithmetic that it is slower in: on one with bf16 instructions and no
matrix unit every network took two thirds longer in bf16 than in fp32. So engines compete. What is
known of the processor alone, from a few convolutions that are timed once, says which one a trunk
begins with. Where a pass is long enough, the others are then built, verified and timed on the
user's own images, in turns with the first; the fastest runs the pass. What was measured is kept for
the trunk, the processor and the library's version, so that the same engine leads next time.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import inf, log, sqrt
from operator import itemgetter
from statistics import mean, median, stdev
from typing import Any

from budwood.arrays import Pixels
from budwood.features.engines import Engine, EngineSpec, kind_of
from budwood.features.trunks import kept_trunks, notes_of, remember
from budwood.files import home, whole_file
from budwood.machine import processor_name

SHARE = 0.03
"""Of the time that a pass is forecast to take, what trying other engines may take."""
ROUNDS, MOST_ROUNDS = 3, 15
"""How often two engines run the same images at least, and until it is clear which is faster; the
median of their ratios counts."""
CLEAR = 3.0
"""How many standard errors the mean ratio is from 1 where more rounds would not change the choice.
With noise of 3 % in each timing an engine that is 5 % slower is taken in 1 of 500 trials, with
noise of 10 % one that is a tenth slower in 1 of 50."""
HOPELESS = 2.0
"""How many times as long a rival may take in the first round, or for the small network, to get
another."""
BATCHES = (1, 4, 8, 64)
"""Numbers of images at a time that engines offer."""
REHEARSED = "engine-speeds.json"
"""In the home folder: seconds of the convolutions, by engine and processor."""
SPEEDS = "speeds.json"
"""Beside a trunk: seconds an image, by engine and processor."""
NETWORK = "network"
"""Among them: what people call the network."""


def by_rehearsal(specs: Sequence[EngineSpec]) -> list[EngineSpec]:
    """The engines with those of a library in the order of their speed on this processor.

    Libraries keep their places, and so does an engine that cannot be timed without a trunk. Nothing
    is timed where a library offers one engine only.
    """
    ordered = list(specs)
    for library in {spec.library for spec in specs}:
        places = [i for i, spec in enumerate(ordered) if spec.library == library]
        rivals = [ordered[i] for i in places]
        if len(rivals) < 2 or None in (seconds := [_rehearsed(spec) for spec in rivals]):
            continue
        ranks = sorted(range(len(rivals)), key=lambda i: seconds[i] or 0.0)
        for place, rank in zip(places, ranks, strict=True):
            ordered[place] = rivals[rank]
    return ordered


def by_speed(key: str, specs: Sequence[EngineSpec]) -> list[EngineSpec]:
    """The engines with the fastest of those that were timed on this trunk first."""
    known = speeds(key, specs)
    if len(known) < 2:
        return list(specs)
    first = min(known, key=lambda spec: known[spec])
    return [first, *(spec for spec in specs if spec != replace(first, batch=None))]


def name_timed(key: str, network: str) -> None:
    """Note what people call the network that was timed."""
    remember(key, SPEEDS, NETWORK, network)


@dataclass(frozen=True)
class TimedNetwork:
    """A network that engines were timed on here."""

    network: str
    seconds: Mapping[EngineSpec, float]
    """For an image, by engine."""

    def to_json(self) -> dict[str, Any]:
        """As plain values, the fastest engine first."""
        names = ("library", "precision", "device", "batch")
        return {
            "network": self.network,
            "engines": [
                {name: getattr(spec, name) for name in names} | {"seconds_per_image": seconds}
                for spec, seconds in sorted(self.seconds.items(), key=itemgetter(1))
            ],
        }

    def __str__(self) -> str:
        return f"{self.network}: {told(self.seconds)}"


def timed_networks(specs: Sequence[EngineSpec]) -> Iterator[TimedNetwork]:
    """The networks that these engines were timed on here."""
    for place, _ in kept_trunks():
        name, found = notes_of(place.name, SPEEDS).get(NETWORK), speeds(place.name, specs)
        if isinstance(name, str) and len(found) > 1:
            yield TimedNetwork(name, found)


def told(found: Mapping[EngineSpec, float]) -> str:
    """Some engines with their milliseconds an image, the fastest first.

    Example:
        >>> told({EngineSpec("openvino", "bf16"): 0.0059, EngineSpec("openvino", "fp32"): 0.0036})
        'openvino fp32 3.6 ms an image; openvino bf16 5.9'
    """
    (first, least), *others = sorted(found.items(), key=itemgetter(1))
    parts = [f"{first} {1000 * least:.1f} ms an image"]
    return "; ".join([*parts, *(f"{spec} {1000 * seconds:.1f}" for spec, seconds in others)])


def speeds(key: str, specs: Sequence[EngineSpec]) -> dict[EngineSpec, float]:
    """Seconds an image of the engines that were timed on this trunk and this processor, each with
    every number of images at a time that was."""
    timed = notes_of(key, SPEEDS)
    found = dict[EngineSpec, float]()
    for spec in dict.fromkeys(replace(spec, batch=None) for spec in specs):
        for batch in (None, *BATCHES):
            each = replace(spec, batch=batch)
            if isinstance(seconds := timed.get(_here(each)), float):
                found[each] = seconds
    return found


def fastest(
    leader: Engine,
    rivals: Sequence[EngineSpec],
    build: Callable[[EngineSpec], Engine | None],
    images: Pixels,
    *,
    to_run: int,
    key: str,
) -> tuple[Engine, dict[EngineSpec, float]]:
    """The fastest of several engines, with the seconds an image of all that were timed.

    First other engines are tried, then the best of them with other numbers of images at a time. A
    rival is tried as long as all trials together are expected to stay within `SHARE` of the
    forecast, the rival being as quick to build and to run as the leader. Where timing the leader
    alone would take half of that, nothing is timed. Two engines run in turns, so that what else the
    machine does meets both, until it is clear which is faster or the time is up.

    Args:
        leader: An engine that is verified.
        rivals: The others, the most promising first.
        build: Builds and verifies one; None if it is refused.
        images: What is timed, `n h w c`.
        to_run: Images of the pass.
        key: Of the trunk.
    """
    if SHARE * to_run < 2 * len(images) or not (rivals or leader.other_batches):
        return leader, {}
    started = time.perf_counter()
    best, seconds = leader, {leader.spec: _seconds(leader, images)}
    until = started + SHARE * to_run * seconds[leader.spec]
    known = speeds(key, [leader.spec, *rivals])
    tried = {leader.spec, *known}
    rivals = [spec for spec in rivals if not _is_hopeless(spec, leader.spec)]
    while spec := next((spec for spec in _to_try(best, rivals) if spec not in tried), None):
        least = (2 * ROUNDS + 1) * len(images) * seconds[leader.spec]
        if time.perf_counter() + leader.seconds_to_build + least > until:
            break
        tried.add(spec)
        if (rival := build(spec)) is not None:
            base, ratio = in_turns(
                partial(_seconds, best, images), partial(_seconds, rival, images), until
            )
            if best is leader:
                seconds[leader.spec] = base
            seconds[spec] = ratio * seconds[best.spec]
            best = rival if ratio < 1 else best
    if len(seconds) > 1:
        for spec, each in seconds.items():
            remember(key, SPEEDS, _here(spec), each)
    return best, seconds


def _to_try(best: Engine, rivals: Sequence[EngineSpec]) -> list[EngineSpec]:
    """The other engines, then the best one with other numbers of images at a time."""
    return [*rivals, *(replace(best.spec, batch=batch) for batch in best.other_batches)]


def _is_hopeless(spec: EngineSpec, leader: EngineSpec) -> bool:
    """True if the small network says that an engine is far slower than another."""
    ours, theirs = _rehearsed(replace(spec, batch=None)), _rehearsed(replace(leader, batch=None))
    return ours is not None and theirs is not None and ours > HOPELESS * theirs


def in_turns(
    one: Callable[[], float], other: Callable[[], float], until: float = inf
) -> tuple[float, float]:
    """The median of what one took, and of how many times as long the other took right after it.

    They run until `until` on the clock at most, and `ROUNDS` times at least, unless the other is
    hopeless.
    """
    taken, ratios = list[float](), list[float]()
    while len(ratios) < MOST_ROUNDS:
        first = one()
        taken.append(first)
        ratios.append(other() / first)
        if ratios[0] > HOPELESS:
            break
        if len(ratios) >= ROUNDS and (time.perf_counter() > until or _is_clear(ratios)):
            break
    return median(taken), median(ratios)


def _is_clear(ratios: Sequence[float]) -> bool:
    logs = [log(ratio) for ratio in ratios]
    return abs(mean(logs)) > CLEAR * stdev(logs) / sqrt(len(logs))


def _seconds(engine: Engine, images: Pixels) -> float:
    batches = [(None, images[i : i + engine.batch]) for i in range(0, len(images), engine.batch)]
    started = time.perf_counter()
    for _ in engine.stream(batches):
        pass
    return (time.perf_counter() - started) / len(images)


_MEASURED: dict[str, float] = {}
"""What this process has measured or read, whatever becomes of the file."""


def _rehearsed(spec: EngineSpec) -> float | None:
    """Seconds of a few convolutions in this arithmetic, measured once; None if that cannot be."""
    file, name = home() / REHEARSED, _here(spec)
    if name in _MEASURED:
        return _MEASURED[name]
    known: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        known = json.loads(file.read_text("utf-8"))
    measured = known.get(name)
    if not isinstance(measured, float) and (measured := kind_of(spec).rehearse(spec)) is not None:
        with suppress(OSError), whole_file(file) as out:  # not kept: measured again
            out.write(json.dumps(known | {name: measured}).encode())
    if measured is not None:
        _MEASURED[name] = measured
    return measured


def _here(spec: EngineSpec) -> str:
    """An engine and what its speed depends on besides."""
    batch = "" if spec.batch is None else f", {spec.batch} at a time"
    return f"{spec.key}{batch} on {kind_of(spec).hardware() or processor_name()}"
