"""Everything about a setting derives from its field: options, keys, config.json, docs, checks."""

import dataclasses
import json
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
import pytest

from budwood.cli.options import SettingsCommand, setting_options
from budwood.cli.train import train as command
from budwood.course.recipes import load_recipe
from budwood.errors import ConfigError
from budwood.features.gathering import Extraction
from budwood.fields import read_table, setting, settings_of
from budwood.learning.probe import Probe
from budwood.learning.training import Training
from budwood.settings import SGD, Settings, given_options, recipe_keys, settled

ROOT = Path(__file__).parents[1]
DATA = Path("x")
EVERYTHING = {
    "surgery": (("unfreeze", "layer4*"), ("freeze", "layer4.0*")),
    "graft": {"layers": [{"from": "vgg16.features.0", "weights": "imagenet", "frozen": True}]},
    "test": Path("others"),
    "out": Path("runs/x"),
    "lr": 0.01,
    "size": 96,
    "abstain": 0.05,
    "report": False,
    "store_limit": 0,
}


@pytest.fixture(scope="module")
def docs():
    """The names of the tool that writes the tables."""
    return runpy.run_path(str(ROOT / "tools" / "make_settings_docs.py"))


@dataclass(frozen=True, kw_only=True)
class More(Settings):
    """The settings with new ones."""

    smoothing: float | None = setting(
        None, "Label smoothing.", key="training", sgd=True, usual=0.1, at_least=0, below=1
    )
    flavour: Literal["sweet", "sour"] = setting("sweet", "How it tastes.", key="")


def test_a_new_field_is_an_option():
    made = click.command("more", cls=SettingsCommand)(setting_options(More)(lambda **_: None))
    text = " ".join(made.get_help(click.Context(made)).split())
    assert "--smoothing FLOAT RANGE With --fit sgd: label smoothing. [default: 0.1]" in text
    assert "--flavour [sweet|sour] How it tastes. [default: sweet]" in text
    params = made.make_context("more", ["--smoothing", "0.2", "--flavour", "sour"]).params
    assert (params["smoothing"], params["flavour"], params["lr"]) == (0.2, "sour", None)
    with pytest.raises(click.UsageError, match=r"2 problems: .*'--smoothing': 1.0 .*'--flavour'"):
        made.make_context("more", ["--smoothing", "1", "--flavour", "salty"])


def test_a_new_field_is_a_key_of_a_recipe():
    keys = recipe_keys("training", More)
    assert read_table({"smoothing": 0}, keys, "[training]") == ({"smoothing": 0.0}, [])
    _, (problem,) = read_table({"smoothing": 1}, keys, "[training]")
    assert str(problem) == "smoothing must be at least 0 and below 1, got 1.0."
    assert "flavour" in recipe_keys("", More)


def test_a_new_field_is_in_config_json():
    more = More(data=DATA, flavour="sour")
    assert more.to_json()["flavour"] == "sour"
    assert More.from_json(more.to_json()) == more


def test_a_new_field_is_in_the_docs(docs):
    english = docs["keys_table"](docs["ENGLISH"], More)
    assert "| `training.smoothing` | number | Label smoothing. | 0.1 |" in english
    assert "| `flavour` | string | How it tastes. |" in docs["config_section"](More)


def test_the_tables_in_the_docs_are_up_to_date(docs):
    for path, text in docs["pages"]().items():
        assert path.read_text("utf-8") == text, "run: python tools/make_settings_docs.py"


def test_the_chinese_table_lacks_no_text(docs):
    keys, chinese = recipe_keys("") | recipe_keys("training"), docs["CHINESE"]
    said = {k for k, each in keys.items() if isinstance(each.usual, str) and not each.choices}
    assert said <= set(chinese.words)
    assert set(keys) <= set(chinese.texts)


def test_settings_need_no_heavy_library():
    heavy = "{'torch', 'numpy', 'click'} & set(sys.modules)"
    program = f"import sys, budwood.settings; sys.exit(len({heavy}))"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_every_field_has_help():
    for each in settings_of(Settings).values():
        assert each.help.endswith(".")
        assert each.help[0].isupper()


@pytest.mark.parametrize("changes", [{}, EVERYTHING])
def test_config_json_is_read_back_as_the_same_settings(changes):
    settings = Settings(data=DATA, **changes)
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_an_older_config_json_lacks_settings_and_a_newer_one_has_more():
    assert Settings.from_json({"data": "x", "seed": 5}) == Settings(data=DATA, seed=5)
    assert Settings.from_json({"data": "x", "later": 1}) == Settings(data=DATA)


