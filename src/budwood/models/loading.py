"""Weights of a file in a network: what fits is loaded, and a receipt says what did.

Both ways, into a network that is there (`load_weights`) and one that is built for a file
(`FileWeights`), read, find the layout, match, check, and only then copy.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from torch import nn

from budwood.errors import ConfigError, WeightsError
from budwood.images.preprocessing import Preprocessing
from budwood.models.catalog import Architecture
from budwood.models.checkpoints import Checkpoint, read_checkpoint
from budwood.models.constructing import (
    ChosenWeights,
    ZerosForRandom,
    choose,
    is_path,
    structure,
    structure_tag,
)
from budwood.models.downloads import Progress
from budwood.models.heads import num_outputs
from budwood.models.info import architecture_of, info, set_info
from budwood.models.key_layouts import Converter, Layout, best_layout
from budwood.models.matching import Heads, Matching, are_strangers, heads_of, match, namesakes
from budwood.models.receipts import Receipt, percent
from budwood.models.sources import SOURCES, source, source_of
from budwood.models.states import compare_state, require_fitting, with_counters

MINIMUM_SHARE = 0.5
"""The share of the parameters that must be in a file."""


def load_weights(
    network: nn.Module,
    source: str | Path,
    *,
    minimum_share: float = MINIMUM_SHARE,
    on_progress: Progress | None = None,
) -> Receipt:
    """What became of every tensor: those of `source` that fit are now the network's.

    Tensors are found under other prefixes and under the names of other libraries. The rows of a
    head go where their class is, if the network and the file name their classes (the file in
    itself, or in `classes.txt` or `class_indices.json` beside it). What does not fit, such as a
    head for another number of classes, keeps its values and is on the receipt. Everything is
    checked before anything is copied, and nothing is unpickled.

    The receipt stays with the network (`info`), and its origin and preprocessing become those of
    the weights. GoogLeNet and Inception v3 of torchvision are made to rescale their
    input (`transform_input`), without which their published weights are worth little.

    Args:
        network: Any module. On the meta device only names and shapes are compared.
        source: The path of a file of weights, of a capsule or of the folder of a run; or, for a
            network of `build`, the name of published weights, as `imagenet`.
        minimum_share: How much of the network's parameters must be found. With 0 whatever fits is
            taken, also from the file of a network with other layers.
        on_progress: Called with the bytes downloaded so far and, where known, in all.

    Raises:
        WeightsError: If the weights cannot be had or read, are of another network or hold too
            little of this one; the network is as it was.
        ConfigError: If `minimum_share` is no share.

    Example:
        >>> import tempfile, torch
        >>> trained, network = nn.Sequential(nn.Linear(9, 9), nn.Linear(9, 5)), nn.Module()
        >>> network.backbone = nn.Sequential(nn.Linear(9, 9), nn.Linear(9, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(trained.state_dict(), Path(folder, "trained.pth"))
        ...     print(load_weights(network, Path(folder, "trained.pth")))
        trained.pth: loaded 2 of 4 tensors (2 under other names), 81.8 % of the parameters; \
2 differ in shape: backbone.1.weight [5, 9] in the file, [2, 9] here, \
backbone.1.bias [5] in the file, [2] here
    """
    if not 0 <= minimum_share <= 1:
        raise ConfigError(f"minimum_share is {minimum_share}.", expected="It must be from 0 to 1.")
    choice = _chosen(network, source)
    checkpoint = read_checkpoint(_file(network, choice, on_progress))
    heads = _named_heads(network, checkpoint)
    convert = _converter(network, architecture_of(network))
    layout = best_layout(network, checkpoint.state, convert, heads.prefixes)
    matching = match(network, checkpoint, layout, heads)
    _require_fit(matching, type(network).__name__, architecture_of(network), minimum_share)
    changes, notes = _taken_over(network, choice, checkpoint)
    matching.copy()
    notes = (*matching.receipt.notes, *_left_over(network, matching), *notes, *_adapted(network))
    receipt = replace(matching.receipt, notes=notes)
    set_info(network, receipt=receipt, **changes)
    return receipt


class FileWeights:
    """A file of weights for an architecture, whose structure the weights of `tag` decide on.

    They need not be all of it, but of published ones every tensor must fit.
    """

    preprocessing: Preprocessing | None = None
    """The file's own, of a capsule."""

    def __init__(
        self,
        architecture: Architecture,
        tag: str | None,
        file: Path,
        *,
        aux_heads: bool,
        has_new_heads: bool,
        is_published: bool,
    ) -> None:
        """Read the file and compare names and shapes; nothing is built or loaded."""
        self._has_new_heads, self._is_published = has_new_heads, is_published
        made = partial(structure, architecture, tag, aux_heads=aux_heads)
        skeleton = made(device="meta")
        self._checkpoint = read_checkpoint(file)
        convert = _converter(skeleton, architecture, aux_heads or not is_published)
        prefixes = heads_of(skeleton).prefixes
        self._layout = best_layout(skeleton, self._checkpoint.state, convert, prefixes)
        keeps_heads = is_published or not has_new_heads
        count = _other_count(skeleton, self._layout) if keeps_heads else None
        self._make = partial(made, classes=count)
        twin = skeleton if count is None else self._make(device="meta")
        if is_published:
            require_fitting(twin, with_counters(twin, self._layout.state), file)
            return
        heads = replace(heads_of(twin), are_new=has_new_heads)
        matching = match(twin, self._checkpoint, self._layout, heads)
        _require_fit(matching, type(twin).__name__, architecture)
        if all(heads.holds(line.name) for line in matching.receipt.having("shape differs")):
            self.preprocessing = self._checkpoint.preprocessing

    def network(self, device: Literal["cpu", "meta"]) -> nn.Module:
        """The structure with random values where the file has none for it; nothing is loaded."""
        with ZerosForRandom():
            network = self._make(device=device)
        if self._is_published:
            return network
        heads = heads_of(network)
        difference = compare_state(network, with_counters(network, self._layout.state))
        random = (*difference.missing, *difference.reshaped)
        is_replaced = all(self._has_new_heads and heads.holds(name) for name in random)
        return network if is_replaced or device == "meta" else self._make(device=device)

    def load_into(self, network: nn.Module) -> None:
        """Copy what fits into the network, whose heads may be new now; a receipt tells what did.

        Published weights, all of which fit, have no receipt.
        """
        heads = _named_heads(network, self._checkpoint, are_new=self._has_new_heads)
        matching = match(network, self._checkpoint, self._layout, heads)
        matching.copy()
        if not self._is_published:
            set_info(network, receipt=matching.receipt)


def _other_count(skeleton: nn.Module, layout: Layout) -> int | None:
    """How many classes the head in a file has, if not as many as the skeleton's."""
    heads = heads_of(skeleton)
    if not heads.prefixes or not (own := num_outputs(skeleton)):
        return None
    weight = layout.state.get(f"{heads.prefixes[0]}weight")
    rows = own if weight is None or not weight.ndim else len(weight)
    return None if rows == own else rows


def _named_heads(network: nn.Module, checkpoint: Checkpoint, *, are_new: bool = False) -> Heads:
    """The heads of a network with the names of its classes and of the file's, where known."""
    heads, origin = replace(heads_of(network), are_new=are_new), info(network).origin
    if origin is None or origin.classes is None:
        return heads
    if are_new and origin.head != "linear":
        # Rows say nothing behind hidden layers that are new.
        return replace(heads, rows=frozenset())
    return replace(heads, own=origin.classes, given=checkpoint.known_classes())


def _taken_over(
    network: nn.Module, choice: ChosenWeights, checkpoint: Checkpoint
) -> tuple[dict[str, object], tuple[str, ...]]:
    """What a network of `build` would take over into its `info` from weights, and notes on it.

    No preprocessing is taken from a file with any name, nor where another one was set by hand.
    """
    origin, architecture = info(network).origin, architecture_of(network)
    if origin is None or architecture is None:
        return {}, ()
    of_tag = partial(source_of(architecture).preprocessing, architecture.bare)
    usual = of_tag(structure_tag(architecture, origin.weights))
    # The size of photos is what a tag can decide of a structure: `rebuild` must give this one.
    is_same_structure = of_tag(choice.tag).size == usual.size
    taken: dict[str, object] = {}
    if is_same_structure:
        taken["origin"] = replace(origin, weights=choice.label)
    needed = checkpoint.preprocessing or (of_tag(choice.tag) if choice.tag else None)
    current = info(network).preprocessing
    if needed is not None and current is not None:
        # What is white in deep photos is a matter of the photos, not of the weights.
        needed, usual = (replace(each, depth=current.depth) for each in (needed, usual))
    if needed is None or needed == current:
        return taken, ()
    if current != usual or needed.size != usual.size:
        note = f"These weights were trained on photos prepared otherwise: {needed}; not taken over."
        return taken, (note,)
    note = f"Photos are prepared as these weights need it from now on: {needed}."
    return {**taken, "preprocessing": needed}, (note,)


def _adapted(network: nn.Module) -> Iterator[str]:
    """Change what weights need besides tensors; what was done is said."""
    for each in SOURCES:
        yield from source(each).adapt(network)


def _require_fit(
    matching: Matching,
    name: str,
    architecture: Architecture | None,
    minimum_share: float = MINIMUM_SHARE,
) -> None:
    """Raise unless a file holds enough of a network and is not that of another."""
    receipt = matching.receipt
    taken = sum(line.is_taken for line in receipt.lines)
    others = (*matching.others, *(matching.surplus if architecture else ()))
    if minimum_share > 0 and are_strangers(taken, len(others)):
        expected = f"{len(others)} tensors, such as {others[0]}, tell of other layers."
    elif not taken or matching.share < minimum_share:
        expected = (
            f"At least {percent(minimum_share)} of the parameters must be in the file "
            "(`minimum_share` of load_weights)."
        )
    else:
        return
    guess = _guess(matching.checkpoint, architecture)
    raise WeightsError(
        f"{receipt.file} does not fit {name}: {receipt.described('it would load')}.",
        expected=expected,
        next=" ".join((*guess, "Check that the weights are of this architecture.")),
        file=receipt.file,
    )


def _left_over(network: nn.Module, matching: Matching) -> Iterator[str]:
    if matching.surplus:
        guess = " ".join(("", *_guess(matching.checkpoint, architecture_of(network))))
        yield (
            f"{len(matching.surplus)} tensors of the file, such as {matching.surplus[0]}, are of "
            f"layers that this network does not have.{guess}"
        )


def _guess(checkpoint: Checkpoint, architecture: Architecture | None) -> Iterator[str]:
    """What network the file may be of, if not of this one."""
    if checkpoint.architecture is not None:
        yield f"The file is a capsule of {checkpoint.architecture}."
        return
    names = namesakes(checkpoint.state)
    if names and (architecture is None or architecture.name not in names):
        yield f"The file has as many parameters as {', '.join(names)}."


def _chosen(network: nn.Module, source: str | Path) -> ChosenWeights:
    if (architecture := architecture_of(network)) is not None:
        choice = choose(architecture, source)
    elif is_path(source):
        choice = ChosenWeights(f"file:{Path(source).absolute().name}", None, Path(source))
    else:
        raise WeightsError(
            f"There are no weights called {source!r} for this {type(network).__name__}, which "
            "does not say which architecture it is.",
            next="Make it with budwood.build(), or give the path of a file.",
        )
    if choice.label == "none":
        raise WeightsError("The weights 'none' are random: there is nothing to load.")
    return choice


def _file(network: nn.Module, choice: ChosenWeights, on_progress: Progress | None) -> Path:
    architecture, tag = architecture_of(network), choice.published
    if architecture is None or tag is None:
        assert choice.file is not None
        return choice.file
    return source_of(architecture).file(architecture.bare, tag, on_progress)


def _converter(
    network: nn.Module, architecture: Architecture | None, aux_heads: bool = True
) -> Converter:
    """What is known of other layouts, by the library of the architecture or by one that made it."""
    if architecture is not None:
        library = source_of(architecture)
        return lambda state: library.layouts(architecture.bare, network, state, aux_heads)
    makers = ((source(each), source(each).recognised(network)) for each in reversed(SOURCES))
    maker, name = next((maker, name) for maker, name in makers if name is not None)
    return lambda state: maker.layouts(name, network, state, True)
