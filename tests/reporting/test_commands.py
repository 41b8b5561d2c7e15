"""The command of a run asks for the same again."""

import shlex
from pathlib import Path

import pytest

from budwood.cli.train import train as command
from budwood.course.recipes import load_recipe
from budwood.reporting.records import command_of
from budwood.settings import Settings


def asked(line):
    """What the options of a command come to."""
    words = shlex.split(line)
    assert words[:2] == ["budwood", "train"]
    context = command.make_context("train", words[2:])
    return context.params, context.meta["surgery"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "resnet50", "surgery": (("unfreeze", "layer4*"), ("freeze", "layer4.0*"))},
        {"head": "mlp:8", "epochs": 3, "lr": 0.01, "val": 0.1, "seed": 5, "patience": 2},
        {"aux_heads": True, "strict": True, "weights": "none", "size": 64, "precision": "fp32"},
        {"fit": "sgd", "batch_size": 64},
        {"fit": "logistic"},
        {"report": False, "store_limit": 500},
    ],
)
def test_it_asks_for_the_same_again(changes, tmp_path):
    request = Settings(data=tmp_path, **changes)
    params, surgery = asked(command_of(request))
    assert surgery == request.surgery
    for name, value in changes.items():
        if name not in ("surgery", "report"):
            assert params[name] == value
    assert params["data"] == tmp_path


def test_a_recipe_is_named():
    request = load_recipe("vgg16-graft").request(Path("my photos"), {"seed": 3})
    line = command_of(request)
    assert line.startswith("budwood train 'my photos' --recipe vgg16-graft")
    assert "--seed 3" in line
    assert "--model" not in line
