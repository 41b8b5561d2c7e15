"""Weights for a network that is there already: what fits is loaded, and a receipt says what did."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from torch import nn

from budwood.errors import ConfigError, WeightsError
from budwood.networks.adoption import adoption_of
from budwood.networks.catalog import Architecture
from budwood.networks.checkpoints import Checkpoint, read_checkpoint
from budwood.networks.choosing import Choice, choose, is_path
from budwood.networks.downloads import Progress
from budwood.networks.head_rows import Heads, heads_of
from budwood.networks.info import architecture_of, info, set_info
from budwood.networks.kinship import are_strangers, namesakes
from budwood.networks.layouts import Converter, best_layout
from budwood.networks.matching import Matching, match
from budwood.networks.receipts import Receipt, percent
from budwood.networks.sources import SOURCES, source, source_of

MINIMUM_SHARE = 0.5
"""Of the parameters, how many must be in a file."""


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
    heads = known_heads(network, checkpoint)
    layout = best_layout(network, checkpoint.state, _converter(network), heads.prefixes)
    matching = match(network, checkpoint, layout, heads)
    require_fit(matching, type(network).__name__, architecture_of(network), minimum_share)
    adoption = adoption_of(network, choice, checkpoint)
    matching.copy()
    notes = (*matching.receipt.notes, *_left_over(network, matching), *adoption.apply(network))
    receipt = replace(matching.receipt, notes=notes)
    set_info(network, receipt=receipt)
    return receipt


def known_heads(network: nn.Module, checkpoint: Checkpoint, *, are_new: bool = False) -> Heads:
    """The heads of a network with the names of its classes and of the file's, where known.

    Args:
        are_new: They were just made, and take nothing from the file but rows by name.

    Raises:
        WeightsError: If there is a file with the names of classes that cannot be read.
    """
    heads = replace(heads_of(network), are_new=are_new)
    origin = info(network).origin
    if origin is None or origin.classes is None:
        return heads
    if are_new and origin.head != "linear":
        # Rows say nothing behind hidden layers that are new.
        return replace(heads, rows=frozenset())
    return replace(heads, own=origin.classes, given=checkpoint.known_classes())


def require_fit(
    matching: Matching,
    name: str,
    architecture: Architecture | None,
    minimum_share: float = MINIMUM_SHARE,
) -> None:
    """Nothing, if a file holds enough of a network and is not that of another.

    Args:
        matching: The file held against the network.
        name: What to call the network.
        architecture: What it was built as. One that was made elsewhere may be a part of the
            file's on purpose.
        minimum_share: How much of the parameters must be there; with 0, anything.

    Raises:
        WeightsError: If not.
    """
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
        f"{receipt.file} does not fit {name}: {receipt.told('it would load')}.",
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


def _chosen(network: nn.Module, source: str | Path) -> Choice:
    if (architecture := architecture_of(network)) is not None:
        choice = choose(architecture, source)
    elif is_path(source):
        choice = Choice(f"file:{Path(source).absolute().name}", None, Path(source))
    else:
        raise WeightsError(
            f"There are no weights called {source!r} for this {type(network).__name__}, which "
            "does not say which architecture it is.",
            next="Make it with budwood.build(), or give the path of a file.",
        )
    if choice.label == "none":
        raise WeightsError("The weights 'none' are random: there is nothing to load.")
    return choice


def _file(network: nn.Module, choice: Choice, on_progress: Progress | None) -> Path:
    architecture, tag = architecture_of(network), choice.published
    if architecture is None or tag is None:
        assert choice.file is not None
        return choice.file
    return source_of(architecture).file(architecture.bare, tag, on_progress)


def _converter(network: nn.Module) -> Converter:
    """What is known of other layouts, by the library of the architecture or by one that made it."""
    if (architecture := architecture_of(network)) is not None:
        library = source_of(architecture)
        return lambda state: library.layouts(architecture.bare, network, state, True)
    makers = ((source(each), source(each).recognised(network)) for each in reversed(SOURCES))
    maker, name = next((maker, name) for maker, name in makers if name is not None)
    return lambda state: maker.layouts(name, network, state, True)
