"""Where a network came from: what it takes to build the same structure again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from budwood.display import displayed
from budwood.errors import ConfigError
from budwood.networks.catalog import Architecture, find

if TYPE_CHECKING:
    from torch import nn


RANDOM_WEIGHTS = "The weights are random (--weights none): this accuracy means nothing."
"""What must be said with every result of frozen weights that are random."""


@displayed
@dataclass(frozen=True, kw_only=True)
class Origin:
    """The recipe of a network's structure; `rebuild` follows it.

    Example:
        >>> origin = Origin(architecture="torchvision/resnet50", weights="none", num_classes=1000)
        >>> Origin.from_json(origin.to_json()) == origin
        True
    """

    architecture: str
    """With its source: `torchvision/resnet50`, `timm/vit_tiny_patch16_224`; or `graft`."""
    weights: str
    """Tag of the published weights (`IMAGENET1K_V2`, `a1_in1k`), `packaged`, `none` or
    `file:NAME`. On the meta device: the weights the structure was made for."""
    num_classes: int
    """How many outputs the network has; 0 if it ends in features."""
    classes: tuple[str, ...] | None = None
    """Their names in order, where they are known."""
    head: str | None = None
    """`linear` or `mlp:...` if the head was replaced; None for the architecture's own."""
    aux_heads: bool = False
    """Whether the auxiliary classifiers of GoogLeNet and Inception were kept."""
    graft: Mapping[str, Any] | None = None
    """Of a graft, its recipe with the origin of each donor."""

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self) | {"classes": None if self.classes is None else list(self.classes)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Origin":
        """What `to_json` gave, again.

        Raises:
            ConfigError: If a field is missing or unknown.
        """
        classes = fields.get("classes")
        try:
            return cls(**{**fields, "classes": None if classes is None else tuple(classes)})
        except TypeError as error:
            raise ConfigError(
                f"This is not the origin of a network: {str(error).split('__init__() ')[-1]}.",
                expected=f"The fields are {', '.join(cls.__dataclass_fields__)}.",
            ) from None


def origin_of(network: "nn.Module") -> Origin | None:
    """Where a network came from; None if it was not built here."""
    origin = getattr(network, "origin", None)
    return origin if isinstance(origin, Origin) else None


def architecture_of(network: "nn.Module") -> Architecture | None:
    """What a network was built as; None of a graft, and of what was made elsewhere.

    Raises:
        UnknownName: If the architecture is not known any more.
    """
    origin = origin_of(network)
    return None if origin is None or origin.graft is not None else find(origin.architecture)
