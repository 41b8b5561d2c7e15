"""What every command has: help, an example, --json; and defaults that are those of the library."""

import dataclasses
import re

import click
import pytest

from budwood.cli import COMMANDS, cli
from budwood.features.gathering import Extraction
from budwood.learning.training import Training
from budwood.settings import Settings


def commands():
    """Every command by its full name, those of groups too."""
    for name in COMMANDS:
        command = cli.get_command(None, name)
        if isinstance(command, click.Group):
            for below, subcommand in command.commands.items():
                yield f"{name} {below}", subcommand
        else:
            yield name, command


EVERY = dict(commands())
TRAIN = {option.name: option for option in EVERY["train"].params}


def help_of(command):
    return command.get_help(click.Context(command, info_name=command.name))


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_help_and_an_example_of_itself(name):
    command = EVERY[name]
    assert command.help
    assert re.search(rf"Examples?:\n(.*\n)*?.*\bbudwood {name}\b", command.help)


@pytest.mark.parametrize("name", EVERY)
def test_every_option_has_help(name):
    options = [param for param in EVERY[name].params if isinstance(param, click.Option)]
    assert {"--json", "--debug"} <= {opt for option in options for opt in option.opts}
    assert [option.name for option in options if not option.help] == []


def test_the_list_of_commands_is_not_cut_short():
    help_text = help_of(cli)
    assert "..." not in help_text.partition("Commands:")[2]
    assert all(re.search(rf"^  {name} +\w", help_text, re.MULTILINE) for name in COMMANDS)


def test_no_line_of_help_is_too_long():
    for command in (cli, *EVERY.values()):
        assert max(map(len, help_of(command).splitlines())) <= 100


def test_help_is_printed_and_loads_no_torch(place):
    program = (
        "import sys; from budwood.cli import main; sys.argv = ['budwood', '--help']\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'torchvision', 'timm', 'openvino', 'sklearn', 'numpy'}\n"
        "print(code, sorted(heavy & set(sys.modules)))"
    )
    printed = place.python(program)
    assert "Usage: budwood [OPTIONS] COMMAND" in printed
    assert printed.endswith("0 []\n")


def test_version(place):
    assert re.fullmatch(r"budwood, version \d+\.\d+\.\d+\n", place.run("--version").out)


def defaults(config):
    return {f.name: f.default for f in dataclasses.fields(config)}


def test_train_has_an_option_for_each_field_of_a_request():
    fields = set(defaults(Settings)) - {"surgery", "graft"}
    assert fields == set(TRAIN) - {"freeze", "unfreeze", "as_json", "debug"}


@pytest.mark.parametrize("name", sorted(set(TRAIN) & set(defaults(Settings)) - {"data"}))
def test_defaults_are_those_of_a_request(name, tmp_path):
    context = EVERY["train"].make_context("train", [str(tmp_path)])
    assert context.params[name] == defaults(Settings)[name]


@pytest.mark.parametrize("name", ["epochs", "lr", "batch_size", "optimizer", "schedule"])
def test_the_help_tells_the_defaults_of_training(name):
    assert f"[default: {defaults(Training)[name]}]" in TRAIN[name].help


@pytest.mark.parametrize("name", ["precision", "device", "store_limit"])
def test_defaults_are_those_of_extraction(name):
    assert defaults(Settings)[name] == defaults(Extraction)[name]


@pytest.mark.parametrize("name", ["optimizer", "schedule"])
def test_choices_are_those_that_training_takes(name):
    for choice in TRAIN[name].type.choices:
        assert getattr(Training(**{name: choice}), name) == choice


@pytest.mark.parametrize(
    "args",
    [
        ["--freeze", "a", "--unfreeze", "b", "--freeze", "c"],
        ["--freeze=a", "--unfreeze=b", "--freeze=c"],
        ["--freeze=a", "--seed", "3", "--unfreeze", "b", "--json", "--freeze", "c"],
    ],
)
@pytest.mark.parametrize("name", ["train", "inspect"])
def test_freeze_and_unfreeze_keep_their_order(name, args, tmp_path):
    args = [arg for arg in args if name == "train" or arg not in ("--seed", "3")]
    what = str(tmp_path) if name == "train" else "vgg16"
    context = EVERY[name].make_context(name, [what, *args])
    assert context.meta["surgery"] == (("freeze", "a"), ("unfreeze", "b"), ("freeze", "c"))


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("500MB", 500_000_000), ("2 GiB", 2 * 10**9), ("1.5k", 1500)]
)
def test_sizes_are_written_as_people_do(text, size, tmp_path):
    context = EVERY["train"].make_context("train", [str(tmp_path), "--store-limit", text])
    assert context.params["store_limit"] == size
