"""Each command as a user runs it: in a process of its own, which loads what it needs by itself.

`train`, `audit`, `demo`, `doctor`, `lesson` and `cache` are run so in the tests of their own.
"""

import shutil

import pytest

COMMANDS = {
    "evaluate": ["{run}", "photos"],
    "predict": ["{run}", "photos/red/red-00.png"],
    "explain": ["{run}", "photos/red/red-00.png", "--out", "explained"],
    "report": ["copied-run"],
    "verify": ["{run}"],
    "compare": ["photos", "--models", "lenet5=none"],
    "inspect": ["resnet18", "--depth", "1"],
    "graft": ["vgg16-graft"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_needs_nothing_that_another_has_loaded(place, run, command):
    if command == "report":  # a copy, since other tests look at the page that the training left
        shutil.copytree(place.folder / run, place.folder / "copied-run")
    args = [word.format(run=run) for word in COMMANDS[command]]
    outcome = place.run(command, *args, fresh=True)
    assert outcome.code == 0, outcome.err
    assert outcome.out


def test_it_has_the_answers_of_a_process_that_was_forked(place, run):
    args = ("predict", run, "photos", "--json")
    assert place.run(*args).json == place.run(*args, fresh=True).json
