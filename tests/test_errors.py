"""Every error says, in one line, what is wrong, what was expected and what to do next."""

import inspect
import pickle
from pathlib import Path

import pytest

from budwood import errors
from budwood.errors import BudwoodError, UnknownName

CLASSES = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, BudwoodError)
]
BASES = {
    "DataError": ValueError,
    "ImageError": errors.DataError,
    "ConfigError": ValueError,
    "PatternError": ValueError,
    "CutError": ValueError,
    "UnknownName": KeyError,
    "WeightsError": OSError,
    "StoreError": OSError,
    "CapsuleError": ValueError,
    "EngineError": RuntimeError,
    "FrozenChanged": RuntimeError,
}


def full(error):
    return error("No 'a'.", expected="There is 'b'.", next="Take 'b'.", file=Path("folder/x"))


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_carries_what_helps(error):
    made = full(error)
    assert (made.problem, made.expected, made.next) == ("No 'a'.", "There is 'b'.", "Take 'b'.")
    assert made.file == str(Path("folder/x"))


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_is_one_line_and_unquoted(error):
    assert str(full(error)) == "No 'a'. There is 'b'. Take 'b'."
    assert str(error("Only this.")) == "Only this."
    assert str(error("Two.", next="Parts.")) == "Two. Parts."


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_is_an_object_for_json(error):
    assert full(error).to_json() == {
        "error": "No 'a'.",
        "file": str(Path("folder/x")),
        "expected": "There is 'b'.",
        "next": "Take 'b'.",
    }
    assert set(error("Only this.").to_json().values()) == {"Only this.", None}


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_survives_going_to_another_process(error):
    back = pickle.loads(pickle.dumps(full(error)))
    assert type(back) is error
    assert str(back) == "No 'a'. There is 'b'. Take 'b'."
    assert back.to_json() == full(error).to_json()


def test_errors_are_caught_where_python_people_expect_it():
    assert {error.__name__ for error in CLASSES} == {"BudwoodError", *BASES}
    for name, base in BASES.items():
        assert issubclass(getattr(errors, name), base)


def test_the_tree_in_the_docstring_names_every_class():
    for error in CLASSES:
        assert error.__name__ in errors.__doc__
        assert error.__doc__


def test_a_key_error_does_not_quote_its_text():
    with pytest.raises(UnknownName, match="^No network is called 'x'. Take 'y'.$"):  # noqa: RUF043
        raise UnknownName("No network is called 'x'.", next="Take 'y'.")
