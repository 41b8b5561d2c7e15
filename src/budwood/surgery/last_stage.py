"""The layers between a network's last stage but one and its classifier, as globs."""

from torch import fx

from budwood.surgery.stage_costs import before
from budwood.surgery.stages import Stages

OWN = "network."
"""What names in a prepared network begin with."""


def last_stage(stages: Stages) -> tuple[str, ...]:
    """What `--unfreeze` takes to train the last stage besides the classifier.

    Of each layer the shortest beginning of its name that no earlier layer has: `layer4`,
    `blocks.6`. Of a network of one stage these are all layers.
    """
    trunk = stages.cut.trunk
    assert isinstance(trunk, fx.GraphModule)
    (output,) = trunk.graph.find_nodes(op="output")
    *earlier, last = output.args[0]
    known = set(before(earlier[-1])) if earlier else set()
    taken = [_parts(node) for node in known]
    globs = [_shortest(_parts(n), taken) for n in before(last) if n not in known and _trains(n)]
    return tuple(dict.fromkeys(globs))


def _parts(node: fx.Node) -> list[str]:
    return str(node.target).removeprefix(OWN).split(".")


def _trains(node: fx.Node) -> bool:
    """True for a layer of the network with parameters, and for a parameter used directly."""
    if node.op not in ("call_module", "get_attr") or not str(node.target).startswith(OWN):
        return False
    if node.op == "get_attr":
        return True
    module = node.graph.owning_module
    assert module is not None
    return any(True for _ in module.get_submodule(str(node.target)).parameters())


def _shortest(parts: list[str], taken: list[list[str]]) -> str:
    for end in range(1, len(parts)):
        if all(other[:end] != parts[:end] for other in taken):
            return ".".join(parts[:end])
    return ".".join(parts)
