"""Which axis of a tensor holds features, and which are places: followed from the image on.

Maps are `n c h w` in one network and `n h w c` in another, and a shape alone does not tell. What
layers do to a tensor does: a convolution gives features on axis 1, a linear layer on the last, and
each operation in between says where an axis goes. Operations are seen as PyTorch's dispatcher sees
them, also within code that cannot be traced.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from itertools import accumulate
from operator import mul
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from budwood.surgery.torch_internals import tree_leaves

Of = Callable[[Any], int | None]
Rule = Callable[[Of, Mapping[str, Any], Sequence[Tensor], Tensor], int | None]


def place_axes(dims: int, feature_axis: int | None = None) -> tuple[int, ...]:
    """The axes of a batch that are places, to be averaged over for one row an image.

    Where nobody has seen which axis holds features, a batch is taken to be a sequence `n t d`, or
    maps `n c h w`.
    """
    axis = (2 if dims == 3 else 1) if feature_axis is None else feature_axis
    return tuple(i for i in range(1, dims) if i != axis)


class FeatureAxes:
    """The feature axes of the tensors of one run, as far as they are known."""

    def __init__(self) -> None:
        self._axes: MutableMapping[Tensor, int] = WeakTensorKeyDictionary()

    def of(self, value: Any) -> int | None:
        """The axis of a tensor that holds features; None if that is not known."""
        return self._axes.get(value) if isinstance(value, Tensor) else None

    def begin(self, images: Tensor) -> None:
        """Where the channels of a network's input are: pixels (uint8) come as `n h w c`."""
        self._axes[images] = 1 if images.is_floating_point() else images.dim() - 1

    def follow(self, func: Any, named: Mapping[str, Any], value: Any) -> None:
        """Take in what an operation of PyTorch has made of its arguments."""
        inputs = [t for t in tree_leaves(list(named.values())) if isinstance(t, Tensor)]
        tracked = [t for t in inputs if self.of(t) is not None]
        if not tracked:
            return
        rule: Rule = _RULES.get(func._schema.name.removeprefix("aten::"), _kept)
        for output in tree_leaves(value):
            if isinstance(output, Tensor):
                axis = rule(self.of, named, tracked, output)
                if axis is None or not 0 < axis < output.dim():
                    self._axes.pop(output, None)
                else:
                    self._axes[output] = axis


def _kept(of: Of, named: Mapping[str, Any], tracked: Sequence[Tensor], output: Tensor) -> Any:
    """Elementwise, pooling, padding and the like: axes count from the last, as in broadcasting."""
    whole = [t for t in tracked if t.dim() <= output.dim()]
    whole.sort(key=lambda t: (t.dim() < output.dim(), t.shape[of(t)] == 1))  # type: ignore[index]
    if not whole:
        return None
    axis = of(whole[0])
    return None if axis is None else axis + output.dim() - whole[0].dim()


def _first(of: Of, named: Mapping[str, Any], tracked: Sequence[Tensor], output: Tensor) -> Any:
    return 1


def _last(of: Of, named: Mapping[str, Any], tracked: Sequence[Tensor], output: Tensor) -> Any:
    return output.dim() - 1


def _product(of: Of, named: Mapping[str, Any], tracked: Sequence[Tensor], output: Tensor) -> Any:
    """A weight mixes features; a product of two activations (attention) weighs the rows of the
    second."""
    left, right = [t for name in _FACTORS if isinstance(t := named.get(name), Tensor)][-2:]
    if of(left) is None:  # weight @ x
        return output.dim() - 2 if of(right) == right.dim() - 2 else output.dim() - 1
    if of(right) is None or of(right) == right.dim() - 1:
        return output.dim() - 1
    return output.dim() - 2 if of(left) == left.dim() - 2 else None


_FACTORS = "self", "mat1", "batch1", "other", "mat2", "batch2"
"""Names that operations give their two matrices, the left ones first (after what is added)."""


def _viewed(of: Of, named: Mapping[str, Any], tracked: Sequence[Tensor], output: Tensor) -> Any:
    """The axis that holds neighbouring features: of one that is split (into heads) the last part,
    of some that are joined the whole."""
    source = tracked[0]
    step = _steps(source)[of(source) or 0]
    return next(
        (axis for axis, own in enumerate(_steps(output)) if own <= step < own * output.shape[axis]),
        None,
    )


def _steps(tensor: Tensor) -> list[int]:
    """By how many values lying in order each axis advances."""
    return list(accumulate(reversed((*tensor.shape[1:], 1)), mul))[::-1]


def _permuted(of: Of, named: Mapping[str, Any], tracked: Sequence[Tensor], output: Tensor) -> Any:
    order = [axis % output.dim() for axis in named["dims"]]
    return order.index(of(tracked[0]) or 0)


def _transposed(of: Of, named: Mapping[str, Any], tracked: Sequence[Tensor], output: Tensor) -> Any:
    axis = of(tracked[0])
    pair = [named.get("dim0", 0) % output.dim(), named.get("dim1", 1) % output.dim()]
    return pair[1 - pair.index(axis)] if axis in pair else axis


def _reduced(of: Of, named: Mapping[str, Any], tracked: Sequence[Tensor], output: Tensor) -> Any:
    """Where some axes go, or shrink to one."""
    if "other" in named:  # the larger of two
        return _kept(of, named, tracked, output)
    source, axis = tracked[0], of(tracked[0]) or 0
    dim = named.get("dim")
    given = range(source.dim()) if dim is None or dim == [] else dim
    gone = {i % source.dim() for i in (given if isinstance(given, Sequence) else [given])}
    if output.dim() == source.dim():
        return axis if axis not in gone else None
    if axis in gone:
        return None
    return axis - sum(i < axis for i in gone)


def _squeezed(of: Of, named: Mapping[str, Any], tracked: Sequence[Tensor], output: Tensor) -> Any:
    source = tracked[0]
    dim = named.get("dim")
    asked = range(source.dim()) if dim is None else dim
    every = asked if isinstance(asked, Sequence) else [asked]
    gone = {i % source.dim() for i in every if source.shape[i] == 1}
    axis = of(source) or 0
    return None if axis in gone else axis - sum(i < axis for i in gone)


def _added(of: Of, named: Mapping[str, Any], tracked: Sequence[Tensor], output: Tensor) -> Any:
    """Where one axis is new."""
    axis = of(tracked[0]) or 0
    return axis + (named["dim"] % output.dim() <= axis)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("convolution", "_convolution", "conv2d", "mkldnn_convolution"), _first),
    **dict.fromkeys(("native_batch_norm", "native_group_norm", "cudnn_batch_norm"), _first),
    **dict.fromkeys(("linear", "embedding"), _last),
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm", "matmul"), _product),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "flatten"), _viewed),
    "permute": _permuted,
    **dict.fromkeys(("transpose", "t", "transpose_", "t_"), _transposed),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "select", "unbind"), _reduced),
    **dict.fromkeys(("argmax", "prod", "std", "var", "norm", "linalg_vector_norm"), _reduced),
    "squeeze": _squeezed,
    **dict.fromkeys(("unsqueeze", "stack"), _added),
}
