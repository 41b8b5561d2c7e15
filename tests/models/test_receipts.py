"""The receipt of loading: its lines, its summary and what it says is full."""

import json
from pathlib import Path

import pytest
from torch import nn

from budwood.models.info import info, set_info
from budwood.models.receipts import Receipt, TensorReceipt, percent

LINES = {
    "loaded": TensorReceipt(name="conv1.weight", status="loaded", shape=(8, 3), given=(8, 3)),
    "renamed": TensorReceipt(
        name="bn1.bias", status="renamed", source="m.bn1.bias", shape=(8,), given=(8,)
    ),
    "by name": TensorReceipt(
        name="fc.bias",
        status="by name",
        shape=(3,),
        given=(2,),
        rows=(1, 3),
        detail="1 of 3 rows by name: cat",
    ),
    "shape differs": TensorReceipt(
        name="fc.weight", status="shape differs", shape=(5, 9), given=(7, 9)
    ),
    "other classes": TensorReceipt(
        name="aux.bias", status="other classes", shape=(2,), given=(2,), detail="the head is new"
    ),
    "missing": TensorReceipt(name="neck.weight", status="missing", shape=(4, 4)),
    "unexpected": TensorReceipt(name="queue", status="unexpected", given=(128, 4096)),
}
ALL = Receipt(tuple(LINES.values()), share=0.5, notes=("One note.",), file=Path("a/mine.pth"))


def test_the_summary_counts_every_tensor_and_names_the_first():
    assert str(ALL) == (
        "mine.pth: loaded 3 of 6 tensors (1 under other names), 50.0 % of the parameters; "
        "1 row by row: fc.bias 1 of 3 rows by name: cat; "
        "1 differs in shape: fc.weight [7, 9] in the file, [5, 9] here; "
        "1 of other classes: aux.bias the head is new; "
        "1 missing: neck.weight; 1 unexpected: queue\n"
        "One note."
    )


def test_the_summary_is_short_whatever_the_number_of_tensors():
    lines = tuple(
        TensorReceipt(name=f"{i}.weight", status="missing", shape=(1,)) for i in range(900)
    )
    assert Receipt(lines, share=0.0).summary.endswith(
        "900 missing: 0.weight, 1.weight, 2.weight and 897 more"
    )


def test_the_table_has_a_line_for_every_tensor():
    assert ALL.table().splitlines() == [
        "conv1.weight  loaded",
        "bn1.bias      renamed        from m.bn1.bias",
        "fc.bias       by name        1 of 3 rows by name: cat",
        "fc.weight     shape differs  [7, 9] in the file, [5, 9] here",
        "aux.bias      other classes  the head is new",
        "neck.weight   missing",
        "queue         unexpected",
    ]


def test_the_counts_add_up_to_the_lines():
    assert sum(ALL.counts().values()) == len(ALL.lines)
    assert ALL.having("missing") == (LINES["missing"],)


def test_json_counts_what_was_loaded_and_lists_the_rest():
    told = json.loads(json.dumps(ALL.to_json()))
    assert told["counts"] == {status.replace(" ", "_"): 1 for status in LINES}
    assert [line["status"] for line in told["tensors"]] == list(LINES)[1:]
    assert told["tensors"][2] == {
        "name": "fc.weight",
        "status": "shape differs",
        "source": None,
        "shape": [5, 9],
        "given": [7, 9],
        "rows": None,
        "detail": "",
    }
    assert (told["share"], told["is_full"], told["notes"]) == (0.5, False, ["One note."])
    assert told["file"] == str(Path("a/mine.pth"))


@pytest.mark.parametrize(
    ("statuses", "full"),
    [
        (("loaded", "renamed", "unexpected"), True),
        (("loaded", "missing"), False),
        (("loaded", "shape differs"), False),
        (("loaded", "other classes"), False),
        (("loaded", "by name"), False),
    ],
)
def test_full_is_what_has_every_tensor_of_the_network(statuses, full):
    assert Receipt(tuple(LINES[status] for status in statuses), share=1.0).is_full is full


def test_rows_that_are_all_carried_over_are_full():
    line = TensorReceipt(name="fc.bias", status="by name", shape=(3,), given=(3,), rows=(3, 3))
    assert Receipt((line,), share=1.0).is_full


def test_only_all_is_a_hundred_percent():
    assert [percent(share) for share in (1, 0.9999, 0.5, 0.00001)] == [
        "100 %",
        "99.9 %",
        "50.0 %",
        "0.0 %",
    ]


def test_a_network_without_a_receipt_has_none():
    network = nn.Linear(1, 1)
    assert info(network).receipt is None
    set_info(network, receipt=ALL)
    assert info(network).receipt is ALL
