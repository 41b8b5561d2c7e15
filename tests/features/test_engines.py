"""What every engine promises, and which engines are tried."""

from importlib.metadata import version

import numpy as np
import pytest
import torch
from torch import nn

from budwood.errors import ConfigError, EngineError
from budwood.features import openvino
from budwood.features.engines import EngineSpec, build_engine, preferred_specs
from budwood.features.openvino import cpu_capabilities
from budwood.features.verification import TOLERANCE, spread_error

TORCH = EngineSpec("torch", "fp32")
OPENVINO = EngineSpec("openvino", "fp32", batch=4)
both = pytest.mark.parametrize("spec", [TORCH, OPENVINO], ids=str)


class Untouched(nn.Module):
    """Hands its input on, and a number beside it."""

    def forward(self, pixels):
        return pixels, pixels.float().mean((1, 2, 3))


@pytest.fixture
def engine(trunk, pixels):
    return lambda spec, network=None: build_engine(trunk(network), spec, pixels(1))


def reference(module, batch):
    with torch.no_grad():
        return [row.numpy() for row in module(torch.from_numpy(batch.copy()))]


@both
def test_an_engine_gives_what_the_trunk_gives(spec, engine, trunk, pixels, two_rows):
    batch = pixels(5)
    rows = engine(spec, two_rows()).run(batch)
    expected = reference(trunk(two_rows()), batch)
    assert len(rows) == len(expected) == 2
    for row, right in zip(rows, expected, strict=True):
        assert row.dtype == right.dtype
        assert spread_error(right, row) < 1e-4


@both
def test_an_engine_leaves_its_input_as_it_was(spec, pixels):
    batch = pixels(3)
    engine = build_engine(Untouched(), spec, pixels(1))
    rows = engine.run(batch)
    np.testing.assert_array_equal(rows[0], batch)
    rows[0][:] = 0
    np.testing.assert_array_equal(batch, pixels(3))


@both
@pytest.mark.parametrize("sizes", [[], [3], [2, 2, 2, 2, 2, 2, 1], [1, 4, 2, 4, 3]])
def test_a_stream_gives_each_batch_as_run_does(spec, sizes, engine, pixels):
    batches = [(f"batch {i}", pixels(size, seed=i)) for i, size in enumerate(sizes)]
    made = engine(spec)
    streamed = list(made.stream(iter(batches)))
    assert [tag for tag, _ in streamed] == [tag for tag, _ in batches]
    for (_, rows), (_, batch) in zip(streamed, batches, strict=True):
        np.testing.assert_array_equal(rows[0], made.run(batch)[0])


@both
def test_an_engine_works_on_after_a_stream_was_left_half_way(spec, engine, pixels):
    made = engine(spec)
    stream = made.stream((i, pixels(4, seed=i)) for i in range(20))
    assert next(stream)[0] == 0
    stream.close()
    again = [tag for tag, _ in made.stream((i, pixels(2)) for i in range(5))]
    assert again == [0, 1, 2, 3, 4]


@both
def test_an_engine_works_on_after_an_error_in_its_source(spec, engine, pixels):
    def source():
        yield from ((i, pixels(4, seed=i)) for i in range(3))
        raise ConnectionError("the disk went away")

    made = engine(spec)
    with pytest.raises(ConnectionError, match="the disk went away"):
        list(made.stream(source()))
    assert len(list(made.stream((i, pixels(2)) for i in range(5)))) == 5


def test_rows_of_one_batch_survive_the_next(engine, pixels):
    made = engine(OPENVINO)
    first = made.run(pixels(2, seed=1))[0]
    kept = first.copy()
    made.run(pixels(2, seed=2))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.skipif("BF16" not in cpu_capabilities(), reason="this processor has no bf16")
def test_bf16_agrees_within_the_tolerance(engine, trunk, pixels, two_rows):
    batch = pixels(8)
    rows = engine(EngineSpec("openvino", "bf16"), two_rows()).run(batch)
    errors = [
        spread_error(f, g) for f, g in zip(reference(trunk(two_rows()), batch), rows, strict=True)
    ]
    assert 1e-5 < max(errors) < TOLERANCE


