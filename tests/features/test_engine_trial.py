"""Engines compete: the fastest that is verified runs the pass, and is known the next time."""

import json
import math
import re
import time
from dataclasses import replace

import numpy as np
import pytest

from budwood.features import engine_choice, engine_trial, engines, verification
from budwood.features.engine_trial import REHEARSED, by_rehearsal, by_speed, fastest, in_turns
from budwood.features.engines import EngineSpec
from budwood.features.torch_engine import Torch, TorchEngine
from budwood.features.trunks import keep_trunk, remembered

LEADER, RIVAL = EngineSpec("openvino", "bf16"), EngineSpec("openvino", "fp32")
EXACT = EngineSpec("torch", "fp32")
PAUSES = {LEADER: 0.004, RIVAL: 0.001, EXACT: 0.02}
"""Seconds that the fakes take for an image."""
IMAGES = np.zeros((8, 4, 4, 3), np.uint8)


class Paced:
    """An engine that takes its time."""

    def __init__(self, spec, pause, build=0.0, others=()):
        self.spec, self.pause, self.seconds_to_build = spec, pause, build
        self.batch = spec.batch or 4
        self.other_batches = others

    def stream(self, batches):
        for tag, images in batches:
            time.sleep(self.pause * len(images))
            yield tag, (np.zeros((len(images), 1)),)


@pytest.fixture
def key():
    key = "ab" * 16
    keep_trunk(key, lambda part: (part / "model.xml").write_text("kept"))
    return key


@pytest.fixture(autouse=True)
def not_rehearsed(request, monkeypatch):
    """What stands in for an engine here is not what the library would build."""
    if "rehears" not in request.node.name and "claims" not in request.node.name:
        monkeypatch.setattr(engine_trial, "_rehearsed", lambda spec: None)


@pytest.fixture
def race(key):
    """Lets the engines of some specs compete; the list tells which were built."""
    built = []

    def run(*specs, pauses=PAUSES, to_run=100_000, refused=(), build=0.0, others=()):
        def make(spec):
            built.append(spec)
            return None if spec in refused else Paced(spec, pauses[spec], build, others)

        leader = Paced(specs[0], pauses[specs[0]], build, others)
        engine, seconds = fastest(leader, specs[1:], make, IMAGES, to_run=to_run, key=key)
        return engine.spec, seconds, built

    return run


def test_the_fastest_runs_the_pass_and_is_known_the_next_time(race, key):
    spec, seconds, _ = race(LEADER, RIVAL, EXACT)
    assert spec == RIVAL
    assert seconds[RIVAL] < seconds[LEADER] < seconds[EXACT]
    assert by_speed(key, [LEADER, RIVAL, EXACT]) == [RIVAL, LEADER, EXACT]


def test_the_best_engine_is_tried_with_other_numbers_of_images_at_a_time(race, key):
    one, eight = (replace(RIVAL, batch=batch) for batch in (1, 8))
    pauses = PAUSES | {one: 0.0005, eight: 0.002}
    spec, seconds, built = race(LEADER, RIVAL, pauses=pauses, others=(1, 8))
    assert (spec, built) == (one, [RIVAL, one, eight])
    assert seconds[one] < seconds[RIVAL] < seconds[eight]
    assert by_speed(key, [LEADER, RIVAL]) == [one, LEADER]
    assert one.key == RIVAL.key  # its rows are the same


def test_what_was_timed_is_told_with_the_network(race, key):
    race(LEADER, RIVAL)
    assert list(engine_trial.timed_networks([LEADER, RIVAL])) == []
    engine_trial.name_timed(key, "lite0")
    (found,) = engine_trial.timed_networks([LEADER, RIVAL, EXACT])
    assert [one["precision"] for one in found.to_json()["engines"]] == ["fp32", "bf16"]
    assert re.fullmatch(
        r"lite0: openvino fp32 \d\.\d ms an image; openvino bf16 \d\.\d", str(found)
    )


def test_what_was_timed_before_is_not_timed_again(race):
    race(LEADER, RIVAL, EXACT, others=(1,), pauses=PAUSES | {replace(RIVAL, batch=1): 0.002})
    assert race(RIVAL, LEADER, EXACT, others=(1,))[2] == [RIVAL, EXACT, replace(RIVAL, batch=1)]


@pytest.mark.parametrize(
    ("noise", "slower", "most"), [(0.03, 1.05, 0.01), (0.1, 1.1, 0.04), (0.2, 1.5, 0.01)]
)
def test_a_slower_engine_seldom_wins_by_noise(noise, slower, most):
    chance = np.random.default_rng(0)

    def taking(seconds):
        return lambda: seconds * math.exp(chance.normal(0, noise))

    ratios = [in_turns(taking(1.0), taking(slower))[1] for _ in range(2000)]
    assert np.mean(np.array(ratios) < 1) < most


def test_one_that_is_slow_is_never_chosen(race):
    pauses = PAUSES | {RIVAL: 0.03}
    assert race(LEADER, RIVAL, pauses=pauses)[0] == LEADER


def test_one_that_is_refused_is_never_chosen_however_fast(race, key):
    spec, seconds, built = race(LEADER, RIVAL, refused=[RIVAL])
    assert (spec, built) == (LEADER, [RIVAL])
    assert RIVAL not in seconds
    assert remembered(key, engine_trial.SPEEDS, engine_trial._here(RIVAL)) is None


