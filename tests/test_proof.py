"""The proof that a saved classifier gives the answers it gave where it was made."""

import json
from dataclasses import replace

import pytest
import torch

import budwood as bw
from budwood.capsule.pack import read_capsule, write_capsule
from budwood.capsule.verify import Check, Verification, verify
from budwood.errors import CapsuleError, EngineError
from budwood.features.engines import EngineSpec
from budwood.models.info import info, set_info

FP32, BF16 = EngineSpec("torch", "fp32"), EngineSpec("torch", "bf16")


@pytest.fixture
def engines(monkeypatch):
    """`engines(spec)`: the engines that this machine has."""

    def have(*specs):
        monkeypatch.setattr(
            "budwood.features.engine_choice.preferred_specs", lambda *a, **k: list(specs)
        )

    have(FP32)
    return have


@pytest.fixture
def capsule(engines, tmp_path):
    """A file that a machine without bf16 wrote."""
    return saved(tmp_path / "model.safetensors")


def saved(path, name="resnet18", size=128):
    network = bw.build(name, weights="none", classes=["a", "b", "c"])
    set_info(network, preprocessing=info(network).preprocessing.at_size(size))
    return bw.Classifier(bw.unfreeze(bw.freeze(network, "*"), "fc")).save(path)


def rewritten(path, **changes):
    """The same file with something changed in it, and a digest that fits."""
    write_capsule(path, replace(read_capsule(path), **changes))
    return verify(path)


def test_a_saved_classifier_verifies(capsule):
    verification = verify(capsule)
    assert verification.passed
    assert [(c.engine, c.precision) for c in verification.checks] == [("torch", "fp32")] * 2
    assert all(check.error < 1e-4 and check.same_top1 for check in verification.checks)
    assert (verification.images, verification.notes) == (8, ())


def test_it_is_the_file_that_is_verified_wherever_it_lies(capsule, tmp_path, monkeypatch):
    moved = tmp_path / "elsewhere" / "other name"
    moved.parent.mkdir()
    capsule.rename(moved)
    monkeypatch.setenv("BUDWOOD_HOME", str(tmp_path / "another home"))
    assert verify(str(moved)).passed


@pytest.mark.parametrize("name", ["conv1.weight", "layer2.0.bn1.running_var", "fc.weight"])
def test_other_weights_are_found_out(name, capsule):
    state = dict(read_capsule(capsule).state)
    noise = torch.rand(state[name].shape, generator=torch.Generator().manual_seed(0))
    verification = rewritten(capsule, state=state | {name: state[name] * (0.8 + 0.4 * noise)})
    assert not verification.passed
    assert "DIFFERENT" in str(verification)


def test_a_single_class_with_another_bias_is_found_out(capsule):
    state = dict(read_capsule(capsule).state)
    bias = state["fc.bias"] + torch.tensor([0.0, 0.0, 0.5])
    assert not rewritten(capsule, state=state | {"fc.bias": bias}).passed


@pytest.mark.parametrize("interpolation", ["nearest", "bicubic", "lanczos"])
def test_another_interpolation_is_found_out(interpolation, capsule):
    preprocessing = read_capsule(capsule).preprocessing
    assert preprocessing.interpolation == "bilinear"
    other = replace(preprocessing, interpolation=interpolation)
    assert not rewritten(capsule, preprocessing=other).passed


def test_channels_in_another_order_are_found_out(capsule):
    given = read_capsule(capsule).preprocessing
    other = replace(given, mean=given.mean[::-1], std=given.std[::-1])
    assert not rewritten(capsule, preprocessing=other).passed


def test_another_crop_is_found_out(capsule):
    given = read_capsule(capsule).preprocessing
    assert not rewritten(capsule, preprocessing=replace(given, resize=given.resize + 4)).passed


def test_a_change_smaller_than_rounding_passes(capsule):
    state = dict(read_capsule(capsule).state)
    verification = rewritten(capsule, state=state | {"fc.weight": state["fc.weight"] * (1 + 1e-6)})
    assert verification.passed


