"""What happens in a network when an image passes, found out without computing or allocating it.

The image passes through a hollow twin: the same modules, but every tensor in them has a shape and
no memory (torch's meta device). The network itself is never touched, whatever its code does.

Where a network's code flattens maps into rows of values without a layer of its own for it.
"""

from collections import defaultdict
from collections.abc import Iterable, MutableMapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakTensorKeyDictionary

from budwood.errors import ConfigError
from budwood.inspection.receptive import ReceptiveFields
from budwood.surgery.torch_internals import NormBase, TorchDispatchMode, tree_leaves

_aten = torch.ops.aten

_RESHAPING = {_aten.view, _aten._unsafe_view}
"""What `flatten`, `reshape` and `view` come down to."""


class Flattenings(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, remembers of which maps each row of values was made by flattening.

    It watches the operations that really run, so a mean over the pixels is not taken for it.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sources: MutableMapping[Tensor, tuple[int, ...]] = WeakTensorKeyDictionary()

    def take(self, values: Tensor) -> tuple[int, ...] | None:
        """Shape of the maps that these values are, once; None if they come from elsewhere."""
        return self._sources.pop(values, None)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in _RESHAPING and _flattens(args[0], result):
            self._sources[result] = tuple(args[0].shape)
        return result


def _flattens(source: Tensor, result: Tensor) -> bool:
    return source.ndim > 2 and result.ndim == 2 and source.shape[0] == result.shape[0]


@dataclass
class Visit:
    """What one module did while the image passed."""

    input: tuple[int, ...] | None = None
    """Shape of what it was given first; of several tensors, the first."""
    output: tuple[int, ...] | None = None
    """Shape of what it gave back first; of several tensors, the first."""
    macs: int = 0
    """Multiply-adds of its own code, over all calls; what its children did is theirs."""
    receptive_field: int | None = None
    flattened: tuple[int, ...] | None = None
    """Shape of the maps that the code around it flattened into its input, if that happened."""


def dry_run(network: nn.Module, shape: tuple[int, ...]) -> dict[str, Visit]:
    """A visit for every module that takes part, by name; the network's own is called `""`.

    Layers are in the mode the network is in, except that normalisation keeps its statistics.
    """
    twin = hollow_twin(network)
    with (
        torch.no_grad(),
        torch.device("meta"),
        FlopCounterMode(display=False) as counter,
        ReceptiveFields() as fields,
        Flattenings() as flattenings,
    ):
        recorder = _ShapeRecorder(twin, counter, fields, flattenings)
        image = torch.empty(shape, dtype=_dtype(network))
        fields.start(image)
        try:
            twin(image)
        except Exception as problem:
            raise ConfigError(
                f"The network cannot run on an input of {'x'.join(map(str, shape[1:]))}: "
                f"{str(problem).partition(chr(10))[0].rstrip('.') or type(problem).__name__}.",
                next="Give the size that it is made for, such as --input 3,224,224.",
            ) from problem
    return dict(recorder.visits)


def hollow_twin(network: nn.Module) -> nn.Module:
    """A copy of the modules in which every tensor is replaced by one without memory."""
    hollow = {
        id(value): _hollow(value)
        for module in network.modules()
        for store in (module._parameters, module._buffers, vars(module))
        for value in store.values()
        if isinstance(value, Tensor)
    }
    twin = deepcopy(network, hollow)
    for module in twin.modules():
        if isinstance(module, NormBase):
            module.training = False  # in train mode one photo has no statistics of its own
    return twin


def _hollow(tensor: Tensor) -> Tensor:
    # No gradient: the counter's hooks cannot handle views of parameters that need one.
    empty = torch.empty_like(tensor, device="meta", requires_grad=False)
    return nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty


def _dtype(network: nn.Module) -> torch.dtype:
    kinds = (p.dtype for p in network.parameters() if p.is_floating_point())
    return next(kinds, torch.get_default_dtype())


class _ShapeRecorder:
    """Notes, from hooks on every module, what enters and leaves it and how much it computes."""

    def __init__(
        self,
        twin: nn.Module,
        counter: FlopCounterMode,
        fields: ReceptiveFields,
        flattenings: Flattenings,
    ) -> None:
        self.visits: defaultdict[str, Visit] = defaultdict(Visit)
        self._counter = counter
        self._fields = fields
        self._flattenings = flattenings
        self._running: list[_Call] = []
        self._names = {module: name for name, module in twin.named_modules()}
        for module in twin.modules():
            module.register_forward_pre_hook(self._enter, with_kwargs=True)
            module.register_forward_hook(self._leave, always_call=True)

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        visit = self.visits[self._names[module]]
        given = _tensors((args, kwargs))
        if visit.input is None and given:
            visit.input = tuple(given[0].shape)
            visit.flattened = self._flattenings.take(given[0])
        self._running.append(_Call(started=self._counter.get_total_flops()))

    def _leave(self, module: nn.Module, args: object, output: Any) -> None:
        call = self._running.pop()
        flops = self._counter.get_total_flops() - call.started
        if self._running:
            self._running[-1].by_children += flops
        visit = self.visits[self._names[module]]
        visit.macs += (flops - call.by_children) // 2
        tensors = _tensors(output)
        for tensor in tensors:
            self._flattenings.take(tensor)  # what a module itself flattens shows in its own shapes
        if visit.output is None and tensors:
            visit.output = tuple(tensors[0].shape)
            visit.receptive_field = self._fields.of(tensors[0])


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


@dataclass
class _Call:
    """A module that is running: the FLOPs counted when it started, and those of its children."""

    started: int
    by_children: int = 0
