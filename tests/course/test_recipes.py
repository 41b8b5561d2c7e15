"""Recipes: complete, short, and refused with the nearest guess where something is misspelt."""

import json
from pathlib import Path

import pytest

from budwood.course.bundled import names, text_of
from budwood.course.recipes import is_recipe, load_recipe, load_recipes
from budwood.errors import ConfigError, UnknownName
from budwood.inspection.summarizing import summarize
from budwood.surgery.cutting import cut
from budwood.tasks.preparing import network_to_inspect, prepared_network

CHAPTER = {
    "vgg16-catdog": ("5.1", 0.9669, 2),
    "vgg16-graft": ("5.2", None, 2),
    "googlenet-flowers": ("5.3", 0.8747, 5),
    "resnet50-flowers": ("5.4", 0.8937, 5),
    "efficientnet-b7-flowers": ("5.5", 0.8565, 5),
}

FRONTIERS = {
    "vgg16-catdog": [(4096,)],
    "googlenet-flowers": [(2048,), (2048,), (1024,)],
    "resnet50-flowers": [(2048,)],
    "efficientnet-b7-flowers": [(2560,)],
}


def test_the_chapters_examples_are_all_there_in_their_order():
    recipes = load_recipes()
    assert [recipe.name for recipe in recipes] == [*CHAPTER, "lite0-flowers"]
    found = {r.name: (r.example, r.chapter.test_top1) for r in recipes if r.chapter}
    assert found == {name: expected[:2] for name, expected in CHAPTER.items()}
    for recipe in recipes:
        assert len(recipe.text.splitlines()) < 60
        json.dumps(recipe.to_json())


@pytest.mark.parametrize(("name", "shapes"), FRONTIERS.items())
def test_the_frontier_is_as_designed(name, shapes):
    request = load_recipe(name).request(Path())
    network = prepared_network(request, CHAPTER[name][2], device="meta")
    assert [tensor.shape for tensor in cut(network.train()).frontier] == shapes


def test_the_graft_has_the_chapters_numbers():
    network, batch = network_to_inspect("vgg16-graft")
    summary = summarize(network, batch=batch)
    assert (summary.parameters, summary.trainable) == (42_544_992, 40_146_464)
    assert (summary.input, summary.output) == ((16, 1, 224, 224), (16, 2))


def test_settings_that_are_given_overrule_the_recipe():
    recipe = load_recipe("resnet50-flowers")
    request = recipe.request(Path("x"), {"epochs": 2, "surgery": (("unfreeze", "layer4*"),)})
    assert (request.model, request.epochs, request.optimizer) == ("resnet50", 2, "adam")
    assert request.surgery == (("unfreeze", "layer4*"),)
    assert request.recipe == "resnet50-flowers"


def test_a_recipes_own_surgery_comes_first():
    request = load_recipe("googlenet-flowers").request(
        Path("x"), {"surgery": (("freeze", "aux*"),)}
    )
    assert [action for action, _ in request.surgery] == ["unfreeze", "unfreeze", "freeze"]


def test_a_graft_has_no_other_model():
    with pytest.raises(ConfigError, match=r"vgg16-graft is a graft; it has no other model"):
        load_recipe("vgg16-graft").request(Path("x"), {"model": "resnet50"})


def test_a_file_is_a_recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('model = "resnet18"\nfreeze = ["fc"]\nlr = 1\n')
    with pytest.raises(ConfigError, match=r"mine.toml: A recipe has no key 'lr'"):
        load_recipe(path)
    path.write_text('model = "resnet18"\nunfreeze = ["layer4*"]\n[training]\nlr = 1\n')
    recipe = load_recipe(path)
    assert recipe.name == "mine"
    assert recipe.settings["lr"] == 1.0
    assert recipe.settings["surgery"] == (("unfreeze", "layer4*"),)
    assert is_recipe(path)
    assert not is_recipe("resnet18")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('modle = "resnet18"', r"A recipe has no key 'modle'. Did you mean 'model'\?"),
        ('model = "resnet18"\n[training]\nepoch = 3', r"has no key 'epoch'. Did you mean 'epochs'"),
        ('model = "resnet18"\n[chapter]\ntop1 = 3', r"\[chapter\] has no key 'top1'. Did you mean"),
        ('model = "resnet18"\n[training]\nepochs = "3"', r"epochs is '3'. It must be of type int"),
        ('model = "resnet18"\nsize = true', r"size is True. It must be of type int"),
        ('model = "resnet18"\ntraining = 3', r"training is 3. It must be a table: \[training\]"),
        ('model = "resnet18"\nfreeze = "*"', r"freeze is '\*'. It must be a list"),
        ('title = "nothing"', r"either a `model = .*` or a \[graft\] table"),
        ('model = "resnet18"\n[graft]\nlayers = ["resnet18"]', r"either a `model"),
        ('head = "linear"\n[graft]\nlayers = ["resnet18"]', r"head is for a recipe with a model"),
        (
            'modle = "resnet18"\n[training]\nlr = "fast"\nepochs = 0\n[chapter]\ntop1 = 3',
            r"4 problems: 1\. A recipe has no key 'modle'.*2\. epochs must be at least 1, got 0\. "
            r"3\. lr is 'fast'. It must be of type float. 4\. \[chapter\] has no key 'top1'",
        ),
        ("model = ", r"is no TOML: Invalid value .*Mend that line"),
        (
            '[graft]\nlayers = [{ from = "vgg16.features.0", frozn = true }]',
            r"layers\[1\].*'frozen'",
        ),
    ],
)
def test_wrong_recipes_are_told(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(path)
    assert caught.value.file == str(path)


def test_an_unknown_model_is_told(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('model = "resnet81"')
    with pytest.raises(UnknownName, match=r"No architecture is called 'resnet81'. Did you mean"):
        load_recipe(path)


def test_an_unknown_recipe_gets_the_nearest():
    with pytest.raises(UnknownName, match=r"no recipe 'vgg16-cat'. Did you mean 'vgg16-catdog'"):
        load_recipe("vgg16-cat")
    with pytest.raises(UnknownName, match=r"no recipe 'none.toml'"):
        text_of("none.toml")


def test_every_bundled_file_is_listed():
    assert set(names()) == {*CHAPTER, "lite0-flowers"}
