"""Fixes: a list of findings is written, filled in and carried out; nothing is lost on the way."""

import csv
import os
import unicodedata
from pathlib import Path

import pytest

from budwood.errors import ConfigError, DataError
from budwood.evaluation.data_issues import Finding
from budwood.tasks.fixes import COLUMNS, apply_findings, require_new, write_findings


@pytest.fixture
def images(tmp_path):
    """Six photos in two classes, each with words of its own."""
    for name in ("roses", "tulips"):
        for n in range(3):
            path = tmp_path / "photos" / name / f"{n}-{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} {n}")
    return tmp_path / "photos"


def fill_in(file: Path, *lines: tuple[Path | str, str], delimiter: str = ",") -> Path:
    with file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text, delimiter=delimiter)
        writer.writerow(COLUMNS)
        writer.writerows(["label-1", "label", image, "why", "what", act] for image, act in lines)
    return file


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder and the folders beside it."""
    return {
        path.relative_to(folder.parent).as_posix(): path.read_text("utf-8")
        for path in sorted(folder.parent.rglob("*.jpg"))
    }


def test_photos_are_moved_out_and_to_another_class(images, tmp_path):
    before = contents(images)
    file = fill_in(
        tmp_path / "list.csv",
        (images / "roses" / "0-roses.jpg", "remove"),
        (images / "roses" / "1-roses.jpg", " Move to tulips "),
        (images / "roses" / "2-roses.jpg", ""),
    )
    done = apply_findings(file, images)
    after = contents(images)
    assert sorted(before.values()) == sorted(after.values())
    assert after["photos-removed/roses/0-roses.jpg"] == "roses 0"
    assert after["photos/tulips/1-roses.jpg"] == "roses 1"
    assert after["photos/roses/2-roses.jpg"] == "roses 2"
    assert [str(fix) for fix in done] == [
        f"{images}/roses/0-roses.jpg is now {tmp_path}/photos-removed/roses/0-roses.jpg.",
        f"{images}/roses/1-roses.jpg is now {images}/tulips/1-roses.jpg.",
    ]


def test_carried_out_again_nothing_happens(images, tmp_path):
    file = fill_in(
        tmp_path / "list.csv",
        (images / "roses" / "0-roses.jpg", "remove"),
        (images / "tulips" / "1-tulips.jpg", "move to roses"),
    )
    apply_findings(file, images)
    after = contents(images)
    done = apply_findings(file, images)
    assert contents(images) == after
    assert all(fix.was_done for fix in done)
    assert "had been moved to" in str(done[0])


def test_a_photo_in_two_findings_is_moved_once(images, tmp_path):
    image = images / "roses" / "0-roses.jpg"
    file = fill_in(tmp_path / "list.csv", (image, "remove"), (image, "remove"), (image, ""))
    assert len(apply_findings(file, images)) == 1


REFUSED = {
    "two wishes": (
        [("roses/0-roses.jpg", "remove"), ("roses/0-roses.jpg", "move to tulips")],
        r"Line 3 of .* asks for something else of .*0-roses.jpg.*Leave one of the two",
    ),
    "no such photo": (
        [("roses/0-roses.jpg", "remove"), ("roses/9.jpg", "remove")],
        r"Line 3 of .*: there is no photo .*9.jpg.*same folder",
    ),
    "no such class": (
        [("roses/0-roses.jpg", "remove"), ("roses/1-roses.jpg", "move to rosse")],
        r"Line 3 of .*: there is no class 'rosse'.*roses, tulips",
    ),
    "no class": (
        [("roses/0-roses.jpg", "move to ../../etc")],
        r"there is no class '\.\./\.\./etc'",
    ),
    "no such action": (
        [("roses/0-roses.jpg", "remove"), ("roses/1-roses.jpg", "delete")],
        r"'delete' is no action.*`remove`, `move to CLASS`, or nothing",
    ),
    "its own class": (
        [("roses/0-roses.jpg", "move to roses")],
        r"0-roses.jpg is in that class already",
    ),
    "outside": ([("../elsewhere.jpg", "remove")], r"elsewhere.jpg' is not in "),
    "no name": ([("", "remove")], r"Line 2 of .* is not in "),
    "taken": (
        [("roses/0-roses.jpg", "remove"), ("roses/1-roses.jpg", "move to tulips")],
        r"cannot be moved to .*tulips/1-roses.jpg: a file is there already.*nothing was moved",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_line_is_refused_before_anything_is_moved(images, tmp_path, case):
    lines, reason = REFUSED[case]
    (tmp_path / "elsewhere.jpg").write_text("elsewhere")
    if case == "taken":
        (images / "tulips" / "1-roses.jpg").write_text("another")
    before = contents(images)
    file = fill_in(tmp_path / "list.csv", *((name and images / name, act) for name, act in lines))
    with pytest.raises(DataError, match=reason):
        apply_findings(file, images)
    assert contents(images) == before


def test_two_photos_cannot_go_to_one_place(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.jpg").write_text(name)
    (tmp_path / "photos" / "c" / "1.jpg").rename(tmp_path / "photos" / "c" / "2.jpg")
    images = tmp_path / "photos"
    lines = [(images / name / "1.jpg", "move to c") for name in ("a", "b")]
    with pytest.raises(DataError, match=r"c/1.jpg: .*a/1.jpg goes there, too"):
        apply_findings(fill_in(tmp_path / "list.csv", *lines), images)
    assert (images / "a" / "1.jpg").read_text() == "a"


def test_names_with_commas_quotes_and_umlauts_survive(tmp_path):
    images = tmp_path / "Fotos, neue"
    odd = 'Grün, "schön"\n.jpg'
    decomposed = unicodedata.normalize("NFD", "Gänseblümchen")  # as macOS writes it
    for folder in (decomposed, "Rosen"):
        (images / folder).mkdir(parents=True)
        (images / folder / "1.jpg").write_text(folder)
    (images / "Rosen" / odd).write_text("odd")
    findings = [Finding("label", (images / "Rosen" / odd,), "Why, oh", "Look.")]
    write_findings(tmp_path / "list.csv", findings)
    text = (tmp_path / "list.csv").read_text("utf-8-sig")
    assert text.splitlines()[0] == "id,kind,image,reason,advice,action"
    with (tmp_path / "list.csv").open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    assert lines[0]["image"] == str(images / "Rosen" / odd)
    fill_in(tmp_path / "filled.csv", (lines[0]["image"], "move to Gänseblümchen"))
    apply_findings(tmp_path / "filled.csv", images)
    assert (images / decomposed / odd).read_text() == "odd"


def test_lists_come_back_from_spreadsheets_with_semicolons(images, tmp_path):
    file = fill_in(
        tmp_path / "list.csv", (images / "roses" / "0-roses.jpg", "remove"), delimiter=";"
    )
    assert len(apply_findings(file, images)) == 1


def test_photos_keep_their_split_and_their_folders_within_a_class(tmp_path):
    images = tmp_path / "photos"
    for name in ("train/a/deep/1.jpg", "train/a/2.jpg", "train/b/3.jpg", "val/a/4.jpg"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_text(name)
    lines = [(images / name, "move to b") for name in ("train/a/deep/1.jpg", "val/a/4.jpg")]
    apply_findings(fill_in(tmp_path / "list.csv", *lines), images)
    assert (images / "train/b/deep/1.jpg").read_text() == "train/a/deep/1.jpg"
    assert (images / "val/b/4.jpg").read_text() == "val/a/4.jpg"  # val had no folder b


def test_a_link_still_leads_to_its_photo(images, tmp_path):
    (tmp_path / "originals").mkdir()
    (tmp_path / "originals" / "x.jpg").write_text("original")
    link = images / "roses" / "x.jpg"
    link.symlink_to("../../originals/x.jpg")
    apply_findings(fill_in(tmp_path / "list.csv", (link, "remove")), images)
    moved = tmp_path / "photos-removed" / "roses" / "x.jpg"
    assert moved.is_symlink()
    assert moved.read_text() == "original"
    assert (tmp_path / "originals" / "x.jpg").exists()
    assert not link.is_symlink()


def test_photos_behind_a_linked_folder_are_left_alone(images, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.jpg").write_text("original")
    (images / "lilies").symlink_to("../elsewhere")
    file = fill_in(tmp_path / "list.csv", (images / "lilies" / "x.jpg", "remove"))
    with pytest.raises(DataError, match=r"lies elsewhere, behind a link|there is no photo"):
        apply_findings(file, images)
    assert (tmp_path / "elsewhere" / "x.jpg").read_text() == "original"


def test_paths_may_be_relative_and_the_folder_a_dot(images, tmp_path, monkeypatch):
    monkeypatch.chdir(images)
    file = fill_in(tmp_path / "list.csv", ("roses/0-roses.jpg", "remove"))
    apply_findings(file, Path())
    assert (tmp_path / "photos-removed" / "roses" / "0-roses.jpg").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do all")
def test_a_move_that_the_system_refuses_tells_what_was_done(images, tmp_path):
    lines = [
        (images / "roses" / "0-roses.jpg", "remove"),
        (images / "tulips" / "1-tulips.jpg", "remove"),
    ]
    (images / "tulips").chmod(0o500)
    file = fill_in(tmp_path / "list.csv", *lines)
    try:
        with pytest.raises(DataError, match=r"1-tulips.jpg cannot be moved.*1 photo before it"):
            apply_findings(file, images)
    finally:
        (images / "tulips").chmod(0o700)
    assert [fix.was_done for fix in apply_findings(file, images)] == [True, False]


def test_a_file_where_the_removed_go_is_told_with_what_was_done(images, tmp_path):
    lines = [
        (images / "roses" / "0-roses.jpg", "move to tulips"),
        (images / "tulips" / "1-tulips.jpg", "remove"),
    ]
    (tmp_path / "photos-removed").write_text("in the way")
    file = fill_in(tmp_path / "list.csv", *lines)
    with pytest.raises(DataError, match=r"1-tulips.jpg cannot be moved.*1 photo before it"):
        apply_findings(file, images)
    (tmp_path / "photos-removed").unlink()
    assert [fix.was_done for fix in apply_findings(file, images)] == [True, False]


def test_a_list_of_photos_is_not_fixed(images, tmp_path):
    data = tmp_path / "photos.csv"
    data.write_text("path,label\n")
    with pytest.raises(ConfigError, match=r"is a list: its photos are not moved.*the list itself"):
        apply_findings(data, data)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"path,label\na,b\n", r"is no list of findings: it has no columns image and action"),
        (b"", r"is no list of findings"),
        (b"\xff\xfe\x00", r"is not UTF-8 text"),
    ],
)
def test_what_is_no_list_of_findings_is_told(images, tmp_path, content, reason):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        apply_findings(tmp_path / "list.csv", images)


def test_a_list_that_cannot_be_read_is_told(images, tmp_path):
    (tmp_path / "list.csv").mkdir()
    with pytest.raises(DataError, match=r"list.csv cannot be read"):
        apply_findings(tmp_path / "list.csv", images)


def test_a_list_that_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "list.csv").write_text("filled in")
    with pytest.raises(ConfigError, match=r"is there already.*Name another file"):
        write_findings(tmp_path / "list.csv", [])
    with pytest.raises(ConfigError, match=r"There is no folder .*nowhere.*Make it"):
        require_new(tmp_path / "nowhere" / "list.csv")
    assert (tmp_path / "list.csv").read_text() == "filled in"


def test_a_list_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be written"):
        write_findings(tmp_path / ("x" * 300 + ".csv"), [])


@pytest.mark.parametrize("taken", ["IMG_1.JPG", unicodedata.normalize("NFD", "é") + ".jpg"])
def test_names_that_many_disks_do_not_tell_apart_are_one(images, tmp_path, taken):
    ours = unicodedata.normalize("NFC", taken.lower())
    (images / "roses" / ours).write_text("one")
    (images / "tulips" / taken).write_text("other")
    file = fill_in(tmp_path / "list.csv", (images / "roses" / ours, "move to tulips"))
    with pytest.raises(DataError, match="is there already, which is the same name on many disks"):
        apply_findings(file, images)
    assert (images / "roses" / ours).read_text() == "one"


def test_two_photos_whose_names_differ_in_capitals_cannot_go_to_one_place(tmp_path):
    images = tmp_path / "photos"
    for name, image in (("cats", "IMG_1.JPG"), ("dogs", "img_1.jpg"), ("birds", "b.jpg")):
        (images / name).mkdir(parents=True)
        (images / name / image).write_text(name)
    lines = [
        (images / name / image, "move to birds")
        for name, image in (("cats", "IMG_1.JPG"), ("dogs", "img_1.jpg"))
    ]
    with pytest.raises(DataError, match=r"IMG_1.JPG goes there, too.*nothing was moved"):
        apply_findings(fill_in(tmp_path / "list.csv", *lines), images)
    assert [path.name for path in (images / "birds").iterdir()] == ["b.jpg"]


@pytest.mark.parametrize("has_links", [True, False])
def test_what_appears_at_the_target_meanwhile_is_not_overwritten(
    images, tmp_path, monkeypatch, has_links
):
    """Another program writes it after all targets were found free; perhaps on a disk like FAT."""
    target = images / "tulips" / "0-roses.jpg"
    monkeypatch.setattr(
        "budwood.tasks.fixes._require_room", lambda fixes: target.write_text("another")
    )
    if not has_links:
        monkeypatch.setattr("os.link", refuse_link)
    file = fill_in(tmp_path / "list.csv", (images / "roses" / "0-roses.jpg", "move to tulips"))
    with pytest.raises(DataError, match=r"cannot be moved to .*file exists"):
        apply_findings(file, images)
    assert target.read_text() == "another"
    assert (images / "roses" / "0-roses.jpg").read_text() == "roses 0"


def refuse_link(*_):
    raise PermissionError(1, "Operation not permitted")


def test_photos_are_moved_where_there_are_no_links(images, tmp_path, monkeypatch):
    monkeypatch.setattr("os.link", refuse_link)
    image = images / "roses" / "0-roses.jpg"
    os.utime(image, (1, 1))
    (fix,) = apply_findings(fill_in(tmp_path / "list.csv", (image, "remove")), images)
    assert not image.exists()
    assert fix.target.read_text() == "roses 0"
    assert fix.target.stat().st_mtime == 1


def test_a_name_that_is_no_utf8_is_written_read_and_moved(images, tmp_path):
    image = images / "roses" / os.fsdecode(b"g\xe4nse.jpg")
    image.write_text("latin")
    list_ = tmp_path / "list.csv"
    write_findings(list_, [Finding("label", (image,), "Why", "What")])
    list_.write_bytes(list_.read_bytes().replace(b"What,", b"What,remove"))
    (fix,) = apply_findings(list_, images)
    assert fix.image == image
    assert fix.target.read_text() == "latin"
