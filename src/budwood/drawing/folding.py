"""Repeats: what is there several times in a row is drawn once."""

from dataclasses import replace

from budwood.drawing.blocks import ENTRY, EXIT, Block, Part

FEWEST_LAYERS = 5
"""Single layers are drawn one by one up to four of a kind, as in the textbooks' figures of VGG."""


def folded(block: Block) -> Block:
    """The block with every run of identical parts in it as one part that says how many it stands
    for.

    Parts are identical if they have the same structure, shapes, settings, sizes and state. A run
    is a chain: each part feeds the next and nothing else.
    """
    parts = tuple(folded(part) if isinstance(part, Block) else part for part in block.parts)
    runs = _runs(replace(block, parts=parts))
    home = {i: n for n, run in enumerate(runs) for i in run}
    links = {
        (home.get(source, ENTRY), home.get(target, EXIT)): None for source, target in block.links
    }
    return replace(
        block,
        parts=tuple(_as_one([parts[i] for i in run]) for run in runs),
        links=tuple((a, b) for a, b in links if a != b),
    )


def _runs(block: Block) -> list[list[int]]:
    """All part numbers in order, those that are drawn as one together."""
    runs: list[list[int]] = []
    for i, part in enumerate(block.parts):
        if runs and _follows(block, i) and _kind(part) == _kind(block.parts[i - 1]):
            runs[-1].append(i)
        else:
            runs.append([i])
    return [
        piece
        for run in runs
        for piece in (
            [run] if _is_worthwhile(block.parts[run[0]], len(run)) else [[i] for i in run]
        )
    ]


def _follows(block: Block, number: int) -> bool:
    """True if a part is fed by the part before it alone, and is all that this one feeds."""
    into = [source for source, target in block.links if target == number]
    out_of = [target for source, target in block.links if source == number - 1]
    return into == [number - 1] and out_of == [number]


def _is_worthwhile(part: Part, times: int) -> bool:
    return times >= (2 if isinstance(part, Block) else FEWEST_LAYERS)


def _kind(part: Part) -> object:
    """What is equal for identical parts: all of it but names."""
    if isinstance(part, Block):
        return part.type, tuple(map(_kind, part.parts)), part.links, part.times
    return replace(part, name="", about="")


def _as_one(run: list[Part]) -> Part:
    first, last = run[0], run[-1]
    if first is last:
        return first
    if isinstance(first, Block):
        return replace(first, times=len(run), last=last.name)
    links = ((ENTRY, 0), (0, EXIT))
    return Block(first.name, first.title, True, (first,), links, len(run), last.name)
