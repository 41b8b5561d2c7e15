"""What is particular to OpenVINO: what it refuses, and that it keeps to itself."""

import re
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import budwood
from budwood.errors import EngineError
from budwood.features.engines import EngineSpec, build_engine
from budwood.features.openvino import OpenVINOEngine, _absent, converted

SPEC = EngineSpec("openvino", "fp32", batch=4)


class Unknown(nn.Module):
    """Uses an operation that OpenVINO does not have."""

    def forward(self, pixels):
        return (torch.special.bessel_j0(pixels.float().mean((1, 2))),)


class Failing(nn.Module):
    def forward(self, pixels):
        raise IndexError


def test_an_operation_that_openvino_lacks_is_named(pixels):
    with pytest.raises(EngineError, match="aten::special_bessel_j0"):
        build_engine(Unknown(), SPEC, pixels(1))


def test_a_trunk_that_cannot_be_traced_is_an_engine_error(pixels):
    with pytest.raises(EngineError, match=r"OpenVINO cannot run this trunk: .+"):
        build_engine(Failing(), SPEC, pixels(1))


def test_any_batch_size_is_taken(trunk, pixels):
    engine = build_engine(trunk(), SPEC, pixels(1))
    assert [engine.run(pixels(n))[0].shape for n in (1, 7, 2)] == [(1, 16), (7, 16), (2, 16)]


@pytest.fixture
def engine(trunk, pixels):
    """The tiny trunk, compiled for batches of a size."""
    return lambda batch: OpenVINOEngine(converted(trunk(), pixels(1)), replace(SPEC, batch=batch))


def test_requests_in_flight_are_over_when_a_stream_is_left(engine, pixels):
    made = engine(4000)
    graph = made._graph()
    stream = made.stream((i, pixels(4000)) for i in range(graph.room + 1))
    next(stream)
    stream.close()
    assert set(graph._free) == set(graph._requests)
    begun = [request for request in graph._requests if request._images == 4000]
    assert begun
    for request in begun:
        with suppress(RuntimeError):  # it was cancelled
            assert request.is_done()


def test_a_short_batch_is_filled_up_and_gives_its_own_rows_only(engine, pixels):
    one_by_one, made = engine(1), engine(8)
    expected = one_by_one.run(pixels(11))[0]
    np.testing.assert_allclose(made.run(pixels(11))[0], expected, rtol=1e-5, atol=1e-6)
    streamed = list(made.stream([("a", pixels(11)[:8]), ("b", pixels(11)[8:])]))
    np.testing.assert_array_equal(
        np.concatenate([r for _, (r,) in streamed]), made.run(pixels(11))[0]
    )


def test_a_batch_that_is_too_long_is_refused(engine, pixels):
    with pytest.raises(ValueError, match="zip"):
        list(engine(2).stream([("a", pixels(3))]))


def test_a_request_has_memory_of_its_own(engine, pixels):
    made = engine(4)
    batch = pixels(4).copy()
    made.run(batch)
    (request,) = made._graph()._requests
    request.start(batch)
    request.finish()
    assert not np.shares_memory(request._request.get_input_tensor(0).data, batch)


def test_openvino_is_imported_only_where_its_telemetry_is_kept_out():
    importing = {
        path.name
        for path in Path(budwood.__file__).parent.rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if re.match(r"\s*(import|from) openvino\b", line)
    }
    assert importing == {"openvino.py"}


def test_the_telemetry_of_others_is_left_as_it_was(monkeypatch):
    theirs = ModuleType("openvino_telemetry")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", theirs)
    with _absent("openvino_telemetry"), pytest.raises(ImportError, match="openvino_telemetry"):
        import openvino_telemetry  # noqa: F401
    assert sys.modules["openvino_telemetry"] is theirs
