"""Errors: one line that names the problem and the next step, as one object with --json."""

import pickle
import shutil
import subprocess

import pytest
import torch

from .conftest import draw_class

RUN = "runs/photos-efficientnet_lite0"


class Evil:
    """Unpickling it would make a file."""

    def __reduce__(self):
        return open, ("the-code-ran", "w")


# What is typed, the exit code, and what the line must say: problem, then next step.
QUICK = {
    "missing folder": (["train", "fotos"], 1, ["no folder or CSV file fotos", "mean photos?"]),
    "missing folder, none near": (["train", "x/y"], 1, ["CSV file x/y", "Check the path."]),
    "missing test folder": (["train", "photos", "--test", "photo"], 1, ["mean photos?"]),
    "unknown model": (["train", "photos", "--model", "resnet5O"], 1, ["mean 'resnet50'?"]),
    "unknown precision": (["train", "photos", "--precision", "fp16"], 2, ["'fp16'", "'bf16'"]),
    "unknown optimizer": (["train", "photos", "--optimizer", "lion"], 2, ["'lion'", "'adamw'"]),
    "unknown schedule": (["train", "photos", "--schedule", "step"], 2, ["'step'", "'cosine'"]),
    "no epochs": (["train", "photos", "--epochs", "0"], 2, ["'--epochs': 0", "x>=1"]),
    "negative lr": (["train", "photos", "--lr", "-1"], 2, ["'--lr': -1.0", "x>0"]),
    "no patience": (["train", "photos", "--patience", "0"], 2, ["'--patience': 0", "x>=1"]),
    "store limit": (["train", "photos", "--store-limit", "much"], 2, ["'much'", "write 500MB"]),
    "val": (["train", "photos", "--val", "1"], 2, ["'--val': 1.0", "0<=x<1"]),
    "unknown option": (["train", "photos", "--epoch", "3"], 2, ["--epoch", "'--epochs'"]),
    "no data": (["train"], 2, ["Missing argument 'DATA'", "`budwood train --help`"]),
    "unknown command": (["trian", "photos"], 2, ["'trian'", "Did you mean 'train'?"]),
    "strange command": (["xyzzy"], 2, ["No command is called 'xyzzy'.", "`budwood --help`"]),
    "unknown key": (["cache", "clear", "zz"], 1, ["under 'zz'", "`budwood cache list`"]),
    "no such network": (["models", "resnt50"], 1, ["'resnt50'", "mean 'resnet50'?"]),
    "glob without match": (["models", "resnt*"], 1, ["'resnt*'", "quote the glob"]),
    "missing run": (["evaluate", RUN[:-1], "photos"], 1, ["no run", f"mean {RUN}?"]),
    "missing run, none near": (["verify", "nowhere"], 1, ["no run nowhere", "`budwood train`"]),
    "missing run to inspect": (["inspect", RUN[:-1]], 1, [f"mean {RUN}?"]),
    "unknown network to inspect": (["inspect", "vgg166"], 1, ["'vgg166'", "mean 'vgg16'?"]),
    "input shape": (["inspect", "vgg16", "--input", "3,4"], 2, ["'3,4'", "channels,height"]),
    "head alone": (["inspect", "vgg16", "--head", "linear"], 2, ["--head needs --classes"]),
    "neither": (["predict", "resnet5O", "photos"], 1, ["no run resnet5O", "mean resnet50?"]),
    "missing photo": (["predict", RUN, "photo"], 1, ["photo or folder photo", "mean photos?"]),
    "csv folder": (["predict", RUN, "photos", "--csv", "x/y.csv"], 1, ["no folder x", "Make it"]),
    "out is a file": (["train", "photos", "--out", "evil.pth"], 2, ["'evil.pth' is a file"]),
}
SLOW = {
    "no effect": (["train", "photos", "--lr", "1"], 1, ["--lr has no effect", "Add --fit sgd"]),
    "not linear": (["train", "photos", "--head", "mlp:4", "--fit", "logistic"], 1, ["one linear"]),
    "unfit for names": (["predict", "lenet5", "photos"], 1, ["lenet5 knows no classes", "Train"]),
    "one class": (["train", "photos/red"], 1, ["lie in no class folder"]),
    "only one class": (["train", "single"], 1, ["only one class, 'red'", "Add a folder"]),
    "no layer": (["train", "photos", "--freeze", "layer9.*"], 1, ["'layer9.*'", "are pad, conv"]),
    "all frozen": (["train", "photos", "--freeze", "*"], 1, ["Everything is frozen", "--unfreeze"]),
    "pickle": (["train", "photos", "--weights", "bare.pth"], 1, ["is not loaded", "python -c"]),
    "evil .pth": (["train", "photos", "--weights", "evil.pth"], 1, ["is not loaded", "python -c"]),
    "missing file": (["train", "photos", "--weights", "no.pth"], 1, ["no file of weights no.pth"]),
    "unknown weights": (["train", "photos", "--weights", "jft"], 1, ["'jft'", "imagenet, none"]),
    "unknown head": (["train", "photos", "--head", "mlp"], 1, ["called 'mlp'", "mlp:2048,1024"]),
    "unknown device": (["train", "photos", "--device", "gpu"], 1, ["'gpu'", "cpu, cuda or mps"]),
    "no val photos": (
        ["train", "photos", "--fit", "sgd", "--patience", "2"],
        1,
        ["--patience", "--val 0.1"],
    ),
    "out in a file": (["train", "photos", "--out", "evil.pth/x"], 1, ["is a file", "pass --out"]),
    "cut short": (["predict", "short.safetensors", "photos"], 1, ["cut short", "Copy it again"]),
    "no capsule": (["verify", "photos"], 1, ["no capsule at photos", "model.safetensors"]),
    "no list": (["predict", RUN, "-"], 1, ["No photo was given", "Pass photos"]),
}
CASES = QUICK | SLOW


