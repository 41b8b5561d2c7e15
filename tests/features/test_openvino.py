"""What is particular to OpenVINO: what it refuses, and that it keeps to itself."""

import re
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import budwood
from budwood.errors import EngineError
from budwood.features.engines import QUICK_BATCH, EngineSpec, build_engine
from budwood.features.untracked import _absent

SPEC = EngineSpec("openvino", "fp32")


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


def test_requests_in_flight_are_over_when_a_stream_is_left(trunk, pixels):
    engine = build_engine(trunk(), SPEC, pixels(1))
    engine.expect(None)
    sizes = [4000] * (engine._graph(None).room + 1)
    stream = engine.stream((i, pixels(size)) for i, size in enumerate(sizes))
    next(stream)
    stream.close()
    graph = engine._graph(None)
    assert set(graph._free) == set(graph._requests)
    begun = [request for request in graph._requests if request._photos == 4000]
    assert begun
    for request in begun:
        with suppress(RuntimeError):  # it was cancelled
            assert request.is_done()


def test_a_short_batch_is_filled_up_and_gives_its_own_rows_only(trunk, pixels):
    engine = build_engine(trunk(), SPEC, pixels(1))
    engine.expect(None)
    expected = engine.run(pixels(11))[0]
    engine.expect(8)
    np.testing.assert_allclose(engine.run(pixels(11))[0], expected, rtol=1e-5, atol=1e-6)
    streamed = list(engine.stream([("a", pixels(11)[:8]), ("b", pixels(11)[8:])]))
    np.testing.assert_array_equal(
        np.concatenate([r for _, (r,) in streamed]), engine.run(pixels(11))[0]
    )
    assert list(engine._graphs) == [8]


def test_the_graphs_of_other_sizes_are_given_up(trunk, pixels):
    engine = build_engine(trunk(), SPEC, pixels(1))
    for size, graphs in [(None, {QUICK_BATCH, None}), (2, {2}), (2, {2}), (3, {3})]:
        engine.expect(size)
        assert set(engine._graphs) == graphs


def test_a_request_has_memory_of_its_own(trunk, pixels):
    engine = build_engine(trunk(), SPEC, pixels(1))
    batch = pixels(4).copy()
    engine.run(batch[:1])
    request = engine._graph(QUICK_BATCH)._requests[0]
    request.start(batch, QUICK_BATCH)
    request.finish()
    assert not np.shares_memory(request._request.get_input_tensor(0).data, batch)


def test_openvino_is_imported_only_where_its_telemetry_is_kept_out():
    importing = {
        path.name
        for path in Path(budwood.__file__).parent.rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if re.match(r"\s*(import|from) openvino\b", line)
    }
    assert importing == {"untracked.py"}


def test_the_telemetry_of_others_is_left_as_it_was(monkeypatch):
    theirs = ModuleType("openvino_telemetry")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", theirs)
    with _absent("openvino_telemetry"), pytest.raises(ImportError, match="openvino_telemetry"):
        import openvino_telemetry  # noqa: F401
    assert sys.modules["openvino_telemetry"] is theirs
