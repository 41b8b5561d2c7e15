"""Trunks in int8: close to fp32, really in int8, the same every time, and silent."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import budwood
from budwood.errors import ConfigError, EngineError
from budwood.features import int8 as quantising
from budwood.features.int8 import calibration_key, quantised
from budwood.features.openvino import converted, ov
from budwood.features.verification import spread_error
from budwood.images.preprocessing import Preprocessing
from budwood.models.prepared import Prepared
from budwood.surgery.cutting import cut

pytestmark = pytest.mark.slow

has_nncf = pytest.mark.skipif(find_spec("nncf") is None, reason="needs the extra int8")
SIZE = 64


@pytest.fixture(scope="module")
def images():
    blocks = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), np.uint8)
    return blocks.repeat(8, 1).repeat(8, 2)


@pytest.fixture(scope="module")
def model(images):
    """The trunk of ResNet-18 with random weights, converted."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = budwood.build("resnet18", weights="none", classes=3)
    budwood.freeze(network, "*")
    budwood.unfreeze(network, "fc")
    settings = Preprocessing(size=(SIZE, SIZE), resize=SIZE, mean=(0.5,) * 3, std=(0.25,) * 3)
    return converted(cut(Prepared(network, settings).eval()).trunk, images)


@pytest.fixture(scope="module")
def int8(model, images):
    return quantised(model, [images])


def int8_layers(compiled):
    """How many convolutions and linear layers really run in int8, and how many there are.

    OpenVINO runs depthwise convolutions in bf16 or fp32, whatever the model says.
    """
    precisions = [
        info["runtimePrecision"].astype(str)
        for info in (node.get_rt_info() for node in compiled.get_runtime_model().get_ops())
        if info["layerType"].astype(str) in {"Convolution", "FullyConnected", "MatMul"}
    ]
    return sum(precision in ("i8", "u8") for precision in precisions), len(precisions)


def compiled(model):
    return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def rows(runs, images):
    return runs(images)[0].copy()


def constants(model):
    return [
        op.get_data().tobytes()
        for op in model.get_ordered_ops()
        if op.get_type_name() == "Constant"
    ]


@has_nncf
def test_rows_in_int8_are_close_to_fp32(model, int8, images):
    exact = rows(compiled(model), images)
    error = spread_error(exact, rows(compiled(int8), images))
    assert 0 < error < 0.5
    assert spread_error(exact, exact[::-1]) > 1  # what another photo's row would give


@has_nncf
@pytest.mark.skipif(
    "INT8" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
    reason="this processor has no int8 arithmetic",
)
def test_every_convolution_runs_in_int8(model, int8):
    count, layers = int8_layers(compiled(int8))
    assert count == layers == 20  # 17 of the blocks and the stem, 3 shortcuts
    assert int8_layers(compiled(model)) == (0, layers)


@has_nncf
def test_the_given_model_stays_as_it_was(model, images):
    before, constants_before = rows(compiled(model), images), constants(model)
    quantised(model, [images[:4]])
    assert constants(model) == constants_before
    assert np.array_equal(rows(compiled(model), images), before)


@has_nncf
def test_equal_photos_give_an_equal_model_however_they_are_batched(model, int8, images):
    again = quantised(model, [images[:1], images[1:20], images[20:]])
    assert constants(again) == constants(int8)