@pytest.fixture(scope="module")
def answers(place, run):
    """What each case says: with --json in the first half of the list, as text in the second."""
    shutil.copytree(place.folder / "photos" / "red", place.folder / "single" / "red")
    whole = (place.folder / run / "model.safetensors").read_bytes()
    (place.folder / "short.safetensors").write_bytes(whole[: len(whole) // 2])
    (place.folder / "bare.pth").write_bytes(pickle.dumps(Evil()))
    torch.save({"weight": Evil()}, place.folder / "evil.pth")
    commands = [args for args, _, _ in CASES.values()]
    as_json = [[*args, "--json"] for args in commands]
    outcomes = place.run_several([*commands, *as_json])
    texts, objects = outcomes[: len(CASES)], outcomes[len(CASES) :]
    return dict(zip(CASES, zip(texts, objects, strict=True), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_one_line_with_the_next_step(answers, case):
    _, code, parts = CASES[case]
    text, _ = answers[case]
    lines = [line for line in text.err.splitlines() if not line.startswith("  ")]
    assert len(lines) == 1, text.err
    assert lines[0].startswith("budwood: ")
    assert all(part in lines[0] for part in parts), lines[0]
    assert text.code == code
    assert not text.out


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_one_object_with_json(answers, case):
    _, code, parts = CASES[case]
    _, as_json = answers[case]
    fields = as_json.json
    assert fields.keys() == {"error", "file", "expected", "next"}
    assert all(part in " ".join(filter(None, fields.values())) for part in parts), fields
    assert as_json.code == code
    assert "budwood:" not in as_json.err


def test_no_code_ran(answers, place):
    assert not (place.folder / "the-code-ran").exists()


def test_no_failed_command_left_a_run_behind(answers, place):
    names = {path.name for path in (place.folder / "runs").iterdir()}
    assert not [name for name in names if name.startswith("single")]


def test_no_arguments_show_the_help_and_fail(place):
    outcome = place.run(fresh=True)
    assert outcome.code == 2
    assert outcome.err.startswith("Usage: budwood [OPTIONS] COMMAND")
    assert not outcome.out


def test_a_group_of_commands_asks_for_one(place):
    outcome = place.run("cache", fresh=True)
    assert outcome.code == 2
    assert outcome.err == "budwood: Missing command. See `budwood cache --help`.\n"


def test_a_table_and_an_object_cannot_share_stdout(place, run):
    outcome = place.run("predict", run, "photos", "--csv", "-", "--json")
    assert outcome.code == 2
    assert outcome.json["error"] == "--csv - and --json cannot both go to stdout."


def test_a_missing_folder_is_told_before_torch_is_loaded(place):
    program = (
        "import sys; from budwood.cli import main\n"
        "sys.argv = ['budwood', 'train', 'fotos']\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    assert place.python(program) == "1 False\n"


def test_debug_shows_the_traceback_beside_the_object(place):
    outcome = place.run("train", "fotos", "--debug", "--json")
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert outcome.json["file"] == "fotos"


def test_weights_that_must_be_downloaded_say_how_to_go_on_offline(place):
    outcome = place.run("train", "photos", "--model", "vgg16", "--json")
    assert outcome.code == 1
    assert "download.pytorch.org" in outcome.json["error"]
    assert "--weights PATH" in outcome.json["next"]


def test_a_reader_that_goes_away_is_no_error(place):
    with place.start("models") as models:
        models.stdout.readline()
        models.stdout.close()
        assert models.wait(timeout=30) in (0, 141)
        assert models.stderr.read() == ""


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for 200 files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "nr_inodes=200", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def touch(folder, count):
    folder.mkdir()
    for number in range(count):
        (folder / str(number)).touch()


def test_a_full_disk_is_one_line_and_costs_nothing_that_was_stored(place, run, small_disk):
    """The disk is full although it had room when that was asked for: of files, not of bytes."""
    home = {"BUDWOOD_HOME": str(small_disk / "home")}
    shutil.copytree(place.home, small_disk / "home")
    draw_class(place.folder / "more" / "blue", 160, 10, "jpg")
    draw_class(place.folder / "more" / "red", 0, 10, "jpg")
    with pytest.raises(OSError, match="No space left"):
        touch(small_disk / "others", 10_000)
    full = place.run("train", "more", fresh=True, **home)
    assert full.code == 1
    (line,) = [line for line in full.err.splitlines() if line.startswith("budwood: ")]
    assert "No space left on device. What was stored before is kept. Free some disk" in line
    shutil.rmtree(small_disk / "others")
    again = place.run("train", "photos", "--json", **home).json
    assert (again["store"]["hits"], again["store"]["misses"]) == (30, 0)
    assert place.run("cache", "verify", "--json", **home).json["clean"] is True
