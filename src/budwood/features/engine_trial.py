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
from collections.abc import Callable, Sequence
from contextlib import suppress
from statistics import median
from typing import Any

from budwood.arrays import Pixels
from budwood.features.engines import Engine, EngineSpec, kind_of
from budwood.features.trunks import remember, remembered
from budwood.files import home, whole_file
from budwood.machine import processor_name

SHARE = 0.03
"""Of the time that a pass is forecast to take, what trying other engines may take."""
ROUNDS = 3
"""How often each engine runs the same images; the median counts."""
HOPELESS = 2.0
"""How many times as long a rival may take in the first round to get another."""
REHEARSED = "engine-speeds.json"
"""In the home folder: seconds of the convolutions, by engine and processor."""
SPEEDS = "speeds.json"
"""Beside a trunk: seconds an image, by engine and processor."""


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
    return [first, *(spec for spec in specs if spec != first)]


def speeds(key: str, specs: Sequence[EngineSpec]) -> dict[EngineSpec, float]:
    """Seconds an image of the engines that were timed on this trunk and this processor."""
    found = {spec: remembered(key, SPEEDS, _here(spec)) for spec in specs}
    return {spec: float(s) for spec, s in found.items() if isinstance(s, int | float)}


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

    A rival is tried as long as all trials together are expected to stay within `SHARE` of the
    forecast, the rival being as quick to build and to run as the leader. Where timing the leader
    alone would take half of that, nothing is timed.

    Args:
        leader: An engine that is verified.
        rivals: The others, the most promising first.
        build: Builds and verifies one; None if it is refused.
        images: What is timed, `n h w c`.
        to_run: Images of the pass.
        key: Of the trunk.
    """
    if not rivals or SHARE * to_run < 2 * len(images):
        return leader, {}
    started = time.perf_counter()
    seconds = {leader.spec: _seconds(leader, images)}
    allowed = SHARE * to_run * seconds[leader.spec]
    found = {leader.spec: leader}
    for spec in rivals:
        images_to_run = (2 * ROUNDS + 1) * len(images)
        needed = leader.seconds_to_build + images_to_run * seconds[leader.spec]
        if time.perf_counter() - started + needed > allowed:
            break
        if (rival := build(spec)) is not None:
            found[spec] = rival
            seconds |= _in_turns(leader, rival, images)
    if len(seconds) > 1:
        for spec, each in seconds.items():
            remember(key, SPEEDS, _here(spec), each)
    return found[min(seconds, key=lambda spec: seconds[spec])], seconds


def _in_turns(leader: Engine, rival: Engine, images: Pixels) -> dict[EngineSpec, float]:
    """Seconds an image of both; what else the machine does meets both of them."""
    rounds = list[tuple[float, float]]()
    while len(rounds) < ROUNDS:
        rounds.append((_seconds(leader, images), _seconds(rival, images)))
        if rounds[0][1] > HOPELESS * rounds[0][0]:
            break
    first, second = zip(*rounds, strict=True)
    return {leader.spec: median(first), rival.spec: median(second)}


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
    return f"{spec.key} on {kind_of(spec).hardware() or processor_name()}"
