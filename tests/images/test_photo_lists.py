import unicodedata

import pytest

from budwood.data.lists import find_in_list
from budwood.errors import DataError


def test_a_list_names_photos_and_classes(write_list):
    file = write_list("path,label\nb.jpg,dog\na.jpg,cat\n")
    images = find_in_list(file).parts["photos"]
    assert [(image.path, image.label) for image in images] == [
        (file.parent / "a.jpg", "cat"),
        (file.parent / "b.jpg", "dog"),
    ]


def test_a_list_may_name_parts_and_groups(write_list):
    found = find_in_list(
        write_list("Group, label ,path,Split\nx,cat,a.jpg,training\n,dog,b.jpg,Valid\n")
    )
    assert [image.group for image in found.parts["train"]] == ["x"]
    assert [image.group for image in found.parts["val"]] == [None]


def test_another_column_may_tell_the_groups(write_list):
    file = write_list("path,label,group,Animal\na.jpg,x,g,rex\nb.jpg,y,g,\n")
    images = find_in_list(file, "animal").parts["photos"]
    assert [image.group for image in images] == ["rex", None]


def test_a_column_of_groups_that_is_not_there_is_told(write_list):
    file = write_list("path,label,animals\na.jpg,x,rex\n")
    with pytest.raises(DataError, match=r"no column 'animal' \(is it 'animals'\?\)"):
        find_in_list(file, "animal")
    without = write_list("path,label\na.jpg,x\n", "without.csv")
    assert find_in_list(without, "animal", is_needed=False).parts["photos"][0].group is None


@pytest.mark.parametrize(
    "text", ["path;label\na.jpg;cat\n", "\ufeffpath\tlabel\r\na.jpg\tcat\r\n\r\n"]
)
def test_lists_come_from_spreadsheets_of_many_countries(write_list, text):
    assert [image.label for image in find_in_list(write_list(text)).parts["photos"]] == ["cat"]


def test_paths_may_be_written_the_windows_way(write_list, plant):
    plant("cats/1.jpg")
    images = find_in_list(write_list("path,label\ncats\\1.jpg,cat\n")).parts["photos"]
    assert images[0].path.name == "1.jpg"


def test_paths_may_be_absolute(write_list, plant):
    elsewhere = plant("1.jpg", root="elsewhere") / "1.jpg"
    images = find_in_list(write_list(f"path,label\n{elsewhere},cat\n")).parts["photos"]
    assert images[0].path == elsewhere


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
        ("path,lable\na.jpg,x\n", r"no column 'label' \(is it 'lable'\?\).*for label also class"),
        ("photo,label\na.jpg,x\n", r"no column 'path'; it has 'photo'.*for path also file_name"),
        (
            "file,image,label\n",
            r"no column 'path', and 2 that may be meant: 'file', 'image'\. Call",
        ),
        (
            "id,image_id,label\n",
            r"2 that may be meant: 'id', 'image_id'\. Call the right one 'path'",
        ),
        ("path,species,target\n", r"no column 'label', and 2 that may .*'species', 'target'"),
        (
            "a.jpg,cat\nb.jpg,dog\n",
            r"does not begin with a line that names.*'a\.jpg,cat'.*Put such",
        ),
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
        ('path,label\n"a.jpg,x\n', r"fewer cells than columns in line 2.*and a quote its end"),
        (
            "path,label\na.jpg,rose, red\nb.jpg,rose\nc.jpg,rose, white\n",
            r"more cells than columns in lines 2, 4: 'a\.jpg,rose, red'\. The first line names 2 "
            r'columns\. A cell with a comma in it stands in quotes: "rose, red"',
        ),
        (
            "path;label\na.jpg;rose; red\n",
            r'cell with a semicolon in it stands in quotes: "rose; red"',
        ),
        (
            "path,label,split\na.jpg,x,train\nb.jpg,train\n",
            r"fewer cells than columns in line 3: 'b\.jpg,train'.*an empty cell needs its comma",
        ),
        ("path,label,set\na.jpg,x,A\n", r"unknown split 'A'.*If the column 'set' is about some"),
        (
            "id,Breed\na.jpg,nan\nb.jpg,x\nc.jpg,\nd.jpg, None\n",
            r"no label \(written as None, nan\) in lines 2, 4, 5\..*3 lines of 4 lack it.*"
            r"frame\.dropna\(subset=\['Breed'\]\)",
        ),
        ("path,label\nhttps://a.org/a.jpg,x\n", r"not there.*Download the photos first"),
        ("path,label\na.jpg,x\n./a.jpg,y\n", r"1 photo more than once"),
        ("path,label\na.jpg,x\n../photos/a.jpg,y\n", r"1 photo more than once"),
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