@pytest.mark.parametrize("to_run", [0, 100, 500])
def test_a_short_pass_tries_nothing(race, to_run):
    assert race(LEADER, RIVAL, to_run=to_run) == (LEADER, {}, [])


def test_what_takes_too_long_to_build_is_not_built(race):
    assert race(LEADER, RIVAL, to_run=10_000, build=60.0)[0] == LEADER
    assert race(LEADER, RIVAL, to_run=10_000, build=60.0)[2] == []


def test_trials_stay_within_their_share_of_the_pass(race):
    for to_run in (2_000, 20_000):
        started = time.perf_counter()
        race(LEADER, RIVAL, to_run=to_run)
        spent = time.perf_counter() - started
        assert spent < engine_trial.SHARE * to_run * PAUSES[LEADER] + 0.2


def test_one_measurement_alone_orders_nothing(key):
    engine_trial.remember(key, engine_trial.SPEEDS, engine_trial._here(RIVAL), 1e-9)
    assert by_speed(key, [LEADER, RIVAL]) == [LEADER, RIVAL]


class Rehearsing(Torch):
    """A library with two kinds of arithmetic, one of which only claims to be quick."""

    asked = ()

    def rehearse(self, spec):
        Rehearsing.asked = (*self.asked, spec.precision)
        return {"bf16": 2.0, "fp32": 1.0}[spec.precision]


def test_what_a_processor_claims_is_timed_once(monkeypatch, budwood_home):
    monkeypatch.setitem(engines.KINDS, "openvino", Rehearsing)
    monkeypatch.setattr(Rehearsing, "asked", ())
    assert by_rehearsal([LEADER, RIVAL, EXACT]) == [RIVAL, LEADER, EXACT]
    assert by_rehearsal([LEADER, RIVAL, EXACT]) == [RIVAL, LEADER, EXACT]
    assert Rehearsing.asked == ("bf16", "fp32")
    assert len(json.loads((budwood_home / REHEARSED).read_text())) == 2


def test_a_library_with_one_arithmetic_is_not_rehearsed(monkeypatch):
    monkeypatch.setitem(engines.KINDS, "openvino", Rehearsing)
    monkeypatch.setattr(Rehearsing, "asked", ())
    assert by_rehearsal([RIVAL, EXACT]) == [RIVAL, EXACT]
    assert Rehearsing.asked == ()


@pytest.mark.parametrize("spec", [RIVAL, EXACT])
def test_an_engine_rehearses_in_the_arithmetic_it_has(spec):
    assert 0 < engines.kind_of(spec).rehearse(spec) < 60


def test_one_that_is_hopeless_in_the_rehearsal_is_not_built(race, monkeypatch):
    monkeypatch.setattr(engine_trial, "_rehearsed", {LEADER: 1.0, RIVAL: 1.5, EXACT: 2.5}.get)
    assert race(LEADER, RIVAL, EXACT)[2] == [RIVAL]


class Slow(TorchEngine):
    """Says the same as torch, later."""

    def run(self, images):
        time.sleep(0.002 * len(images))
        return super().run(images)


class Wrong(TorchEngine):
    """The fastest of all, and of no use."""

    def run(self, images):
        return tuple(rows[::-1] for rows in super().run(images))


@pytest.fixture
def candidates(monkeypatch):
    """Which engine stands for which spec; the list tells which were built."""
    built, made = [], {}

    def build(trunk, spec, example, key):
        built.append(spec)
        if key is not None:
            keep_trunk(key, lambda part: (part / "model.xml").write_text("kept"))
        engine = made.get(spec, TorchEngine)(trunk, EXACT)
        engine.spec = spec
        return engine

    monkeypatch.setattr(verification, "build_engine", build)
    monkeypatch.setattr(engine_choice, "preferred_specs", lambda *_, **__: [LEADER, RIVAL, EXACT])
    monkeypatch.setattr(engine_choice, "by_rehearsal", list)
    monkeypatch.setattr(engine_trial, "SHARE", 100.0)
    return made, built


def test_a_slow_leader_gives_way_and_the_next_run_begins_with_the_winner(bench, draw, candidates):
    made, built = candidates
    made[LEADER] = made[EXACT] = Slow
    first = bench()
    assert first.gather(draw(20)).engine == RIVAL
    assert first.said("Timed on such photos: openvino fp32 ")
    built.clear()
    assert bench().gather(draw(20, first=50)).engine == RIVAL
    assert LEADER not in built


def test_rows_that_are_stored_lead_whatever_is_faster(bench, draw, candidates, monkeypatch):
    made, _ = candidates
    monkeypatch.setattr(engine_trial, "SHARE", 0.0)
    assert bench().gather(draw(20)).engine == LEADER
    monkeypatch.setattr(engine_trial, "SHARE", 100.0)
    made[LEADER] = Slow
    assert bench().gather(draw(40)).engine == LEADER


def test_a_wrong_rival_is_left_out_in_silence(bench, draw, candidates):
    made, _ = candidates
    made[LEADER] = made[EXACT] = Slow
    made[RIVAL] = Wrong
    found = bench()
    assert found.gather(draw(20)).engine in (LEADER, EXACT)
    assert not found.said("falling back")


def test_an_arithmetic_that_was_asked_for_has_no_rivals(bench, draw, candidates):
    made, built = candidates
    made[LEADER] = Slow
    assert bench(precision="bf16").gather(draw(20)).engine == LEADER
    assert set(built) == {LEADER}