def test_a_machine_without_bf16_passes_and_says_so(engines, tmp_path):
    engines(BF16)
    path = saved(tmp_path / "model")
    assert read_capsule(path).precision == "bf16"
    both = verify(path)
    assert both.passed
    assert [check.precision for check in both.checks] == ["fp32", "bf16"]
    engines(FP32)
    verification = verify(path)
    assert verification.passed
    assert verification.notes == ("This machine does not run bf16, which it was trained with.",)
    assert "does not run bf16" in str(verification)


def test_a_machine_with_bf16_passes_what_one_without_wrote(capsule, engines):
    engines(BF16)
    verification = verify(capsule)
    assert verification.passed
    assert verification.checks[1].tolerance == 0.3


def test_the_tolerance_of_bf16_is_measured_where_there_is_bf16(engines, tmp_path):
    engines(BF16)
    tolerances = read_capsule(saved(tmp_path / "model")).tolerances
    assert tolerances["fp32"] == 0.01
    assert 0.05 <= tolerances["bf16"] < 0.3


def test_the_engine_of_this_machine_gives_the_same_answers(tmp_path):
    path = saved(tmp_path / "model", "timm/test_resnet", 64)
    verification = verify(path)
    assert verification.passed
    assert {check.engine for check in verification.checks} == {"torch", "openvino"}


def test_an_engine_that_cannot_run_it_is_a_note(capsule, engines, monkeypatch):
    def refuse(*arguments):
        raise EngineError("OpenVINO cannot run this trunk.")

    engines(EngineSpec("openvino", "fp32"))
    monkeypatch.setattr("budwood.learning.plan.build_engine", refuse)
    verification = verify(capsule)
    assert verification.passed
    assert verification.notes[0].endswith("OpenVINO cannot run this trunk.")
    assert len(verification.checks) == 1


def test_a_close_call_may_go_either_way_but_not_a_clear_one(capsule):
    golden = read_capsule(capsule).golden
    spread = torch.tensor([g.logits for g in golden]).std(0).mean().item()
    verification = verify(capsule)
    assert all(check.same_top1 for check in verification.checks)
    logits = [list(g.logits) for g in golden]
    best = max(range(3), key=logits[0].__getitem__)
    logits[0][best] -= 50 * spread
    other = (replace(golden[0], logits=tuple(logits[0])), *golden[1:])
    changed = rewritten(capsule, golden=other)
    assert not changed.checks[0].same_top1


def test_a_check_needs_both_the_tolerance_and_the_best_class():
    good = Check("torch", "fp32", 0.001, 0.01, True)
    assert good.passed
    assert not replace(good, error=0.02).passed
    assert not replace(good, same_top1=False).passed
    assert not Verification((good, replace(good, same_top1=False)), (), 8).passed


def test_a_verification_prints_and_counts_as_json():
    good = Check("torch", "fp32", 0.00012, 0.01, True)
    bad = Check("openvino", "bf16", 0.5, 0.3, False)
    verification = Verification((good, bad), ("A note.",), 8)
    assert str(verification) == (
        "same answers with torch fp32: error 0.0001 of the spread (tolerance 0.01), "
        "top-1 the same\n"
        "DIFFERENT answers with openvino bf16: error 0.5000 of the spread (tolerance 0.3), "
        "top-1 differs\n"
        "A note."
    )
    said = json.loads(json.dumps(verification.to_json()))
    assert said["passed"] is False
    assert (said["images"], said["notes"]) == (8, ["A note."])
    assert said["checks"][0] == {
        "engine": "torch",
        "precision": "fp32",
        "error": 0.00012,
        "tolerance": 0.01,
        "same_top1": True,
        "passed": True,
    }


def test_what_is_no_capsule_is_refused(tmp_path):
    with pytest.raises(CapsuleError, match="There is no capsule at"):
        verify(tmp_path / "none")
