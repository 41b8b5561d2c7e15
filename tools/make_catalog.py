"""Write the table of architectures: those of the installed torchvision and timm, and Budwood's own.

    python tools/make_catalog.py

Every network is built on the meta device, which takes some minutes on one core. What cannot be
built is named on stderr, and the exit status is then 1. Run it after an upgrade of either library.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from budwood.models.building import structure
from budwood.models.catalog import Architecture
from budwood.models.sources import SOURCES, source

TABLE = Path(__file__).parent.parent / "src" / "budwood" / "networks" / "catalog.tsv"
COLUMNS = ("name", "source", "parameters", "channels", "height", "width")


def rows() -> Iterator[tuple[str, str, str]]:
    """Every architecture: the name it is asked for by, its source, and its name there."""
    taken: set[str] = set()
    for library in SOURCES:
        for bare in source(library).names():
            yield (f"{library}/{bare}" if bare in taken else bare), library, bare
        taken |= set(source(library).names())


def measured(library: str, bare: str) -> tuple[int, tuple[int, int, int]]:
    """Parameters and input size (channels, height, width) of an architecture as it is built."""
    network = structure(Architecture(bare, library, 0, (0, 0, 0)), device="meta")
    return sum(parameter.numel() for parameter in network.parameters()), source(library).input(bare)


def main() -> None:
    found, failed = [], 0
    for name, library, bare in rows():
        try:
            parameters, size = measured(library, bare)
        except Exception as error:  # whatever it is, it is named, and the table is not written
            failed += 1
            print(f"{library}/{bare}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        found.append((name, library, parameters, *size))
    if failed:
        sys.exit(f"{failed} cannot be built; {TABLE.name} is left as it was.")
    lines = ["\t".join(map(str, row)) for row in (COLUMNS, *sorted(found))]
    TABLE.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(found)} architectures in {TABLE.name}")


if __name__ == "__main__":
    main()