class TestColumns:
    @pytest.mark.parametrize("path", ["path", "file_name", "filename", "file", "image",
                                      "image_path", "filepath", "id", "image_id"])  # fmt: skip
    @pytest.mark.parametrize("label", ["label", "class", "category", "species", "breed", "target",
                                       "class_name"])  # fmt: skip
    def test_usual_names_are_known(self, write_list, path, label):
        found = find_in_list(write_list(f"{label.upper()}, {path}\ncat,a.jpg\n"))
        assert [(p.path.name, p.label) for p in found.parts["photos"]] == [("a.jpg", "cat")]
        assert found.notes == []

    @pytest.mark.parametrize("split", ["split", "set", "subset", "partition"])
    def test_usual_names_of_the_split_are_known(self, write_list, split):
        found = find_in_list(write_list(f"path,label,{split}\na.jpg,x,train\nb.jpg,x,dev\n"))
        assert found.parts.keys() == {"train", "val"}

    def test_our_own_name_wins_and_the_name_of_a_file_over_a_number(self, write_list):
        found = find_in_list(write_list("id,file,path,species,label\n7,x,a.jpg,felis,cat\n"))
        assert [(p.path.name, p.label) for p in found.parts["photos"]] == [("a.jpg", "cat")]
        found = find_in_list(write_list("image_id,file_name,label\n7,a.jpg,cat\n"))
        assert found.parts["photos"][0].path.name == "a.jpg"

    def test_further_columns_are_not_used_and_said_in_one_note(self, write_list):
        found = find_in_list(
            write_list(",Unnamed: 0,path,label,lat,splits,,\n0,0,a.jpg,x,1.2,train,,\n")
        )
        assert [note.text for note in found.notes] == [
            "Columns that are not used: 'Unnamed: 0', 'lat', 'splits' (did you mean 'split'?), "
            "3 without a name."
        ]

    def test_empty_cells_at_the_end_do_no_harm(self, write_list):
        text = "path,label,lat\na.jpg,x,,,\nb.jpg,y\nc.jpg,x,1.5\n"
        found = find_in_list(write_list(text))
        assert [image.label for image in found.parts["photos"]] == ["x", "y", "x"]

    def test_tabs_in_a_tsv(self, write_list):
        found = find_in_list(write_list("path\tlabel\na.jpg\trose, red\n", "list.tsv"))
        assert found.parts["photos"][0].label == "rose, red"


class TestLabels:
    def test_labels_and_groups_are_composed(self, write_list):
        composed, other = "ros\u00e9", "rose\u0301"
        text = f"path,label,group\na.jpg,{composed},{other}\nb.jpg,{other},{composed}\n"
        images = find_in_list(write_list(text)).parts["photos"]
        assert {image.label for image in images} == {image.group for image in images} == {composed}

    def test_blanks_around_labels_are_taken_off_and_said(self, write_list):
        found = find_in_list(write_list("path,label\na.jpg,roses \nb.jpg, lead\nc.jpg,roses\n"))
        assert [image.label for image in found.parts["photos"]] == ["roses", "lead", "roses"]
        assert [note.text for note in found.notes] == [
            "Blanks around labels are not part of them (2 lines: ' lead', 'roses ')."
        ]

    @pytest.mark.parametrize("name", ["none", "NA", "n/a", "0"])
    def test_names_that_people_give_are_no_missing_labels(self, write_list, name):
        found = find_in_list(write_list(f"path,label\na.jpg,{name}\n"))
        assert found.parts["photos"][0].label == name


class TestPathsOnDisk:
    @pytest.mark.parametrize("there", ["NFC", "NFD"])
    @pytest.mark.parametrize("written", ["NFC", "NFD"])
    def test_names_are_found_in_either_form_and_stay_as_they_are(
        self, write_list, plant, there, written
    ):
        name = unicodedata.normalize(there, "ros\u00e9/\u00e4hre.jpg")
        image = plant(name) / name
        asked = unicodedata.normalize(written, name)
        found = find_in_list(write_list(f"path,label\n{asked},x\n"))
        assert found.parts["photos"][0].path == image
        assert found.notes == []

    def test_numbers_without_ending_find_their_photos(self, write_list, plant):
        root = plant("train/00a.JPG", "train/00b.jpg", "test/00c.jpg")
        found = find_in_list(write_list("id,breed\n00a,pug\n00b,boxer\n"))
        assert [(p.path, p.label) for p in found.parts["photos"]] == [
            (root / "train/00a.JPG", "pug"),
            (root / "train/00b.jpg", "boxer"),
        ]
        (note,) = found.notes
        assert "2 photos of the list were found by name: 00a is " in note.text

    def test_names_are_found_below_the_list(self, write_list, plant):
        root = plant("train_images/1.jpg", "train_images/10.jpg")
        found = find_in_list(write_list("image_id,label\n10.jpg,pug\n"))
        assert found.parts["photos"][0].path == root / "train_images/10.jpg"

    def test_one_of_several_is_not_guessed(self, write_list, plant):
        plant("train/1.jpg", "test/1.jpg", "train/2.jpg")
        file = write_list("id,label\n1,x\n2,y\n")
        match = (
            r"1 path in .* may each mean several photos: '1' fits .*test/1\.jpg, .*Write the whole"
        )
        with pytest.raises(DataError, match=match):
            find_in_list(file)
        file.write_text("id,label\ntrain/1,x\ntrain/2,y\n")
        assert len(find_in_list(file).parts["photos"]) == 2
