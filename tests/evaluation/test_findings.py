"""Findings: photos, a reason, advice, and a name that stays."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from budwood.evaluation.data_issues import KINDS, Finding, counted, in_order

names = st.lists(st.text("abc/", min_size=1).map(Path), min_size=1, max_size=4)


@given(st.sampled_from(KINDS), names)
def test_the_id_depends_on_kind_and_photos_alone(kind, images):
    one = Finding(kind, tuple(images), "A reason.", "Advice.")
    other = Finding(kind, tuple(images), "Another.", "Other.", suggestion="x")
    assert one.id == other.id
    assert one.id.startswith(f"{kind}-")


def test_other_kinds_photos_and_classes_have_other_ids():
    ids = {
        Finding("label", (Path("a"),), "", "").id,
        Finding("outlier", (Path("a"),), "", "").id,
        Finding("label", (Path("b"),), "", "").id,
        Finding("label", (Path("a"), Path("b")), "", "").id,
        Finding("imbalance", (), "", "", subject="roses").id,
        Finding("imbalance", (), "", "", subject="tulips").id,
    }
    assert len(ids) == 6


def test_the_id_stays_where_the_folder_is_moved_or_named_otherwise():
    ids = {
        Finding("label", (root / "roses" / "1.jpg",), "", "", root=root).id
        for root in (Path("photos"), Path("/data/photos"), Path("../photos"))
    }
    assert len(ids) == 1


def test_many_photos_are_cut_short_and_a_class_needs_none():
    many = Finding("duplicate", tuple(Path(f"{n}.jpg") for n in range(6)), "Six.", "Keep one.")
    assert str(many) == "0.jpg, 1.jpg, 2.jpg, 3.jpg and 2 more: Six. Keep one."
    assert str(Finding("imbalance", (), "Few.", "Add some.")) == "Few. Add some."


def test_they_are_in_order_of_kind_and_counted():
    found = in_order(
        [
            Finding("outlier", (Path("a"),), "", ""),
            Finding("unreadable", (Path("b"), Path("c")), "", ""),
            Finding("outlier", (Path("d"),), "", ""),
        ],
        Path("photos"),
    )
    assert [(f.kind, f.root) for f in found] == [
        ("unreadable", Path("photos")), ("outlier", Path("photos")), ("outlier", Path("photos")),
    ]  # fmt: skip
    rows = [line.split() for line in counted(found).splitlines()]
    assert rows == [["kind", "findings", "photos"], ["unreadable", "1", "2"], ["outlier", "2", "2"]]
