"""Which networks are meant by names, globs and NAME=WEIGHTS."""

import pytest

from budwood.errors import UnknownName
from budwood.networks.candidates import Candidate, candidates


def test_names_globs_and_weights():
    found = candidates(["vgg1[69]=none", "resnet18", "resnet18=IMAGENET1K_V1"])
    assert found == (
        Candidate("vgg16", "none"),
        Candidate("vgg19", "none"),
        Candidate("resnet18", "imagenet"),
        Candidate("resnet18", "IMAGENET1K_V1"),
    )


def test_a_network_is_taken_once():
    assert len(candidates(["resnet18", "resnet1?", "RESNET18"])) == 1


def test_a_glob_without_a_match_is_an_error():
    with pytest.raises(UnknownName, match=r"No network matches 'resnot\*'.*quote the glob"):
        candidates(["resnet18", "resnot*"])


def test_an_unknown_name_is_an_error_with_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'resnet18'"):
        candidates(["resnet81"])


def test_without_names_all_at_hand_are_meant():
    assert Candidate("efficientnet_lite0") in candidates([])
