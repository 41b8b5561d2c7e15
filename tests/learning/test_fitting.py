"""Fitting as a whole is tested in test_classifier.py; here is what it says of the photos."""

from budwood.learning.fitting import data_fingerprint


def test_the_fingerprint_does_not_depend_on_the_order():
    one = data_fingerprint([b"a" * 16, b"b" * 16], ["cat", "dog"])
    assert data_fingerprint([b"b" * 16, b"a" * 16], ["dog", "cat"]) == one
    assert data_fingerprint([b"a" * 16, b"b" * 16], ["dog", "cat"]) != one
    assert data_fingerprint([b"a" * 16], ["cat"]) != one