@has_nncf
def test_other_photos_give_other_scales(model, int8, images):
    assert constants(quantised(model, [images // 4])) != constants(int8)


@has_nncf
def test_it_is_saved_and_read_again_unchanged(int8, images, tmp_path):
    ov.save_model(int8, tmp_path / "int8.xml", compress_to_fp16=False)
    again = ov.Core().read_model(tmp_path / "int8.xml")
    runs = compiled(int8)
    assert np.array_equal(rows(compiled(again), images), rows(runs, images))


@has_nncf
def test_it_survives_being_exported_compiled(int8, images):
    runs = compiled(int8)
    again = ov.Core().import_model(runs.export_model(), "CPU")
    assert int8_layers(again) == int8_layers(runs)
    assert np.array_equal(rows(again, images), rows(runs, images))


@has_nncf
def test_nothing_is_printed(model, images, capfd):
    quantised(model, [images[:2]])
    assert capfd.readouterr() == ("", "")


SILENT = """
import logging, sys
import numpy as np, torch
{first}
events = globals().get("events", [])
def listen(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.fork", "os.posix_spawn", "os.exec")):
        events.append(event)
sys.addaudithook(listen)
from budwood.features.openvino import converted
from budwood.features.int8 import quantised

class Trunk(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 8, 3)
    def forward(self, pixels):
        return (self.layer(pixels.permute(0, 3, 1, 2).float()).mean((2, 3)),)

pixels = np.zeros((2, 16, 16, 3), np.uint8)
quantised(converted(Trunk().eval(), pixels), [pixels])
assert "pytest" not in sys.modules  # under which NNCF reports nothing anyway
print(events, "openvino_telemetry" in sys.modules, logging.getLoggerClass().__name__)
"""

THEIRS = """
import types
events = []
sys.modules["openvino_telemetry"] = theirs = types.ModuleType("openvino_telemetry")
class Telemetry:
    def __init__(self, **about): pass
    def __getattr__(self, name):
        return lambda *args, **kwargs: events.append(name)
theirs.Telemetry = Telemetry
import nncf
logging.setLoggerClass(logging.Logger)
"""


def fresh(code, home):
    environment = {**os.environ, "HOME": str(home), "USERPROFILE": str(home)}
    environment.pop("CI", None)
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**environment, "PYTHONPATH": str(Path(budwood.__file__).parent.parent)},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@has_nncf
def test_no_socket_is_opened_and_nothing_is_written_to_the_home_folder(tmp_path):
    assert fresh(SILENT.format(first=""), tmp_path) == "[] False Logger"
    assert list(tmp_path.rglob("*")) == []


@has_nncf
def test_nothing_is_reported_where_nncf_was_imported_before(tmp_path):
    assert fresh(SILENT.format(first=THEIRS), tmp_path) == "[] True Logger"


@has_nncf
def test_the_reports_of_others_go_on_afterwards(model, images):
    from nncf.telemetry import decorator

    theirs = decorator.telemetry
    quantised(model, [images[:2]])
    assert decorator.telemetry is theirs


@has_nncf
def test_what_cannot_be_quantised_is_an_engine_error(images):
    class Plain(nn.Module):
        def forward(self, pixels):
            return (pixels.float().mean((1, 2)),)

    model = converted(Plain(), images)
    with pytest.raises(EngineError, match=r"NNCF cannot quantise this trunk: .+ Use --precision"):
        quantised(model, [images[:, :8]])


def test_without_nncf_the_extra_is_named(model, images, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(quantising, "version", missing)
    with pytest.raises(ConfigError, match=r"pip install 'budwood\[int8\]'"):
        quantised(model, [images])
    with pytest.raises(ConfigError, match="int8 needs NNCF, which is not installed"):
        calibration_key([b"a"])


def test_photos_of_different_shapes_are_refused(model, images):
    with pytest.raises(ConfigError, match="are 32 64 3 uint8 and 64 64 3 uint8"):
        quantised(model, [images, images[:, :32]])


def test_no_photos_are_refused(model):
    with pytest.raises(ConfigError, match="needs photos for its scales, got none"):
        quantised(model, [])


@has_nncf
def test_the_key_follows_the_photos_and_their_order():
    key = calibration_key([b"a", b"b"])
    assert key == calibration_key([b"a", b"b"])
    others = [[b"b", b"a"], [b"ab"], [b"a"], [b"", b"ab"]]
    assert len({key, *map(calibration_key, others)}) == 5
    assert key.startswith("nncf ")
