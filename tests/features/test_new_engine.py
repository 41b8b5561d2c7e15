"""An engine that this file adds goes through choice, verification, extraction and the store."""

import numpy as np
import pytest

from budwood.features import engines
from budwood.features.engine_choice import check_engines
from budwood.features.engines import EngineSpec, kind_of, preferred_specs
from budwood.features.torch_engine import TorchEngine
from budwood.features.trunks import keep_trunk, kept_file, kept_trunks


class ToyEngine:
    """Torch under another name, with a fault where one is wanted."""

    batch = 3
    other_batches = ()
    seconds_to_build = 0.0

    def __init__(self, trunk, spec, fault):
        self.spec, self._fault = spec, fault
        self._right = TorchEngine(trunk, EngineSpec("torch", "fp32"))

    def run(self, images):
        rows = self._right.run(images)
        return tuple(tensor[::-1] for tensor in rows) if self._fault else rows

    def stream(self, batches):
        for tag, images in batches:
            yield tag, self.run(images)


class Toy:
    """All that Budwood asks of a library."""

    fault = False
    built = 0

    def version(self):
        return "1.0"

    def hardware(self):
        return "abacus"

    def precisions(self, device):
        return ("fp32",) if device == "cpu" else ()

    def refusal(self, spec):
        return ""

    def rehearse(self, spec):
        return None

    def build(self, trunk, spec, example, key):
        Toy.built += 1
        if key is not None:
            keep_trunk(key, lambda part: (part / "model.toy").write_text("compiled"))
        return ToyEngine(trunk, spec, self.fault)

    def kept(self, key, spec, few):
        file = kept_file(key, "model.toy")
        return None if file is None else file.read_text()


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """The line that a new engine needs, and a count of what it has built."""
    monkeypatch.setattr(engines, "KINDS", {"toy": Toy, **engines.KINDS})
    monkeypatch.setattr(Toy, "built", 0)


def test_it_is_preferred_where_it_was_put():
    assert [str(spec) for spec in preferred_specs("fp32", "cpu")] == [
        "toy fp32",
        "openvino fp32",
        "torch fp32",
    ]


def test_its_rows_are_stored_under_its_own_key(bench, draw, budwood_home, monkeypatch):
    paths = draw(9)
    gathered = bench().gather(paths)
    assert (str(gathered.engine), gathered.engine.key) == ("toy fp32", "toy 1.0 fp32 cpu")
    assert (gathered.misses, bench().gather(paths).hits) == (9, 9)
    assert Toy.built == 1
    monkeypatch.setattr(Toy, "version", lambda self: "2.0")
    assert bench().gather(paths).misses == 9


def test_what_it_compiled_is_kept_and_its_agreement_remembered(bench, draw):
    made = bench()
    spec = made.gather(draw(9)).engine
    choice = made.gatherer.choice
    assert [place.name for place, _ in kept_trunks()] == [choice.trunk_key]
    assert kind_of(spec).kept(choice.trunk_key, spec, None) == "compiled"
    assert choice.has_agreed(spec)
    Toy.fault = True
    try:  # two images do not judge what has agreed before
        assert bench().gather(draw(2, first=20)).engine == spec
        assert bench().gather(draw(12, first=30)).engine.library == "openvino"
    finally:
        Toy.fault = False


def test_it_is_refused_where_it_disagrees(bench, draw, monkeypatch):
    monkeypatch.setattr(Toy, "fault", True)
    made = bench()
    assert made.gather(draw(9)).engine.library == "openvino"
    assert made.said("toy fp32 disagrees with torch fp32")


def test_it_gives_the_rows_of_the_others(bench, draw, monkeypatch):
    paths = draw(7)
    toy = bench().gather(paths).rows.take(range(7))[0]
    monkeypatch.setattr(engines, "KINDS", {"torch": engines.KINDS["torch"]})
    exact = bench().gather(paths).rows.take(range(7))[0]
    np.testing.assert_allclose(toy, exact, rtol=1e-5, atol=1e-6)


def test_it_is_checked_with_the_others():
    found = {check.library: check for check in check_engines()}
    assert found["toy"].is_verified
