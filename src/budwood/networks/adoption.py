"""What a network takes over from weights besides tensors: their name and preprocessing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from budwood.networks.checkpoints import Checkpoint
from budwood.networks.choosing import Choice, structure_tag
from budwood.networks.info import architecture_of, info, set_info
from budwood.networks.sources import source_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Adoption:
    """New attributes of a network, and what the user should know of them."""

    attributes: dict[str, object]
    notes: tuple[str, ...] = ()

    def apply(self, network: "nn.Module") -> tuple[str, ...]:
        """Set the attributes; what was done, and what was not, is said."""
        set_info(network, **self.attributes)
        return (*self.notes, *_rescale(network))


def adoption_of(network: "nn.Module", choice: Choice, checkpoint: Checkpoint) -> Adoption:
    """What a network would take over from weights that were chosen for it.

    A network of `build` gets them into its `origin`, and its preprocessing becomes theirs, if
    that is known: not of a file with any name, and not where another one was set by hand.

    Raises:
        WeightsError: If the weights that the network was built with are not published any more.
    """
    origin, architecture = info(network).origin, architecture_of(network)
    if origin is None or architecture is None:
        return Adoption({})
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
        return Adoption(taken)
    if current != usual or needed.size != usual.size:
        note = f"These weights were trained on photos prepared otherwise: {needed}; not taken over."
        return Adoption(taken, (note,))
    note = f"Photos are prepared as these weights need it from now on: {needed}."
    return Adoption({**taken, "preprocessing": needed}, (note,))


def _rescale(network: "nn.Module") -> Iterator[str]:
    """Switch on what torchvision switches on with the weights of GoogLeNet and Inception v3."""
    for module in network.modules():
        if getattr(module, "transform_input", None) is False:
            module.transform_input = True  # type: ignore[assignment]
            yield (
                f"{type(module).__name__}.transform_input is now True, as its published weights "
                "need it."
            )
