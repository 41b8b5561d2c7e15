"""Networks for the weights of a file: as many classes, and the values that fit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import nn

from budwood.images.preprocessing import Preprocessing
from budwood.networks.catalog import Architecture
from budwood.networks.checkpoints import Checkpoint, read_checkpoint, read_state
from budwood.networks.constructing import ZerosForRandom, structure
from budwood.networks.head_rows import heads_of
from budwood.networks.heads import num_outputs
from budwood.networks.info import set_info
from budwood.networks.layouts import Layout, best_layout
from budwood.networks.loading import known_heads, require_fit
from budwood.networks.matching import match
from budwood.networks.sources import source_of
from budwood.networks.states import State, compare_state, load_state, with_counters


@dataclass(frozen=True)
class GivenWeights:
    """A file of weights, held against the structure of an architecture."""

    make: Callable[[Literal["cpu", "meta"]], nn.Module]
    """Makes the structure, for as many classes as the file's head."""
    checkpoint: Checkpoint
    layout: Layout
    has_new_heads: bool
    preprocessing: Preprocessing | None
    """The file's own, of a capsule."""

    def network(self, device: Literal["cpu", "meta"]) -> nn.Module:
        """The structure with random values where the file has none for it; nothing is loaded."""
        with ZerosForRandom():
            network = self.make(device)
        heads = heads_of(network)
        difference = compare_state(network, with_counters(network, self.layout.state))
        random = (*difference.missing, *difference.reshaped)
        is_replaced = all(self.has_new_heads and heads.holds(name) for name in random)
        return network if is_replaced else self.make(device)

    def load_into(self, network: nn.Module) -> None:
        """Copy what fits into the network, which then carries the receipt.

        Raises:
            WeightsError: If there is a file with the names of classes that cannot be read.
        """
        heads = known_heads(network, self.checkpoint, are_new=self.has_new_heads)
        matching = match(network, self.checkpoint, self.layout, heads)
        matching.copy()
        set_info(network, receipt=matching.receipt)


def given_weights(
    architecture: Architecture,
    tag: str | None,
    file: Path,
    *,
    aux_heads: bool,
    has_new_heads: bool,
) -> GivenWeights:
    """The weights in a file for a network of an architecture, which need not be all of it.

    Args:
        architecture: What they are for.
        tag: The published weights that decide on its structure.
        file: Where they are.
        aux_heads: The network keeps its auxiliary heads.
        has_new_heads: The heads will be replaced.

    Raises:
        WeightsError: If the file cannot be read, holds too little or is of another network.
    """
    skeleton = structure(architecture, tag, aux_heads=aux_heads, device="meta")
    checkpoint = read_checkpoint(file)
    layout = _layout(architecture, skeleton, checkpoint.state, keep_aux=True)
    count = None if has_new_heads else _other_count(skeleton, layout.state)

    def make(device: Literal["cpu", "meta"]) -> nn.Module:
        return structure(architecture, tag, classes=count, aux_heads=aux_heads, device=device)

    twin = make("meta")
    heads = replace(heads_of(twin), are_new=has_new_heads)
    matching = match(twin, checkpoint, layout, heads)
    require_fit(matching, type(twin).__name__, architecture)
    reshaped = (line.name for line in matching.receipt.having("shape differs"))
    is_alike = all(map(heads.holds, reshaped))
    preprocessing = checkpoint.preprocessing if is_alike else None
    return GivenWeights(make, checkpoint, layout, has_new_heads, preprocessing)


def network_of_published(
    architecture: Architecture, tag: str, file: Path, aux_heads: bool
) -> nn.Module:
    """The network with published weights, every tensor of which must fit.

    Raises:
        WeightsError: If one does not.
    """
    skeleton = structure(architecture, tag, aux_heads=aux_heads, device="meta")
    state = _layout(architecture, skeleton, read_state(file), keep_aux=aux_heads).state
    count = _other_count(skeleton, state)
    with ZerosForRandom():
        network = structure(architecture, tag, classes=count, aux_heads=aux_heads)
    load_state(network, with_counters(network, state), file=file)
    return network


def _layout(
    architecture: Architecture, skeleton: nn.Module, state: State, *, keep_aux: bool
) -> Layout:
    def convert(state: State) -> Iterator[State]:
        source = source_of(architecture)
        return source.layouts(architecture.bare, skeleton, state, keep_aux)

    return best_layout(skeleton, state, convert, heads_of(skeleton).prefixes)


def _other_count(skeleton: nn.Module, state: State) -> int | None:
    """How many classes the head in a file has, if not as many as the skeleton's."""
    heads = heads_of(skeleton)
    if not heads.prefixes or not num_outputs(skeleton):
        return None
    weight = state.get(f"{heads.prefixes[0]}weight")
    rows = num_outputs(skeleton) if weight is None or not weight.ndim else len(weight)
    return None if rows == num_outputs(skeleton) else rows
