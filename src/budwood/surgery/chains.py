"""A graft that is nothing but layers in a row, described so that it can be run without torch."""

import operator

from torch import fx, nn

Step = tuple[str, str]
"""`linear` with the name of its layer, or `relu` with no name."""


def chain_of(graft: nn.Module) -> tuple[Step, ...] | None:
    """The layers of a graft in their order, if it is a row of linear layers and ReLUs.

    None of any other graft. What does nothing in eval mode, as dropout, is left out.

    Args:
        graft: The graft of a cut that was made in eval mode.

    Example:
        >>> import torch
        >>> from budwood.surgery.cutting import cut
        >>> net = nn.Sequential(nn.Linear(4, 3).requires_grad_(False), nn.ReLU(), nn.Linear(3, 2))
        >>> chain_of(cut(net.eval(), torch.zeros(1, 4)).graft)
        (('linear', '2'),)
    """
    if not isinstance(graft, fx.GraphModule):
        return None
    frontier, *nodes, output = graft.graph.nodes
    if not nodes or not _is_first_tensor(nodes[0], frontier):
        return None
    steps: list[Step] = []
    last = nodes[0]
    for node in nodes[1:]:
        if node.op != "call_module" or node.args != (last,) or node.kwargs:
            return None
        module = graft.get_submodule(str(node.target))
        if type(module) is nn.Linear:
            steps.append(("linear", str(node.target)))
        elif type(module) is nn.ReLU:
            steps.append(("relu", ""))
        elif type(module) not in (nn.Dropout, nn.Identity):
            return None
        last = node
    return tuple(steps) if output.args == (last,) else None


def _is_first_tensor(node: fx.Node, frontier: fx.Node) -> bool:
    return node.target is operator.getitem and node.args == (frontier, 0)
