"""Origins survive JSON, whatever they hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.errors import ConfigError
from budwood.networks.info import Origin

origins = st.builds(
    Origin,
    architecture=st.text(),
    weights=st.text(),
    num_classes=st.integers(0),
    classes=st.none() | st.lists(st.text()).map(tuple),
    head=st.none() | st.text(),
    aux_heads=st.booleans(),
)


@given(origins)
def test_an_origin_survives_json(origin):
    assert Origin.from_json(json.loads(json.dumps(origin.to_json()))) == origin


@pytest.mark.parametrize(
    "fields", [{}, {"architecture": "a", "weights": "b", "num_classes": 1, "x": 2}]
)
def test_other_fields_are_refused(fields):
    with pytest.raises(ConfigError, match="The fields are architecture, weights, num_classes"):
        Origin.from_json(fields)
