import pytest

from budwood.data.labels import FEW, Note, few_or_one


@pytest.mark.parametrize("number", [0, 1, FEW])
def test_a_few_notes_stay_as_they_are(number):
    notes = [Note("empty", f"{n} is empty.") for n in range(number)]
    assert few_or_one(notes, ["x"] * number, "{number}: {names}") == notes


def test_more_are_one_that_is_about_all():
    names = [f"k{{{n}}}" for n in range(1200)]
    notes = [Note("empty", f"{name} is empty.", about=(name,)) for name in names]
    (note,) = few_or_one(notes, names, "{number} are empty: {names}.")
    assert note.text == "1,200 are empty: k{0}, k{1}, k{2} and 1,197 more."
    assert (note.kind, note.about, note.file) == ("empty", tuple(names), None)
