"""Write the table of architectures: those of the installed torchvision and timm, and Budwood's own.

    python tools/make_catalog.py

Every network is built on the meta device, which takes some minutes on one core. What cannot be
built is named on stderr, and the exit status is then 1. Run it after an upgrade of either library.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import timm
import torchvision
from torchvision.models import list_models

from budwood.networks.building import structure
from budwood.networks.catalog import Architecture, Source
from budwood.networks.choosing import SOURCES
from budwood.networks.classics_source import NETWORKS

TABLE = Path(__file__).parent.parent / "src" / "budwood" / "networks" / "catalog.tsv"
COLUMNS = ("name", "source", "parameters", "channels", "height", "width")
PACKAGED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


def names() -> Iterator[tuple[str, Source, str]]:
    """Every architecture: the name it is asked for by, its source, and its name there."""
    torchvision_names = list_models(module=torchvision.models)
    taken = {*torchvision_names, *PACKAGED, *NETWORKS}
    for name in torchvision_names:
        yield name, "torchvision", name
    for name in PACKAGED:
        yield name, "packaged", name
    for name in NETWORKS:
        yield name, "budwood", name
    for name in timm.list_models():
        yield (f"timm/{name}" if name in taken else name), "timm", name


def measured(source: Source, bare: str) -> tuple[int, tuple[int, int, int]]:
    """Parameters and input size (channels, height, width) of an architecture as it is built."""
    network = structure(Architecture(bare, source, 0, (0, 0, 0)), device="meta")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if source != "timm":
        preprocessing = SOURCES[source].preprocessing(bare, None)
        return parameters, (len(preprocessing.mean), *preprocessing.size)
    channels, height, width = timm.get_pretrained_cfg(bare).input_size
    return parameters, (channels, height, width)


def main() -> None:
    rows, failed = [], 0
    for name, source, bare in names():
        try:
            parameters, size = measured(source, bare)
        except Exception as error:  # whatever it is, it is named, and the table is not written
            failed += 1
            print(f"{source}/{bare}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        rows.append((name, source, parameters, *size))
    if failed:
        sys.exit(f"{failed} cannot be built; {TABLE.name} is left as it was.")
    lines = ["\t".join(map(str, row)) for row in (COLUMNS, *sorted(rows))]
    TABLE.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(rows)} architectures in {TABLE.name}")


if __name__ == "__main__":
    main()
