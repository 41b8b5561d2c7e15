"""Write the tables and drawings of the pages on the classic networks, in English and in Chinese.

    python tools/make_network_docs.py

A page says where a table belongs, and between the marks the table is replaced:

    <!-- table: layers alexnet_course -->
    <!-- end -->

Everything but these tables is written by hand. Run it after a change to a network or to a summary.
"""

import difflib
import re
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path

from network_docs import early, efficientnets, googlenets, layers, resnets
from network_docs.chinese import in_chinese
from network_docs.layers import Table, network, summary

from budwood.text import as_markdown

DOCS = Path(__file__).parent.parent / "docs"
ENGLISH, CHINESE = DOCS / "networks", DOCS / "zh" / "networks"

TABLES: dict[str, Callable[..., Table]] = {
    "layers": layers.layers,
    "where": layers.where,
    "totals": layers.totals,
    "networks": layers.named,
    "lenet-parameters": early.lenet_parameters,
    "lenet-sparse": early.sparse,
    "alexnet-parameters": early.alexnet_parameters,
    "vgg-configurations": early.configurations,
    "vgg-kernels": early.kernels,
    "googlenet-modules": googlenets.modules,
    "googlenet-naive": googlenets.naive,
    "googlenet-growth": googlenets.growth,
    "googlenet-versions": googlenets.versions,
    "resnet-stages": resnets.stages,
    "resnet-strides": resnets.strides,
    "resnet-depths": resnets.depths,
    "resnet-twins": resnets.twins,
    "efficientnet-baseline": efficientnets.baseline,
    "efficientnet-scaling": efficientnets.scaling,
    "efficientnet-grown": efficientnets.grown,
    "efficientnet-phis": efficientnets.phi_table,
    "efficientnet-sizes": efficientnets.sizes,
}
"""How each kind of table is made; what follows its name in the mark are its arguments."""

DRAWN = {
    "lenet5": "",
    "alexnet_course": "",
    "vgg_d": "",
    "googlenet_2014": "",
    "resnet18_2015": "",
    "efficientnet_b0_2019": "blocks.1",
}
"""The networks of which there is a drawing in docs/networks, and which part of it; all if empty."""

EXAMPLES_DRAWN = ("vgg16-graft", "googlenet-flowers")
"""The recipes of which there is a drawing in docs/examples."""

_BLOCK = re.compile(r"<!-- table: (?P<mark>.+?) -->\n.*?<!-- end -->", re.S)


def filled(page: str, chinese: bool, leave: Collection[str] = ()) -> str:
    """A page with its tables made anew; those whose marks are in `leave` stay as they are."""

    def block(found: re.Match[str]) -> str:
        if found["mark"] in leave:
            return found[0]
        rows = table(*found["mark"].split())
        if chinese:
            rows = [tuple(map(in_chinese, row)) for row in rows]
        return f"<!-- table: {found['mark']} -->\n{as_markdown(rows)}\n<!-- end -->"

    return _BLOCK.sub(block, page)


@cache
def table(kind: str, *arguments: str) -> Table:
    """A table in English; made once for both languages.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind not in TABLES:
        near = difflib.get_close_matches(kind, TABLES, n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"No table is called {kind!r}.{guess} There are {', '.join(TABLES)}.")
    return TABLES[kind](*arguments)


def draw_all() -> None:
    """Write the drawings."""
    from budwood.drawing.network_drawing import draw
    from budwood.tasks.preparing import network_to_inspect

    for name, part in DRAWN.items():
        whole = summary(name)
        shape = next((row.input for row in whole.rows if row.name == part), whole.input)
        assert shape is not None
        _, channels, height, width = shape
        title = f"{name}, {part}" if part else name
        drawing = draw(network(name).get_submodule(part), (channels, height, width), title=title)
        drawing.save(ENGLISH / f"{name}.svg")
    for name in EXAMPLES_DRAWN:
        draw(network_to_inspect(name)[0], title=name).save(DOCS / "examples" / f"{name}.svg")


def main() -> None:
    for folder in (ENGLISH, CHINESE):
        for page in sorted(folder.glob("*.md")):
            page.write_text(filled(page.read_text("utf-8"), folder == CHINESE), "utf-8")
            print(f"{page.relative_to(DOCS.parent)} is written")
    draw_all()
    print(f"{len(DRAWN) + len(EXAMPLES_DRAWN)} drawings are made")


if __name__ == "__main__":
    main()
