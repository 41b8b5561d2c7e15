"""A public function for each verb of the command line, each giving a value that shows itself."""

import json

import numpy as np
import pytest
from PIL import Image

import budwood as bw
from budwood.errors import ConfigError
from budwood.features.engines import EngineSpec
from budwood.reporter import Reporter

SETTINGS = {"model": "timm/test_resnet", "weights": "none", "size": 32}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with `images/` in it, two classes, and a run that was trained on them."""
    folder = tmp_path_factory.mktemp("here")
    random = np.random.default_rng(0)
    for channel, name in enumerate(("blue", "red")):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(20):
            picture = random.integers(0, 120, (40, 52, 3))
            picture[..., 2 - 2 * channel] += 100
            image = Image.fromarray(picture.astype(np.uint8))
            image.save(folder / "images" / name / f"{i:02}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUDWOOD_HOME", str(folder / "home"))
        specs = [EngineSpec("torch", "fp32")]
        patch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: specs)
        patch.chdir(folder)
        patch.setattr("budwood.tasks.doctor.check_engines", lambda: ())
        notes = []
        run = bw.train("images", out="run", reporter=Reporter(note=notes.append), **SETTINGS)
        assert notes
        yield folder, run


IMAGES = ["images/red/00.png", "images/blue"]
VERBS = {
    "train": lambda run: run,
    "evaluate": lambda run: bw.evaluate("run", "images", abstain=0.4),
    "evaluate two": lambda run: bw.evaluate(["run", "run"], "images"),
    "predict": lambda run: bw.predict("run", IMAGES, abstain=0.4),
    "compare": lambda run: bw.compare("images", ["timm/test_resnet=none"]),
    "audit": lambda run: bw.audit("images"),
    "explain": lambda run: bw.explain("run", IMAGES[:1]),
    "report": lambda run: bw.report("run", language="zh"),
    "verify": lambda run: bw.verify("run"),
    "doctor": lambda run: bw.doctor(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_gives_a_value_that_shows_itself(verb, here, capsys):
    value = VERBS[verb](here[1])
    assert json.dumps(value.to_json())
    assert str(value)
    assert len(repr(value)) < 300
    assert "<" in value._repr_html_()
    assert capsys.readouterr().out == ""


def test_a_library_user_can_abstain(here):
    said = bw.predict("run", IMAGES, abstain=0.4)
    assert said.rule.target_error == 0.4
    assert [image.unknown is None for image in said.images].count(True) == sum(
        one["class"] is not None for one in said.to_json()["predictions"]
    )


def test_a_recipe_is_trained_with_other_settings(here, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "budwood.tasks.train.run_training", lambda request, *a, **k: asked.append(request)
    )
    bw.train("images", recipe="resnet50-flowers", epochs=2, out="other")
    assert (asked[0].recipe, asked[0].model, asked[0].epochs) == (
        "resnet50-flowers",
        bw.load_recipe("resnet50-flowers").request("images").model,
        2,
    )


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("epoch", r"no setting 'epoch'\. Did you mean 'epochs'\?"),
        ("zzz", "no setting 'zzz'. It has model, weights"),
    ],
)
def test_a_setting_that_is_none_is_named(setting, text):
    with pytest.raises(ConfigError, match=text):
        bw.train("images", **{setting: 1})
