"""The catalogue: quick, complete, and true to the installed libraries."""

import os
import random
import subprocess
import sys

import pytest
import timm
import torchvision

from budwood.errors import UnknownName
from budwood.models.building import structure
from budwood.models.catalog import Architecture, find, list_models
from budwood.models.classics_source import CLASSICS

STALE = "The table differs from the installed libraries: run tools/make_catalog.py"

PUBLISHED = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "googlenet": 6_624_904,
    "resnet50": 25_557_032,
    "resnet152": 60_192_808,
    "efficientnet_b0": 5_288_548,
    "densenet121": 7_978_856,
    "mobilenet_v2": 3_504_872,
    "vit_b_16": 86_567_656,
}
"""Parameters as torchvision documents them."""


def drawn() -> list[Architecture]:
    """A dozen architectures for the parameter counts, or all with BUDWOOD_ALL_ARCHS=1."""
    if os.environ.get("BUDWOOD_ALL_ARCHS") == "1":
        return list(list_models())
    small = [architecture for architecture in list_models() if architecture.parameters < 50_000_000]
    return random.Random(0).sample(small, 12)


def test_every_torchvision_classifier_is_there():
    listed = {each.bare for each in list_models("torchvision/*")}
    assert listed == set(torchvision.models.list_models(module=torchvision.models)), STALE


def test_every_timm_model_is_there():
    assert {each.bare for each in list_models("timm/*")} == set(timm.list_models()), STALE


def test_every_classic_is_there():
    assert {each.bare for each in list_models("budwood/*")} == set(CLASSICS), STALE


@pytest.mark.parametrize("architecture", drawn(), ids=lambda each: each.qualified)
def test_parameters_are_those_of_the_built_network(architecture):
    network = structure(architecture, device="meta")
    assert sum(each.numel() for each in network.parameters()) == architecture.parameters, STALE


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_parameters_of_the_classics_are_the_documented_ones(name, parameters):
    assert find(name).parameters == parameters


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet50", 224),
        ("inception_v3", 299),
        ("efficientnet_b7", 600),
        ("efficientnet_lite2", 260),
        ("efficientnet_b7_2019", 600),
        ("alexnet_2012", 227),
    ],
)
def test_the_input_is_that_of_the_default_weights(name, size):
    assert find(name).input == (3, size, size)


@pytest.mark.parametrize(
    ("asked", "source"),
    [
        ("resnet50", "torchvision"),
        ("timm/resnet50", "timm"),
        ("torchvision/resnet50", "torchvision"),
        ("vit_tiny_patch16_224", "timm"),
        ("timm/vit_tiny_patch16_224", "timm"),
        ("efficientnet_lite0", "packaged"),
        ("timm/efficientnet_lite0", "timm"),
        ("vgg_a", "budwood"),
        ("budwood/vgg_a", "budwood"),
        ("tf_efficientnet_lite0", "timm"),
    ],
)
def test_a_bare_name_is_torchvisions_else_timms(asked, source):
    assert find(asked).source == source


def test_every_architecture_is_found_by_both_names():
    assert all(find(each.name) is find(each.qualified) is each for each in list_models())


def test_names_are_unique_and_sorted():
    names = [each.name for each in list_models()]
    assert names == sorted(set(names))


@pytest.mark.parametrize("pattern", ["resnet18", "RESNET18", "ResNet1[8]"])
def test_patterns_match_whatever_the_case(pattern):
    assert [each.qualified for each in list_models(pattern)] == ["torchvision/resnet18"]


def test_a_pattern_that_matches_nothing_gives_nothing():
    assert list_models("no such thing") == ()


@pytest.mark.parametrize("wrong", ["resnet5O", "ResNet50", "resnet_50"])
def test_an_unknown_name_gets_the_nearest(wrong):
    with pytest.raises(UnknownName, match=r"Did you mean 'resnet50'\? `budwood models` lists them"):
        find(wrong)


def test_a_name_near_nothing_gets_the_list():
    with pytest.raises(UnknownName, match=r"called '@@@'. `budwood models` lists them"):
        find("@@@")


def test_the_catalogue_answers_without_torch_and_reads_its_table_once():
    code = (
        "import sys; from budwood.models import catalog;"
        "catalog.list_models('*resnet*'); catalog.find('resnet50'); catalog.find('resnet18');"
        "loaded = {'torch', 'torchvision', 'timm', 'numpy'} & set(sys.modules);"
        "reads = catalog._table.cache_info().misses;"
        "sys.exit(f'{loaded} {reads}' if loaded or reads != 1 else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
