"""docs/cli.md is what its generator writes; docs/json.md documents every key, and no other."""

import json
import re
import runpy
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from budwood.course.datasets import DATASETS, ScannedFolder
from budwood.evaluation.learning_curve import LearningCurve, curve_of
from budwood.evaluation.selective import SelectiveRule
from budwood.features.engine_trial import TimedNetwork
from budwood.features.engines import EngineSpec
from budwood.learning.int8_trial import Trial
from budwood.learning.training_sizes import PartialFit
from budwood.models.building import build
from budwood.settings import Settings
from budwood.tasks.fixes import Fix

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[[\w ]+\]\(#([\w-]+)\)")
INHERITS = re.compile(r"^All fields of \[\w+\]\(#([\w-]+)\)", re.M)
MISTAKEN = "train photos --head mlp:4 --epochs 1 --lr 1e-9 --precision fp32"
"""Learns nothing, and so makes mistakes that can be shown."""
VERIFIED = "train photos --abstain 0.4 --kfold 2 --learning-curve"
"""Says all that it can about what its word is worth."""
TRIAL = Trial(
    images=9, reference="bf16", both_right=5, gained=1, lost=1, interval=(-0.3, 0.3), speed=1.5
)
RECIPE = """
model = "efficientnet_lite0"
example = "1"
[chapter]
train_images = 1
test_images = 2
train_top1 = 0.5
test_top1 = 0.4
seconds = 3
device = "a GPU"
"""
NAMED = {"classes", "settings", "libraries", "graft.layers[]", "counts", "receipt.counts"}
"""Objects whose keys are names from the data; the tables write `*` for them."""
TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "list": list,
    "object": dict,
    "null": type(None),
}


def test_the_cli_reference_is_up_to_date():
    page = runpy.run_path(str(ROOT / "tools" / "make_cli_docs.py"))["page"]()
    written = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert written == page, "run: python tools/make_cli_docs.py"


def sections() -> dict[str, str]:
    """The text below each heading of docs/json.md."""
    _, *parts = re.split(r"^## (.+)\n", (ROOT / "docs" / "json.md").read_text("utf-8"), flags=re.M)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def own_fields(section: str) -> dict[str, str]:
    """The fields in the table of a section with what is said of their type."""
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \| .+ \|$", sections()[section], re.M)
    return dict(rows)


def documented(section: str, prefix: str = "") -> dict[str, tuple[str, ...]]:
    """The types of every field of a section, those of linked objects too."""
    fields: dict[str, tuple[str, ...]] = {}
    for base in INHERITS.findall(sections()[section]):
        fields |= documented(base, prefix)
    for name, types in own_fields(section).items():
        for linked in LINK.findall(types):
            fields |= documented(linked.replace("-", " "), f"{prefix}{name}.")
        fields[f"{prefix}{name}"] = tuple(LINK.sub("object", types).split(" or "))
    return fields


