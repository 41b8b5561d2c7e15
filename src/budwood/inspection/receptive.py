"""How many pixels of the image a value can depend on: theoretical receptive fields.

Convolutions and pooling widen the field; what works pixel by pixel keeps it; where branches meet,
the widest counts. It ends where a value depends on the whole image or on no regular window of it:
global pooling (also inside squeeze-and-excitation), flattening, linear layers, attention. What is
not known to keep the field ends it, so that a number is never wrong.
"""

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from budwood.surgery.torch_internals import TorchDispatchMode, arguments_of, memory_of, tree_leaves

_aten = torch.ops.aten

_POOLING = {_aten.max_pool2d_with_indices, _aten.avg_pool2d}
_PIXEL_BY_PIXEL = {
    _aten.native_batch_norm,
    _aten.native_dropout,
    _aten.clone,
    _aten.alias,
    _aten.detach,
    _aten._to_copy,
    _aten.constant_pad_nd,
    _aten.reflection_pad2d,
    _aten.replication_pad2d,
    _aten.channel_shuffle,
    _aten.native_channel_shuffle,
    _aten.hardswish_,
    _aten._prelu_kernel,
}  # and all that torch itself tags as pointwise
_ALONG_ONE_AXIS = {
    _aten.cat,
    _aten.stack,
    _aten.split,
    _aten.split_with_sizes,
    _aten.unbind,
    _aten.select,
    _aten.slice,
    _aten.unsqueeze,
}
_ONLY_AS_LARGE = {_aten.empty_like, _aten.zeros_like, _aten.ones_like, _aten.new_zeros}
_RESHAPING = {_aten.view, _aten._unsafe_view, _aten.expand}


@dataclass(frozen=True)
class _Field:
    """A window of the image, height and width; `step` is how far it moves from value to value."""

    size: tuple[int, int]
    step: tuple[int, int]

    def seen_through(self, kernel: list[int], stride: list[int], dilation: list[int]) -> "_Field":
        (h, w), (y, x) = self.size, self.step
        return _Field(
            (h + (kernel[0] - 1) * dilation[0] * y, w + (kernel[-1] - 1) * dilation[-1] * x),
            (y * stride[0], x * stride[-1]),
        )


class ReceptiveFields(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, follows the receptive field of every tensor that is computed from an image.

    It watches the operations that really run, so it needs no traceable network.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # None: computed from the image, but from no known window. Not in it: a constant.
        self._fields: MutableMapping[Tensor, _Field | None] = WeakTensorKeyDictionary()
        self._written: dict[int, torch.UntypedStorage] = {}

    def start(self, image: Tensor) -> None:
        """From here on every pixel of `image` is a field of one pixel."""
        self._fields[image] = _Field((1, 1), (1, 1))

    def of(self, tensor: Tensor) -> int | None:
        """Longer side of the tensor's receptive field in pixels, where it is defined."""
        field = self._fields.get(tensor)
        return max(field.size) if field else None

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        sources = [t for t in tree_leaves((args, kwargs)) if self._depends_on_image(t)]
        before = [self._fields.get(source) for source in sources]
        result = func(*args, **kwargs)
        if sources and func.overloadpacket not in _ONLY_AS_LARGE:
            outputs = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
            field = _field_after(func, args, kwargs, sources, before, outputs)
            for output in outputs:
                self._fields[output] = field
            if func._schema.is_mutable:
                self._overwritten(outputs, field)
        return result

    def _depends_on_image(self, value: object) -> bool:
        if not isinstance(value, Tensor):
            return False
        return value in self._fields or memory_of(value) in self._written

    def _overwritten(self, targets: list[Tensor], field: _Field | None) -> None:
        """Other views of memory that was written to no longer have the field they had."""
        for target in targets:
            # The storage is kept, so that no other memory can come to bear the same number.
            self._written[memory_of(target)] = target.untyped_storage()
            for other, known in list(self._fields.items()):
                if other is not target and known != field and memory_of(other) == memory_of(target):
                    self._fields[other] = None


def _field_after(
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    sources: list[Tensor],
    before: list[_Field | None],
    outputs: list[Tensor],
) -> _Field | None:
    known = [field for field in before if field is not None]
    if len(known) < len(before) or not outputs or len({s.shape[-2:] for s in sources}) > 1:
        return None
    packet, given = func.overloadpacket, arguments_of(func, args, kwargs)
    if packet in _POOLING or packet is _aten.convolution:
        return _through_window(given, known[0]) if len(known) == 1 else None
    if torch.Tag.pointwise in func.tags or packet in _PIXEL_BY_PIXEL:
        return _union(known)
    return _union(known) if _spares_pixels(packet, given, sources[0], outputs[0]) else None


def _through_window(given: dict[str, Any], field: _Field) -> _Field | None:
    kernel = list(given["weight"].shape[2:]) if "weight" in given else given["kernel_size"]
    if given.get("transposed") or len(kernel) > 2:
        return None
    return field.seen_through(kernel, given["stride"] or kernel, given.get("dilation", [1]))


def _union(fields: list[_Field]) -> _Field | None:
    """The field of what is computed from several: the widest, if all move in step."""
    if len({field.step for field in fields}) > 1:
        return None
    heights, widths = zip(*(field.size for field in fields), strict=True)
    return _Field((max(heights), max(widths)), fields[0].step)


def _spares_pixels(packet: Any, given: dict[str, Any], source: Tensor, output: Tensor) -> bool:
    """True if an operation only rearranges what comes before the last two axes, the pixels."""
    if packet in _RESHAPING:
        return output.shape[-2:] == source.shape[-2:]
    if packet is _aten.permute:
        return [axis % source.ndim for axis in given["dims"][-2:]] == _last_two(source)
    if packet is _aten.transpose:
        moved = {given["dim0"] % source.ndim, given["dim1"] % source.ndim}
        return moved.isdisjoint(_last_two(source))
    if packet in _ALONG_ONE_AXIS:
        larger = source if source.ndim > output.ndim else output
        return given["dim"] % larger.ndim not in _last_two(larger)
    return False


def _last_two(tensor: Tensor) -> list[int]:
    return [tensor.ndim - 2, tensor.ndim - 1]