def test_torch_can_compute_in_bf16(engine, trunk, pixels):
    batch = pixels(8)
    (rows,) = engine(EngineSpec("torch", "bf16")).run(batch)
    assert rows.dtype == np.float32
    assert 1e-5 < spread_error(reference(trunk(), batch)[0], rows) < TOLERANCE


def test_the_key_of_an_engine_names_library_version_and_arithmetic():
    keys = {
        EngineSpec(library, precision, device).key
        for library in ("torch", "openvino")
        for precision in ("fp32", "bf16")
        for device in ("cpu", "cuda")
    }
    assert len(keys) == 8
    assert TORCH.key == f"torch {version('torch')} fp32 cpu"


@pytest.fixture
def processor(monkeypatch):
    def have(has_bf16):
        capabilities = ("FP32", "BF16") if has_bf16 else ("FP32",)
        monkeypatch.setattr(openvino, "cpu_capabilities", lambda: capabilities)

    return have


@pytest.mark.parametrize(
    ("precision", "has_bf16", "expected"),
    [
        ("auto", True, ["openvino bf16", "openvino fp32", "torch fp32"]),
        ("auto", False, ["openvino fp32", "torch fp32"]),
        ("bf16", True, ["openvino bf16", "openvino fp32", "torch fp32"]),
        ("fp32", True, ["openvino fp32", "torch fp32"]),
    ],
)
def test_the_engines_to_try_on_a_processor(precision, has_bf16, expected, processor):
    processor(has_bf16)
    assert [str(spec) for spec in preferred_specs(precision, "cpu")] == expected


def test_a_trunk_that_does_nothing_needs_no_fast_engine():
    assert preferred_specs("auto", "cpu", network_runs=False) == [TORCH]


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("auto", ["torch bf16 on cuda:1", "torch fp32 on cuda:1"]),
        ("bf16", ["torch bf16 on cuda:1", "torch fp32 on cuda:1"]),
        ("fp32", ["torch fp32 on cuda:1"]),
    ],
)
def test_the_engines_to_try_on_a_gpu(precision, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(spec) for spec in preferred_specs(precision, "cuda:1")] == expected


def test_an_unknown_precision_lists_those_that_exist():
    with pytest.raises(ConfigError, match="auto, fp32, bf16 or int8"):
        preferred_specs("int4", "cpu")


@pytest.mark.parametrize(
    ("device", "network_runs", "match"),
    [("cuda", True, "int8 runs on the processor only"), ("cpu", False, "int8 has nothing to run")],
)
def test_int8_needs_a_network_on_the_processor(device, network_runs, match):
    with pytest.raises(ConfigError, match=match):
        preferred_specs("int8", device, network_runs)


def test_an_engine_in_int8_is_not_built_without_photos(trunk, pixels):
    with pytest.raises(EngineError, match="needs photos for its scales"):
        build_engine(trunk(), EngineSpec("openvino", "int8", calibration="a"), pixels(1))


def test_the_key_of_an_engine_in_int8_names_its_calibration():
    a, b = (EngineSpec("openvino", "int8", calibration=images).key for images in "ab")
    assert a != b
    assert a == f"openvino {version('openvino')} int8 cpu a"


def test_a_gpu_that_has_nothing_to_run_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match=r"cuda has nothing to run.*Freeze layers"):
        preferred_specs("auto", "cuda", network_runs=False)


@pytest.mark.parametrize(
    ("device", "match"),
    [("cuda:2", "torch finds 2 here, and counts from cuda:0"), ("cuda:x", "No device is called")],
)
def test_a_number_that_no_gpu_has_is_said(device, match, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=match):
        preferred_specs("auto", device)


def test_an_unknown_device_lists_those_that_exist():
    with pytest.raises(ConfigError, match="cpu, cuda or mps"):
        preferred_specs("auto", "tpu")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_points_to_the_processor(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"no {device} device here. Use --device cpu"):
        preferred_specs("auto", device)


def test_bf16_on_a_processor_without_it_says_what_to_use(processor):
    processor(False)
    with pytest.raises(ConfigError, match="Use --precision auto or fp32"):
        preferred_specs("bf16", "cpu")
