"""Audits: a folder with planted faults, and folders in which there is hardly anything to audit."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw, ImageOps

from budwood.errors import BudwoodError, DataError
from budwood.evaluation.data_issues import Finding
from budwood.features.gathering import Extraction
from budwood.tasks.audit import Audit, audit

HUES = {"amber": 30, "azure": 150, "lime": 90}


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def budwood_home(shared_home, monkeypatch):
    """One home for all audits of this file: the trunk is compiled once."""
    monkeypatch.setenv("BUDWOOD_HOME", str(shared_home))
    return shared_home


def draw(hue, seed, size=(160, 120)):
    """Shapes in shades of one colour."""
    chance = random.Random(f"{hue} {seed}")
    image = Image.new("HSV", size, (hue, 80, chance.randint(60, 220)))
    pen = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = chance.randint(-20, size[0]), chance.randint(-20, size[1])
        box = (x, y, x + chance.randint(8, 70), y + chance.randint(8, 70))
        shade = (hue + chance.randint(-8, 8), chance.randint(120, 255), chance.randint(40, 255))
        (pen.rectangle if chance.random() < 0.5 else pen.ellipse)(box, fill=shade)
    return image.convert("RGB")


def save(image, path, when=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if when:
        exif[ExifTags.Base.Model] = "Camera"
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = when
    image.save(path, "JPEG", quality=92, exif=exif, **options)
    return path


def draw_folder(root, classes=HUES, train=14, test=6):
    for name in classes:
        for part, numbers in (("train", range(train)), ("test", range(100, 100 + test))):
            for n in numbers:
                save(draw(HUES[name], n), root / part / name / f"{n:03}.jpg")
    return root


def audited(folder, **options):
    return audit(folder, extraction=Extraction(), **options)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A folder with one fault of each kind."""
    root = draw_folder(tmp_path_factory.mktemp("faulty") / "photos")
    train, test = root / "train", root / "test"
    shutil.copy(train / "amber" / "003.jpg", test / "amber" / "exact.jpg")
    save(ImageOps.mirror(draw(150, 5)), test / "azure" / "mirrored.jpg")
    cropped = draw(90, 2).crop((8, 5, 152, 114))
    save(cropped, train / "lime" / "cropped.jpg")
    save(draw(30, 500), train / "azure" / "wrong.jpg")
    (train / "lime" / "torn.jpg").write_bytes((train / "lime" / "001.jpg").read_bytes()[:700])
    save(Image.new("RGB", (160, 120), "white"), train / "amber" / "blank.jpg")
    save(draw(30, 501, (40, 30)), train / "amber" / "tiny.jpg")
    save(draw(150, 502, (900, 120)), train / "azure" / "odd.jpg")
    for i in range(3):
        save(draw(90, 600 + i), train / "lime" / f"burst{i}.jpg", f"2024:05:01 12:00:0{i}")
    return root


