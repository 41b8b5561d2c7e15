"""`explain`: pictures of where it looked, evidence from training, and clear errors."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

IMAGE = "photos/red/red-00.png"


@pytest.fixture(scope="module")
def explained(place, run):
    """What these commands say."""
    (place.folder / "torn.png").write_bytes((place.folder / IMAGE).read_bytes()[:200])
    shutil.copytree(place.folder / run, place.folder / "lonely")
    (place.folder / "lonely" / "config.json").unlink()
    shutil.copytree(place.folder / run, place.folder / "left")
    listed = place.folder / "left" / "photos.csv"
    listed.write_text(listed.read_text().replace("/photos/", "/gone/"))
    first, second = "blocks.4", "conv_stem"
    commands = {
        "json": ["explain", run, IMAGE, "photos/blue/blue-01.png", "--json"],
        "text": ["explain", run, IMAGE, "--out", "again"],
        "asked": [
            "explain", run, IMAGE, "--class", "green", "--layer", first, "--maps", second,
            "--filters", "--out", "asked", "--json",
        ],
        "layer": ["explain", run, IMAGE, "--layer", "blocks.99", "--json"],
        "flat": ["explain", run, IMAGE, "--layer", "classifier", "--json"],
        "class": ["explain", run, IMAGE, "--class", "purple", "--json"],
        "torn": ["explain", run, "torn.png", "--json"],
        "unwritable": ["explain", run, IMAGE, "--out", "torn.png/x", "--json"],
        "lonely": ["explain", "lonely/model.safetensors", IMAGE, "--out", "lonely-out", "--json"],
        "left": ["explain", "left", IMAGE, "--out", "left-out", "--json"],
    }  # fmt: skip
    return dict(zip(commands, place.run_several(list(commands.values())), strict=True))


def test_each_photo_gets_a_picture_and_evidence(explained, place):
    found = explained["json"].json
    assert [image["class"] for image in found["images"]] == ["red", "blue"]
    assert found["note"] is None
    for image in found["images"]:
        picture = np.asarray(Image.open(place.folder / image["picture"]))
        assert picture.shape == (224, 224, 3)
        assert [near["class"] for near in image["neighbours"]] == [image["class"]] * 3
        cosines = [near["cosine"] for near in image["neighbours"]]
        assert cosines == sorted(cosines, reverse=True)
        assert all(Path(n["path"]).name != Path(image["path"]).name for n in image["neighbours"])


def test_the_text_names_the_picture(explained):
    assert "red 0." in explained["text"].out or "red 1." in explained["text"].out
    assert "again/red-00-red.png" in explained["text"].out
    assert explained["text"].out.count("\n  like ") == 3


def test_a_class_a_layer_filters_and_maps_can_be_asked_for(explained, place):
    found = explained["asked"].json
    (image,) = found["images"]
    assert (image["class"], image["layer"]) == ("green", "blocks.4")
    assert image["probability"] < 0.5
    names = [Path(picture).name for picture in found["pictures"]]
    assert names == ["filters.png", "maps-conv_stem.png"]
    for picture in found["pictures"]:
        assert np.asarray(Image.open(place.folder / picture)).std() > 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("layer", "no layer 'blocks.99'. Did you mean"),
        ("flat", "The output of classifier cannot be shown as a map."),
        ("class", "There is no class 'purple'. There are blue, green, red."),
        ("torn", "torn.png cannot be read"),
        ("unwritable", "cannot be written to torn.png/x"),
    ],
)
def test_what_is_wrong_is_told(explained, name, said):
    assert explained[name].code == 1
    problem = explained[name].json
    told = " ".join(str(problem[k]) for k in ("error", "expected", "next") if problem.get(k))
    assert said in told


@pytest.mark.parametrize(
    ("name", "note"),
    [("lonely", "there is no config.json beside it"), ("left", "no longer where they were")],
)
def test_without_training_photos_there_is_no_evidence_and_a_note(explained, name, note):
    found = explained[name].json
    assert explained[name].code == 0
    assert note in found["note"]
    assert found["images"][0]["neighbours"] == []
