import pytest

from budwood.errors import DataError
from budwood.images.photo_lists import find_in_list


def test_a_list_names_photos_and_classes(write_list):
    file = write_list("path,label\nb.jpg,dog\na.jpg,cat\n")
    photos = find_in_list(file).parts["photos"]
    assert [(photo.path, photo.label) for photo in photos] == [
        (file.parent / "a.jpg", "cat"),
        (file.parent / "b.jpg", "dog"),
    ]


def test_a_list_may_name_parts_and_groups(write_list):
    found = find_in_list(
        write_list("Group, label ,path,Split\nx,cat,a.jpg,training\n,dog,b.jpg,Valid\n")
    )
    assert [photo.group for photo in found.parts["train"]] == ["x"]
    assert [photo.group for photo in found.parts["val"]] == [None]


def test_another_column_may_tell_the_groups(write_list):
    file = write_list("path,label,group,Animal\na.jpg,x,g,rex\nb.jpg,y,g,\n")
    photos = find_in_list(file, "animal").parts["photos"]
    assert [photo.group for photo in photos] == ["rex", None]


def test_a_column_of_groups_that_is_not_there_is_told(write_list):
    file = write_list("path,label,animals\na.jpg,x,rex\n")
    with pytest.raises(DataError, match=r"no column 'animal'.*did you mean 'animal'"):
        find_in_list(file, "animal")
    without = write_list("path,label\na.jpg,x\n", "without.csv")
    assert find_in_list(without, "animal", is_needed=False).parts["photos"][0].group is None


@pytest.mark.parametrize(
    "text", ["path;label\na.jpg;cat\n", "\ufeffpath\tlabel\r\na.jpg\tcat\r\n\r\n"]
)
def test_lists_come_from_spreadsheets_of_many_countries(write_list, text):
    assert [photo.label for photo in find_in_list(write_list(text)).parts["photos"]] == ["cat"]


def test_paths_may_be_written_the_windows_way(write_list, plant):
    plant("cats/1.jpg")
    photos = find_in_list(write_list("path,label\ncats\\1.jpg,cat\n")).parts["photos"]
    assert photos[0].path.name == "1.jpg"


def test_paths_may_be_absolute(write_list, plant):
    elsewhere = plant("1.jpg", root="elsewhere") / "1.jpg"
    photos = find_in_list(write_list(f"path,label\n{elsewhere},cat\n")).parts["photos"]
    assert photos[0].path == elsewhere


def test_files_that_are_no_photos_are_counted_in_one_note(write_list, plant):
    plant("a.txt", "b.txt")
    found = find_in_list(write_list("path,label\na.txt,x\nb.txt,x\na.jpg,x\n"))
    assert len(found.parts["photos"]) == 1
    assert "Ignored 2 files" in found.notes[0].text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"has no column 'path', has no column 'label'"),
        ("path\na.jpg\n", r"has no column 'label'.*The first line names the columns"),
        ("file,label\na.jpg,x\n", r"has no column 'path', has an unknown column 'file'"),
        ("path,lable\na.jpg,x\n", r"unknown column 'lable' \(did you mean 'label'\?\)"),
        ("path,label,splits\n", r"unknown column 'splits' \(did you mean 'split'\?\)"),
        ("path,label,group,group\n", r"has the column 'group' twice"),
        ("path,label\n", r"no photos in .*One line a photo was expected"),
        ("path,label\na.jpg,\nb.jpg,x\n", r"has no label in line 2.*Fill it in"),
        ("path,label\n,x\n", r"has no path in line 2"),
        ("path,label,split\na.jpg,x,holdout\n", r"unknown split 'holdout'.*one of train, training"),
        (
            "path,label,split\na.jpg,x,test\nb.jpg,x,\n",
            r"no split in line 3.*everywhere or nowhere",
        ),
        (
            "path,label\n" + "".join(f"z{n}.jpg,x\n" for n in range(5)),
            r"names 5 files that are not there: .*z0\.jpg, .*z2\.jpg and 2 more.*Correct",
        ),
        ("path,label\na.jpg,x\na.jpg,x\n", r"1 photo more than once: .*a\.jpg.*Remove the other"),
        ("path,label\na.jpg,x;y\n", r"several labels \(labels such as 'x;y'\)"),
        ('path,label\n"a.jpg,x\n', r"has no label|not a CSV file"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(write_list, text, reason):
    file = write_list(text)
    with pytest.raises(DataError, match=reason) as caught:
        find_in_list(file)
    assert caught.value.file == str(file)


def test_a_field_without_end_is_no_csv(write_list):
    file = write_list('path,label\n"' + "x" * 200_000)
    with pytest.raises(DataError, match=r"is not a CSV file.*Save it again as CSV UTF-8"):
        find_in_list(file)


def test_a_list_in_another_encoding_is_refused(write_list):
    file = write_list("path,label\n")
    file.write_bytes("path,label\na.jpg,Gänseblümchen\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 text \(line 2\).*Save it as CSV UTF-8"):
        find_in_list(file)


def test_a_file_of_another_kind_is_refused(write_list):
    with pytest.raises(DataError, match=r"neither a folder nor a CSV file.*CSV file `path,label`"):
        find_in_list(write_list("path,label\n", name="list.xlsx"))


def test_a_list_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "list.csv").mkdir()
    with pytest.raises(DataError, match=r"list\.csv cannot be read"):
        find_in_list(tmp_path / "list.csv")
