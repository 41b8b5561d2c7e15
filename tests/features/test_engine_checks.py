"""Engines of this machine, tried with a small network."""

from budwood.features import openvino
from budwood.features.engine_choice import check_engines


def test_the_engines_of_this_machine_agree():
    found = {(one.library, one.precision): one for one in check_engines()}
    exact, converted = found["torch", "fp32"], found["openvino", "fp32"]
    assert exact.is_verified
    assert 0 <= exact.error < 1e-4
    assert converted.is_verified
    assert 0 <= converted.error < 0.01
    assert "openvino fp32 agrees" in str(converted)


def test_a_processor_without_bf16_is_told(monkeypatch):
    monkeypatch.setattr(openvino, "cpu_capabilities", lambda: ("FP32",))
    found = {(one.library, one.precision): one for one in check_engines()}
    bf16 = found["openvino", "bf16"]
    assert not bf16.is_verified
    assert str(bf16) == "openvino bf16 is not used: this processor has no bf16 arithmetic"


def test_an_engine_that_disagrees_is_told(monkeypatch):
    from budwood.features import verification

    real = verification.build_engine

    def wrong(trunk, spec, *rest):
        engine = real(trunk, spec, *rest)
        if spec.library == "openvino":
            run = engine.run
            engine.run = lambda images: tuple(rows[::-1] for rows in run(images))
        return engine

    monkeypatch.setattr(verification, "build_engine", wrong)
    found = {(one.library, one.precision): one for one in check_engines()}
    assert not found["openvino", "fp32"].is_verified
    assert "disagrees" in found["openvino", "fp32"].reason
    assert found["torch", "fp32"].is_verified
