"""What a network is made of: layer by layer, its shapes, sizes, cost and what of it is frozen."""

from dataclasses import replace

from torch import nn
from torch.nn.parameter import is_lazy

from budwood.errors import ConfigError
from budwood.surgery.dryrun import dry_run
from budwood.surgery.layer_tree import rows_of
from budwood.surgery.rows import Shape
from budwood.surgery.summary import Summary
from budwood.surgery.tracing import usual_input


def summarize(
    network: nn.Module,
    input: tuple[int, int, int] | None = None,
    depth: int | None = None,
    batch: int = 1,
) -> Summary:
    """The network's layers with shapes, parameters, multiply-adds, state and receptive field.

    Nothing is computed or allocated, so networks on the meta device can be summarised as well, and
    the network is left as it was. It is seen in the mode it is in: auxiliary heads, for instance,
    only run in train mode.

    Args:
        network: Any network that takes one batch of images.
        input: Channels, height and width; by default those of the network's preprocessing, else
            3, 224 and 224.
        depth: Blocks nested deeper than this are summed up in one row; all are shown by default.
        batch: Photos in the batch.

    Raises:
        ConfigError: If an argument is impossible, the network cannot run on that input, or it has
            layers whose size is not known yet.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(72, 2))
        >>> print(summarize(net, (3, 5, 5)))
        layer  type     state       output  parameters  multiply-adds  field
        0      Conv2d   trainable  1x8x3x3         224         1.94 k      3
        1      Flatten  -             1x72           -              -      -
        2      Linear   trainable      1x2         146            144      -
        <BLANKLINE>
        Sequential: 1x3x5x5 to 1x2
        parameters: 370, of these trainable 370 (100.00 %)
        multiply-adds: 2.09 k
    """
    shape = (batch, *(input or usual_input(network)))
    _check(network, shape, depth)
    whole, *rows = rows_of(network, dry_run(network, shape))
    if not rows:
        rows = [replace(whole, name="(own)", depth=1)]
    return Summary(
        type=whole.type,
        input=shape,
        output=whole.output,
        parameters=whole.parameters,
        trainable=whole.trainable,
        macs=whole.macs,
        rows=tuple(rows),
    ).to_depth(depth)


def _check(network: nn.Module, shape: Shape, depth: int | None) -> None:
    if len(shape) != 4 or min(shape) < 1:
        raise ConfigError(
            f"An input of {shape[1:]} in a batch of {shape[0]} is no batch of images.",
            expected="All sizes must be at least 1.",
            next="Give channels, height and width, such as --input 3,224,224.",
        )
    if depth is not None and depth < 1:
        raise ConfigError(f"depth is {depth}.", expected="--depth must be at least 1.")
    unknown = [name for name, parameter in network.named_parameters() if is_lazy(parameter)]
    if unknown:
        raise ConfigError(
            f"The size of {unknown[0]!r} is not known yet.",
            next="Run the network once on a real batch; that settles the size of lazy layers.",
        )
