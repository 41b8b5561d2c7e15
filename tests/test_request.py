"""What `budwood train` is asked for, as plain values."""

import json
from pathlib import Path

import pytest

from budwood.course.recipes import load_recipe
from budwood.errors import ConfigError
from budwood.request import Request


def test_a_linear_head_is_fitted_unless_epochs_are_asked_for():
    assert Request(data=Path("x")).algorithm(is_linear=True).name == "logistic"
    assert Request(data=Path("x")).algorithm(is_linear=False).name == "sgd"
    request = Request(data=Path("x"), epochs=3, seed=5)
    assert request.algorithm(is_linear=True).name == "sgd"
    assert (request.training.epochs, request.training.seed) == (3, 5)


def test_an_algorithm_of_another_name():
    with pytest.raises(ConfigError, match=r"called 'adam'\. auto, logistic or sgd"):
        Request(data=Path("x"), fit="adam")


def test_a_request_is_plain_json():
    for name in ("vgg16-graft", "googlenet-flowers"):
        request = load_recipe(name).request(Path("photos"), {"out": Path("runs/x")})
        written = json.loads(json.dumps(request.to_json()))
        assert written["data"] == "photos"
        assert written["out"] == "runs/x"
        assert written["recipe"] == name
        assert (written["graft"] is None) == (name == "googlenet-flowers")
