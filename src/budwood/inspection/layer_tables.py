"""The summaries of all networks of the catalogue, made in advance; never imports torch.

They lie in `layers.zip`: one line of JSON a network, some networks of the same library to a member,
since their likeness is what makes them small. A summary is given out only as long as the code that
its network was made of is what is installed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, fields
from importlib.resources import files
from itertools import groupby
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile, ZipInfo

from budwood.inspection.layer_rows import LayerRow
from budwood.inspection.summary import Summary
from budwood.networks.catalog import Architecture
from budwood.networks.source_code import code_digest

FILE = "layers.zip"
_INDEX = "index.json"
_TOGETHER = 16
"""Networks in a member: more of them are smaller together, and take longer to read."""


def stored_summary(architecture: Architecture) -> Summary | None:
    """The summary of an architecture as it is built, in eval mode, on one photo of its own size.

    Returns:
        None if none is stored, or if it is about other code than what is installed.

    Example:
        >>> from budwood.networks.catalog import find
        >>> summary = stored_summary(find("lenet5"))
        >>> print(summary.to_depth(1).totals)
        LeNet5: 1x1x32x32 to 1x10
        parameters: 61,706, of these trainable 61,706 (100.00 %)
        multiply-adds: 416.52 k
    """
    with files(__package__).joinpath(FILE).open("rb") as file:
        return read_table(file, architecture)


def read_table(file: IO[bytes], architecture: Architecture) -> Summary | None:
    """The same from an open file of that form."""
    with ZipFile(file) as tables:
        index = json.loads(tables.read(_INDEX))
        place = index["places"].get(architecture.qualified)
        if place is None or index["code"][architecture.source] != code_digest(architecture.source):
            return None
        member, line = place
        return _unpacked(json.loads(tables.read(member).splitlines()[line]))


def write_tables(
    file: IO[bytes], summaries: Mapping[str, Summary], code: Mapping[str, str]
) -> None:
    """Write the summaries; equal ones give equal bytes.

    Args:
        summaries: Of each network, by its name with its source: `torchvision/resnet50`.
        code: The digest of the code of each source.
    """
    places: dict[str, tuple[str, int]] = {}
    with ZipFile(file, "w") as tables:
        for member, names in _members(sorted(summaries)):
            places |= {name: (member, line) for line, name in enumerate(names)}
            lines = "\n".join(_json(_packed(summaries[name])) for name in names)
            _add(tables, member, lines, ZIP_LZMA)
        _add(tables, _INDEX, _json({"code": dict(code), "places": places}), ZIP_DEFLATED)


def _members(names: list[str]) -> Iterator[tuple[str, list[str]]]:
    for source, group in groupby(names, lambda name: name.partition("/")[0]):
        together = list(group)
        for start in range(0, len(together), _TOGETHER):
            yield f"{source}-{start:04d}.jsonl", together[start : start + _TOGETHER]


def _packed(summary: Summary) -> list[object]:
    """The fields of the summary; the rows as their names, which kind each is, and those kinds.

    A kind is all of a row but its name: most layers of a network are like another one. Kinds are
    stored field by field.
    """
    kinds: dict[tuple[Any, ...], int] = {}
    which = [kinds.setdefault(astuple(row)[1:], len(kinds)) for row in summary.rows]
    names = [row.name for row in summary.rows]
    totals = {f.name: getattr(summary, f.name) for f in fields(Summary) if f.name != "rows"}
    return [totals, names, which, list(zip(*kinds, strict=True))]


def _unpacked(packed: list[Any]) -> Summary:
    totals, names, which, columns = packed
    kinds = list(zip(*(map(_plain, column) for column in columns), strict=True))
    rows = (LayerRow(name, *kinds[number]) for name, number in zip(names, which, strict=True))
    return Summary(**{key: _plain(value) for key, value in totals.items()}, rows=tuple(rows))


def _plain(value: Any) -> Any:
    """JSON has lists where shapes are tuples."""
    return tuple(value) if isinstance(value, list) else value


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _add(tables: ZipFile, member: str, text: str, method: int) -> None:
    info = ZipInfo(member)  # with a date that is always the same
    info.compress_type = method
    tables.writestr(info, text)
