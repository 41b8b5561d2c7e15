"""Write the layers of every network of the catalogue, which `budwood inspect` shows at once.

    python tools/make_layer_tables.py [SOURCE ...]

Every network is built on the meta device and summarised, which takes some ten minutes on one core;
of other sources than those named, what is stored is kept. What cannot be summarised is named on
stderr and left out; `inspect` then builds it. Run it after an upgrade of torch, torchvision or
timm, and after a change to our own networks or to what a summary says.
"""

import sys
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import get_args

from budwood.inspection.layer_tables import FILE, stored_summary, write_tables
from budwood.inspection.summarizing import summarize
from budwood.inspection.summary import Summary
from budwood.networks.catalog import Architecture, Source, models
from budwood.networks.source_code import code_digest
from budwood.tasks.preparing import network_to_inspect

ALL = list(get_args(Source))
TABLES = Path(__file__).parent.parent / "src" / "budwood" / "surgery" / FILE


def made(architecture: Architecture) -> Summary | None:
    """The summary that `inspect` makes of a network; None, said on stderr, if it cannot."""
    try:
        network, batch = network_to_inspect(architecture.name)
        return summarize(network, batch=batch)
    except Exception as error:  # whatever it is, `inspect` meets it as well and says it then
        print(f"{architecture.qualified}: {type(error).__name__}: {error}", file=sys.stderr)
        return None


def summaries(sources: list[str]) -> Iterator[tuple[str, Summary]]:
    """The summaries of all networks: those of these sources anew, the others as they are.

    Raises:
        RuntimeError: If what is stored of one of the others is about other code than today's.
    """
    kept = {each: stored_summary(each) for each in models() if each.source not in sources}
    current = {each.source for each, summary in kept.items() if summary is not None}
    if stale := set(ALL) - set(sources) - current:
        raise RuntimeError(f"What is stored of {', '.join(stale)} is out of date; name it too.")
    for number, architecture in enumerate(models()):
        summary = kept[architecture] if architecture in kept else made(architecture)
        if summary is not None:
            yield architecture.qualified, summary
        if number % 100 == 99:
            print(f"{number + 1} of {len(models())}", file=sys.stderr)


def digests() -> dict[str, str]:
    """What each source is made of.

    Raises:
        RuntimeError: If a library is not installed.
    """
    found = {source: code_digest(source) for source in ALL}
    if missing := [source for source, digest in found.items() if digest is None]:
        raise RuntimeError(f"The code of {', '.join(missing)} is not found: install it.")
    return {source: digest for source, digest in found.items() if digest is not None}


def main() -> None:
    warnings.simplefilter("ignore")  # libraries warn of what they will change one day
    sources = sys.argv[1:] or ALL
    if unknown := set(sources) - set(ALL):
        sys.exit(f"No source is called {unknown.pop()!r}; there are {', '.join(ALL)}.")
    code, made_now = digests(), dict(summaries(sources))
    file = BytesIO()
    write_tables(file, made_now, code)
    TABLES.write_bytes(file.getvalue())
    print(f"{len(made_now)} of {len(models())} networks in {FILE}, {len(file.getvalue()):,} bytes")


if __name__ == "__main__":
    main()
