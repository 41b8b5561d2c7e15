"""A run is judged alike, whether its folder or its capsule is named."""

from types import SimpleNamespace

import pytest

from budwood.errors import DataError
from budwood.files import write_json
from budwood.tasks import evaluate as judgements


@pytest.mark.parametrize("named", [".", "model.safetensors"])
def test_the_column_of_groups_is_that_of_the_training(tmp_path, monkeypatch, named):
    write_json(tmp_path / "config.json", {"data": "photos", "group": "patient"})
    (tmp_path / "model.safetensors").touch()
    model = SimpleNamespace(class_names=("x", "y"), preprocessing=SimpleNamespace(depth=None))
    monkeypatch.setattr(judgements, "read_capsule", lambda run: SimpleNamespace(precision="bf16"))
    monkeypatch.setattr(judgements.ImageClassifier, "of_capsule", lambda capsule, **options: model)

    def load_test(data, classes, group, depth):
        raise DataError(f"{data} is asked for {group} of {classes}.")

    monkeypatch.setattr(judgements, "load_test", load_test)
    with pytest.raises(DataError, match=r"list\.csv is asked for patient of \('x', 'y'\)"):
        judgements.evaluate(tmp_path / named, "list.csv")