@pytest.fixture(scope="module")
def found(faulty, shared_home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUDWOOD_HOME", str(shared_home))
        return audited(faulty)


def named(found, kind):
    return [
        {path.relative_to(found.data).as_posix() for path in finding.images}
        for finding in found.findings
        if finding.kind == kind
    ]


def test_each_planted_fault_is_found(found):
    assert {"train/amber/003.jpg", "test/amber/exact.jpg"} in named(found, "leak")
    assert {"train/azure/005.jpg", "test/azure/mirrored.jpg"} in named(found, "leak")
    assert {"train/lime/002.jpg", "train/lime/cropped.jpg"} in named(found, "duplicate")
    assert {"train/azure/wrong.jpg"} in named(found, "label")
    assert {f"train/lime/burst{i}.jpg" for i in range(3)} in named(found, "burst")
    assert named(found, "unreadable") == [{"train/lime/torn.jpg"}]
    assert set().union(*named(found, "uninformative")) == {
        "train/amber/blank.jpg", "train/amber/tiny.jpg", "train/azure/odd.jpg",
    }  # fmt: skip


def test_little_else_is_found(found):
    assert len(named(found, "leak")) == 2
    assert len(named(found, "duplicate")) == 1
    assert len(named(found, "label")) <= 3
    assert len(named(found, "burst")) == 1
    assert named(found, "imbalance") == []


def test_the_leak_is_told_with_both_accuracies(found):
    assert found.leak.images == 2
    assert found.leak.top1_without is not None
    assert "2 test photos are known from training" in str(found)


def test_the_suggested_class_is_what_it_was_drawn_as(found):
    (wrong,) = [f for f in found.findings if f.images and f.images[0].name == "wrong.jpg"]
    assert wrong.suggestion == "amber"


def test_the_json_has_what_is_promised(found):
    plain = found.to_json()
    assert set(plain) == {"data", "model", "images", "findings", "leak", "fixed", "notes"}
    assert plain["images"] == 3 * 20 + 2 + 1 + 1 + 1 + 3 + 3
    for finding in plain["findings"]:
        assert set(finding) == {"id", "kind", "images", "reason", "advice", "suggestion"}
        assert finding["reason"].endswith(".")
        assert finding["advice"].endswith(".")
    assert len({finding["id"] for finding in plain["findings"]}) == len(plain["findings"])


def test_nothing_is_changed_and_the_same_is_found_again(faulty, found):
    before = {path: path.stat() for path in faulty.rglob("*")}
    again = audited(faulty)
    assert {path: path.stat() for path in faulty.rglob("*")} == before
    assert [f.id for f in again.findings] == [f.id for f in found.findings]


def test_the_text_counts_and_tells_every_finding(found):
    text = str(found)
    assert text.startswith(f"{found.images} photos, judged by efficientnet_lite0.")
    for finding in found.findings:
        assert finding.reason in text


def test_without_a_test_part_nothing_leaks(tmp_path):
    root = draw_folder(tmp_path / "photos", test=0)
    shutil.copy(root / "train/lime/001.jpg", root / "train/lime/again.jpg")
    flat = root / "train"
    found = audited(flat)
    assert found.leak is None
    assert named(found, "duplicate") == [{"lime/001.jpg", "lime/again.jpg"}]
    assert named(found, "leak") == []
    assert not any("set aside" in note for note in found.notes)


def test_a_list_is_audited_and_its_groups_may_have_another_name(tmp_path):
    root = draw_folder(tmp_path / "photos", train=6, test=2)
    lines = ["path,label,split,animal"]
    for path in sorted(root.rglob("*.jpg")):
        part, label, name = path.relative_to(root).parts
        lines.append(f"photos/{part}/{label}/{name},{label},{part},{label}-{name[:2]}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    found = audited(tmp_path / "list.csv", group="animal")
    assert found.images == 24
    assert all(len(f.images) == 0 for f in found.findings if f.kind == "imbalance")


class TestHardlyAnything:
    def test_a_class_of_one_photo(self, tmp_path):
        root = draw_folder(tmp_path / "photos", ("amber", "azure"), test=0)
        save(draw(90, 1), root / "train" / "lime" / "only.jpg")
        found = audited(root)
        reasons = [f.reason for f in found.findings if f.kind == "imbalance"]
        assert "Class 'lime' has only 1 training photo." in reasons

    def test_two_photos_in_all(self, tmp_path):
        for name, hue in list(HUES.items())[:2]:
            save(draw(hue, 1), tmp_path / "photos" / name / "1.jpg")
        found = audited(tmp_path / "photos")
        assert found.images == 2
        assert "Labels are not judged" in found.notes[-1]
        assert len([f for f in found.findings if f.kind == "imbalance"]) == 2

    def test_all_photos_identical(self, tmp_path):
        for name in ("amber", "azure"):
            for n in range(5):
                save(draw(30, 1), tmp_path / "photos" / name / f"{n}.jpg")
        found = audited(tmp_path / "photos")
        (conflict,) = [f for f in found.findings if f.kind == "duplicate"]
        assert len(conflict.images) == 10
        assert conflict.reason == "The same file is labelled amber and azure."
        assert "Labels are not judged" in found.notes[-1]

    def test_an_empty_folder(self, tmp_path):
        (tmp_path / "photos").mkdir()
        with pytest.raises(DataError, match=r"no photos in .*One folder a class"):
            audited(tmp_path / "photos")

    def test_one_class_only(self, tmp_path):
        save(draw(30, 1), tmp_path / "photos" / "amber" / "1.jpg")
        with pytest.raises(DataError, match=r"only one class, 'amber'.*at least two"):
            audited(tmp_path / "photos")

    def test_photos_that_are_all_broken(self, tmp_path):
        for name in ("amber", "azure"):
            (tmp_path / "photos" / name).mkdir(parents=True)
            (tmp_path / "photos" / name / "1.jpg").write_text("no photo")
        with pytest.raises(DataError, match=r"Of 2 photos in .*, 0 can be read.*two at least"):
            audited(tmp_path / "photos")

    def test_one_class_left_of_which_photos_can_be_read(self, tmp_path):
        for n in range(4):
            save(draw(30, n), tmp_path / "photos" / "amber" / f"{n}.jpg")
        (tmp_path / "photos" / "azure").mkdir()
        (tmp_path / "photos" / "azure" / "1.jpg").write_text("no photo")
        found = audited(tmp_path / "photos")
        assert "Labels are not judged" in found.notes[-1]
        assert [len(f.images) for f in found.findings if f.kind == "unreadable"] == [1]

    def test_a_network_that_is_not_there(self, tmp_path):
        root = draw_folder(tmp_path / "photos", train=2, test=0)
        with pytest.raises(BudwoodError, match="No architecture is called 'resnet5O'"):
            audited(root, model="resnet5O")


def test_of_many_small_classes_the_first_are_printed_and_all_are_in_json():
    findings = tuple(
        Finding("imbalance", (), f"Class {n} has only 2 training photos.", "Add some.")
        for n in range(40)
    )
    about_image = Finding("label", (Path("a.jpg"),), "It looks like roses.", "Look at it.")
    found = Audit(Path("photos"), "resnet18", 80, (about_image, *findings), None)
    lines = str(found).splitlines()
    assert sum(line.startswith("imbalance  Class") for line in lines) == 5
    assert lines[-1] == "imbalance  ... and 35 more: --json has all."
    assert any(line.startswith("label      a.jpg") for line in lines)
    assert len(found.to_json()["findings"]) == 41


def test_dark_photos_of_12_bits_are_not_blank(tmp_path):
    random_values = np.random.default_rng(0)
    for i in range(24):
        values = random_values.random((12, 16)).repeat(10, 0).repeat(10, 1)
        values *= 120 if i < 6 else 4095  # of 65535, and some of 4095, hardly more than nothing
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.astype(np.uint16)).save(path)
    Image.fromarray(np.full((120, 160), 2000, np.uint16)).save(path.with_name("blank.png"))
    found = audited(tmp_path / "photos")
    assert named(found, "uninformative") == [{"b/blank.png"}]
    assert sum("4095 is taken as white" in note for note in found.notes) == 1
