"""The algorithm that was asked for is taken, `auto` says why, and no option is without effect."""

import dataclasses

import pytest

from budwood.cli.train import command
from budwood.course.recipes import load_recipe
from budwood.errors import ConfigError
from budwood.learning.algorithms import ASKED, OPTIONS, TRAINING, given_options, settled
from budwood.learning.training import Training
from budwood.request import Request


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


@pytest.mark.parametrize("name", [name for name in OPTIONS["sgd"] if name != "epochs"])
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


def test_the_options_are_those_of_the_training_the_command_and_the_request():
    """One list: what the fitted head does not have says so in its help, and nothing else does."""
    assert set(TRAINING) < {field.name for field in dataclasses.fields(Training)}
    assert set(OPTIONS["sgd"]) < {field.name for field in dataclasses.fields(Request)}
    said = {
        p.name for p in command.params if (getattr(p, "help", "") or "").startswith("With --fit")
    }
    assert said == set(OPTIONS["sgd"])
    (fit,) = (param for param in command.params if param.name == "fit")
    assert tuple(fit.type.choices) == ASKED


def test_a_share_of_zero_is_not_given():
    assert given_options({"val": 0.0, "epochs": None, "lr": 0.1, "seed": 5}) == ("lr",)


def test_a_recipe_asks_for_it_by_name(tmp_path):
    recipe = tmp_path / "slow.toml"
    recipe.write_text('model = "resnet18"\n[training]\nfit = "sgd"\nbatch_size = 8\n')
    request = load_recipe(recipe).request(tmp_path)
    assert request.algorithm(is_linear=True).asked == "sgd"
    recipe.write_text('model = "resnet18"\n[training]\nbatch_size = 8\n')
    with pytest.raises(ConfigError, match="--batch-size has no effect"):
        load_recipe(recipe).request(tmp_path).algorithm(is_linear=True)
