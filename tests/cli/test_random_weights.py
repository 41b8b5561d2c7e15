"""With --weights none every result says that its accuracy means nothing."""

import pytest

WARNING = "this accuracy means nothing"
RUN = "random"


@pytest.fixture(scope="module")
def outcomes(place):
    """train, evaluate and predict, each as text and as JSON."""
    commands = [
        ["train", "photos", "--weights", "none", "--precision", "fp32", "--out", RUN, "--replace"],
        ["evaluate", RUN, "photos"],
        ["predict", RUN, "photos"],
    ]
    names = [command[0] for command in commands]
    texts = place.run_several([*commands, *([*command, "--json"] for command in commands)])
    return dict(zip(names, zip(texts[:3], texts[3:], strict=True), strict=True))


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict"])
def test_the_text_warns(outcomes, verb):
    text, _ = outcomes[verb]
    assert text.code == 0
    assert text.out.count(WARNING) == 1


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict"])
def test_the_json_warns(outcomes, verb):
    _, as_json = outcomes[verb]
    assert WARNING in as_json.json["warning"]


def test_the_weights_are_called_none(outcomes):
    assert outcomes["train"][1].json["weights"] == "none"
