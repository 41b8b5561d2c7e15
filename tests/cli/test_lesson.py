"""`budwood lesson`: an experiment from end to end, offline, and no file but where it may."""

from budwood.cli.lessons import lesson as lesson_command
from budwood.course.degradation import EPOCHS, IMAGES, NETWORKS


def test_it_trains_all_four_and_says_what_came_of_it(lesson):
    assert lesson.as_json.code == 0, lesson.as_json.err
    result = lesson.as_json.json
    assert [network["name"] for network in result["networks"]] == list(NETWORKS)
    assert [network["layers"] for network in result["networks"]] == [20, 56, 20, 56]
    sizes = {network["parameters"] for network in result["networks"]}
    assert len(sizes) == 2  # shortcuts have no parameters
    assert result["finding"].startswith("Without shortcuts 56 layers end at a training loss of")
    assert result["images"] == 6


def test_chart_and_figures_are_where_they_should_be_and_nothing_else(lesson):
    assert sorted(path.name for path in lesson.folder.iterdir()) == [
        ".budwood",
        "degradation.json",
        "degradation.svg",
    ]
    assert list(lesson.home.iterdir()) == []
    assert lesson.sockets == ""


def test_progress_goes_to_stderr(lesson):
    assert "Training plain20_cifar, 1 of 4." in lesson.as_json.err
    assert lesson.as_json.err.count("  epoch   1  loss") == 4


def test_defaults_are_those_of_the_library():
    params = lesson_command.commands["degradation"].make_context("degradation", []).params
    assert (params["epochs"], params["images"]) == (EPOCHS, IMAGES)
    assert (params["data"], str(params["out"]), params["seed"]) == (None, "lessons", 0)