def test_a_recipe_is_in_config_json():
    for name in ("vgg16-graft", "googlenet-flowers"):
        settings = load_recipe(name).request(Path("photos"), {"out": Path("runs/x")})
        written = json.loads(json.dumps(settings.to_json()))
        assert written["data"] == "photos"
        assert written["out"] == "runs/x"
        assert written["recipe"] == name
        assert (written["graft"] is None) == (name == "googlenet-flowers")
        assert Settings.from_json(written) == settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fit": "adam"}, r"No algorithm of fitting is called 'adam'\. auto, logistic or sgd"),
        ({"head": "mlp"}, r"No head is called 'mlp'\. It must be linear, or mlp: and the widths"),
        ({"precision": "fp8"}, r"No precision is called 'fp8'\. auto, fp32, bf16 or int8"),
        ({"val": 1.0}, r"val must be at least 0 and below 1, got 1\.0"),
        ({"test_fraction": 0.0}, r"test_fraction must be above 0 and below 1, got 0\.0"),
        ({"kfold": 1}, "kfold must be at least 2, got 1"),
        ({"abstain": float("nan")}, "abstain must be above 0 and below 1, got nan"),
        ({"epochs": 0, "seed": -1}, "^2 problems: 1. epochs must .*2. seed must not be negative"),
        ({"fit": "logistic", "lr": 0.0, "patience": 1}, "lr must be above 0.*--patience has no"),
    ],
)
def test_what_cannot_be_asked_for_is_told_together(changes, message):
    with pytest.raises(ConfigError, match=message):
        Settings(data=DATA, **changes)


def test_a_command_tells_all_that_is_wrong_with_its_options(tmp_path):
    with pytest.raises(click.UsageError, match=r"3 problems: .*'--epochs': 0 .*'--val'") as caught:
        command.make_context("train", [str(tmp_path / "no"), "--epochs", "0", "--val", "2"])
    assert "There is no folder or CSV file" in caught.value.message
    with pytest.raises(click.BadParameter, match=r"0 is not in the range x>=1"):
        command.make_context("train", [str(tmp_path), "--epochs", "0"])


def test_training_extraction_and_probe_are_asked_for_by_the_same_settings():
    settings = Settings(data=DATA, epochs=3, seed=5, precision="int8")
    assert Training.of(settings) == Training(epochs=3, seed=5)
    usual = settings_of(Settings)
    for cls in (Training, Extraction, Probe):
        for name, each in settings_of(cls).items():
            if name in usual and (cls, name) != (Training, "precision"):
                assert each.help == usual[name].help
                assert each.default in (usual[name].default, usual[name].usual)


def test_a_linear_head_is_fitted_unless_epochs_are_asked_for():
    assert Settings(data=DATA).algorithm(is_linear=True).name == "logistic"
    assert Settings(data=DATA).algorithm(is_linear=False).name == "sgd"
    assert Settings(data=DATA, epochs=3).algorithm(is_linear=True).name == "sgd"


@pytest.mark.parametrize(
    ("asked", "given", "is_linear", "taken", "because"),
    [
        ("auto", (), True, "logistic", "only a linear head trains"),
        ("auto", (), False, "sgd", "more than one linear layer trains"),
        ("auto", ("epochs",), True, "sgd", "--epochs asks for it"),
        ("auto", ("epochs", "lr"), True, "sgd", "--epochs asks for it"),
        ("auto", ("batch_size",), False, "sgd", "more than one linear layer trains"),
        ("logistic", (), True, "logistic", "as asked"),
        ("sgd", (), True, "sgd", "as asked"),
        ("sgd", ("patience", "val"), True, "sgd", "as asked"),
    ],
)
def test_what_is_taken_and_why(asked, given, is_linear, taken, because):
    algorithm = settled(asked, given, is_linear=is_linear)
    assert (algorithm.name, algorithm.reason) == (taken, because)
    assert str(algorithm).endswith(f"(--fit {asked}): {because}.")
    assert algorithm.to_json() == {"algorithm": taken, "asked": asked, "reason": because}


@pytest.mark.parametrize("name", [name for name in SGD if name != "epochs"])
@pytest.mark.parametrize("asked", ["auto", "logistic"])
def test_an_option_without_effect_is_an_error_and_decides_nothing(name, asked):
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(ConfigError, match=rf"{option} has no effect .*Add --fit sgd, or leave it"):
        settled(asked, (name,), is_linear=True)


def test_all_options_without_effect_are_named():
    with pytest.raises(ConfigError, match=r"--lr and --patience have no effect.*leave them out"):
        settled("auto", ("lr", "patience"), is_linear=True)


def test_more_than_a_linear_layer_is_not_fitted_by_logistic_regression():
    with pytest.raises(ConfigError, match=r"fits one linear layer, and more .*Choose sgd"):
        settled("logistic", (), is_linear=False)


def test_the_options_that_the_fitted_head_does_not_have_say_so_in_their_help():
    said = {
        p.name for p in command.params if (getattr(p, "help", "") or "").startswith("With --fit")
    }
    assert said == set(SGD)
    assert set(SGD) - {"val"} < {field.name for field in dataclasses.fields(Training)}


def test_a_share_of_zero_is_not_given():
    assert given_options(Settings(data=DATA, lr=0.1, seed=5)) == ("lr",)


def test_a_recipe_asks_for_it_by_name(tmp_path):
    recipe = tmp_path / "slow.toml"
    recipe.write_text('model = "resnet18"\n[training]\nfit = "sgd"\nbatch_size = 8\n')
    settings = load_recipe(recipe).request(tmp_path)
    assert settings.algorithm(is_linear=True).asked == "sgd"
    recipe.write_text('model = "resnet18"\n[training]\nbatch_size = 8\n')
    with pytest.raises(ConfigError, match="--batch-size has no effect"):
        load_recipe(recipe).request(tmp_path).algorithm(is_linear=True)
