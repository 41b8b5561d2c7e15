"""What `budwood train` is asked for, as plain values."""

import json
from pathlib import Path

from budwood.recipes.loading import load_recipe
from budwood.request import Request


def test_a_linear_head_without_settings_is_solved():
    assert Request(data=Path("x")).training is None
    assert Request(data=Path("x"), head="mlp:8").training is not None
    assert Request(data=Path("x"), epochs=3, seed=5).training.seed == 5


def test_a_request_is_plain_json():
    for name in ("vgg16-graft", "googlenet-flowers"):
        request = load_recipe(name).request(Path("photos"), {"out": Path("runs/x")})
        written = json.loads(json.dumps(request.to_json()))
        assert written["data"] == "photos"
        assert written["out"] == "runs/x"
        assert written["recipe"] == name
        assert (written["graft"] is None) == (name == "googlenet-flowers")