def found(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of an object with its path, as the tables write it."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            named = path.removeprefix("recipes[].") in NAMED
            name = f"{path}.{'*' if named else key}".lstrip(".")
            yield name, below
            yield from found(below, name)
    elif isinstance(value, list):
        for below in value:
            yield from found(below, f"{path}[]")


def has_type(value: Any, types: tuple[str, ...]) -> bool:
    if isinstance(value, bool):
        return "boolean" in types
    return any(isinstance(value, TYPES[name]) for name in types)


def headless(folder: Path) -> Path:
    """The default weights without their head, in a file."""
    state = build("efficientnet_lite0").state_dict()
    body = {name: tensor for name, tensor in state.items() if "classifier" not in name}
    torch.save(body, folder / "headless.pth")
    return folder / "headless.pth"


def doubles(place) -> Path:
    """Photos of which one is in the training and in the test part, too."""
    for part in ("train", "test"):
        shutil.copytree(place.folder / "photos", place.folder / "doubles" / part)
    return place.folder / "doubles"


@pytest.fixture(scope="module")
def objects(place, trained, run, verbs, demo, lesson) -> dict[str, list[dict[str, Any]]]:
    """Real objects of every section."""
    commands = {
        "train": [*MISTAKEN.split(), "--val", "0.2"],
        "data list": ["data", "list"],
        "models": ["models", "vgg*"],
        "inspect": ["inspect", "resnet18"],
        "graft": ["graft", "vgg16-graft"],
        "recipe list": ["recipe", "list"],
        "recipe show": ["recipe", "show", "vgg16-graft"],
        "trusted": [*VERIFIED.split()],
        "evaluate of two runs": ["evaluate", run, run, "photos", "--abstain", "0.4"],
        "recipe run": ["recipe", "run", "mine.toml", "--data", "photos"],
        "train from a file": ["train", "photos", "--weights", headless(place.folder)],
        "audit": ["audit", doubles(place)],
        "compare": ["compare", "photos", "--models", "lenet5=none,lenet5=nowhere.pth"],
        "doctor": ["doctor", "problems"],
        "cache list": ["cache", "list"],
        "cache verify": ["cache", "verify"],
        "error": ["train", "fotos"],
        "explain": ["explain", trained.json["run"], "photos/red/red-01.png", "--filters"],
        "report": ["report", "reported"],
    }
    (place.folder / "mine.toml").write_text(RECIPE)
    # A copy, since other tests look at the page that the training left.
    shutil.copytree(place.folder / trained.json["run"], place.folder / "reported")
    shutil.copytree(place.folder / "photos", place.folder / "problems")
    (place.folder / "problems" / ".hidden").mkdir()
    outcomes = place.run_several([[*command, "--json"] for command in commands.values()])
    cleared = place.run("cache", "clear", "--json", BUDWOOD_HOME=str(place.folder / "empty-home"))
    seen = {name: [o.json] for name, o in zip(commands, outcomes, strict=True)}
    seen["train"] += [trained.json, *seen.pop("recipe run"), *seen.pop("train from a file")]
    (verified,) = seen.pop("trusted")
    seen["train"].insert(0, verified)
    parts = ("calibration", "ood", "abstain", "kfold", "learning_curve")
    seen |= {name.replace("_", " "): [verified[name]] for name in parts}
    seen["learning curve"].append(rising().to_json())
    fixed = Fix(Path("photos/red/1.png"), Path("photos-removed/red/1.png")).to_json()
    seen["audit"].append(seen["audit"][0] | {"fixed": [fixed]})
    timed = TimedNetwork("lite0", {EngineSpec("openvino", "fp32"): 0.004}).to_json()
    seen["doctor"].append(seen["doctor"][0] | {"timed": [timed]})
    compared = seen["compare"][0]
    seen["compare"].append(compared | {"recommended": compared["best"]})  # few photos: it is null
    seen["config"] = [Settings(data=Path("photos"), epochs=3).to_json()]
    seen["receipt"] = [seen["train"][-1]["receipt"]]
    seen["train"].append(trained.json | {"int8": TRIAL.to_json()})
    for verb in ("evaluate", "predict broken", "verify"):
        seen[verb.removesuffix(" broken")] = [verbs[f"{verb} json"].json]
    abstaining = {"abstain": SelectiveRule(0.02, 0.7, 500, 450, 4).to_json()}
    seen["predict"].append(seen["predict"][0] | abstaining)
    seen["cache clear"] = [cleared.json]
    seen["data get"] = [ScannedFolder(DATASETS["flowers"], Path("flowers")).to_json()]
    seen["demo"] = [demo.as_json.json]
    seen["lesson degradation"] = [lesson.as_json.json]
    seen["evaluation"] = [trained.json["test"], seen["train"][0]["test"]]
    return seen


def rising() -> LearningCurve:
    """A learning curve that can be forecast."""
    right = {0.25: 0.6, 0.5: 0.7, 1.0: 0.8}
    place = np.tile(np.linspace(0, 1, 400), (2, 1))
    fits = [PartialFit(share, round(400 * share), 1.0 * (place < p)) for share, p in right.items()]
    return curve_of(fits, np.arange(400) % 2, None)


def test_every_command_has_a_section(objects):
    assert set(sections()) == set(objects)


SECTIONS = list(sections())


@pytest.mark.parametrize("section", SECTIONS)
def test_every_real_key_is_documented(objects, section):
    real = {path for one in objects[section] for path, _ in found(one)}
    assert real - set(documented(section)) == set()


@pytest.mark.parametrize("section", SECTIONS)
def test_every_documented_key_is_real(objects, section):
    real = {path for one in objects[section] for path, _ in found(one)}
    documented_here = {name for name in own_fields(section) if not name.endswith("[]")}
    assert documented_here - real == set()


@pytest.mark.parametrize("section", SECTIONS)
def test_every_value_has_the_documented_type(objects, section):
    types = documented(section)
    for one in objects[section]:
        for path, value in found(one):
            assert has_type(value, types[path]), (path, value)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_example_is_json_with_the_keys_of_its_section(section):
    (example,) = re.findall(r"```json\n(.+?)```", sections()[section], re.S)
    shown = {path for path, _ in found(json.loads(example)) if not path.endswith("...")}
    assert shown <= set(documented(section))
    top = {path for path in documented(section) if "." not in path and not path.endswith("[]")}
    assert top <= shown
