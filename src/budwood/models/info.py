"""What a network carries with it: where it is from, its preprocessing, and what was loaded."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from budwood.display import displayed
from budwood.errors import ConfigError
from budwood.images.depth import Depth
from budwood.images.preprocessing import Preprocessing
from budwood.models.catalog import Architecture, find
from budwood.models.receipts import Receipt

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
    """The recipe of a graft, with the origin of each donor."""

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self) | {"classes": None if self.classes is None else list(self.classes)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Origin":
        """What `to_json` gave, again."""
        classes = fields.get("classes")
        try:
            return cls(**{**fields, "classes": None if classes is None else tuple(classes)})
        except TypeError as error:
            raise ConfigError(
                f"This is not the origin of a network: {str(error).split('__init__() ')[-1]}.",
                expected=f"The fields are {', '.join(cls.__dataclass_fields__)}.",
            ) from None


@displayed
@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a network carries besides its layers; its copies carry it too. See `info`."""

    origin: Origin | None = None
    """Where it came from; None if it was not built here."""
    preprocessing: Preprocessing | None = None
    """How images are prepared for its weights."""
    receipt: Receipt | None = None
    """What became of each tensor when weights were last loaded from a file."""
    notes: tuple[str, ...] = ()
    """What the user should know of a graft: adapters, and contradicting normalisations."""


def info(network: "nn.Module") -> ModelInfo:
    """What a network carries with it; nothing of one that was made elsewhere.

    Example:
        >>> import budwood as bw
        >>> info(bw.build("resnet50", weights="none", device="meta")).origin.architecture
        'torchvision/resnet50'
    """
    found = (holder[_KEY] for holder in _holders(network) if _KEY in holder)
    return next(found, ModelInfo())


def set_info(network: "nn.Module", **changes: Any) -> None:
    """Change fields of the `ModelInfo` that a network carries.

    Example:
        >>> import budwood as bw
        >>> network = bw.build("resnet50", weights="none", device="meta")
        >>> set_info(network, preprocessing=info(network).preprocessing.at_size(112))
        >>> info(network).preprocessing.size
        (112, 112)
    """
    changed = replace(info(network), **changes)
    for holder in _holders(network):
        holder[_KEY] = changed


def preprocessing_of(network: "nn.Module") -> Preprocessing:
    """The preprocessing that belongs to the weights of a network."""
    if (preprocessing := info(network).preprocessing) is not None:
        return preprocessing
    raise ConfigError(
        f"This {type(network).__name__} does not say how photos are prepared for it.",
        next="Make it with budwood.build(), or give it the budwood.Preprocessing that its weights "
        "were trained with: budwood.set_info(network, preprocessing=...).",
    )


def set_depth(network: "nn.Module", depth: Depth) -> None:
    """Say what is black and white in the photos of more than 8 bits that a network is to learn."""
    set_info(network, preprocessing=replace(preprocessing_of(network), depth=depth))


def input_shape(network: "nn.Module") -> tuple[int, int, int]:
    """Channels, height and width of the images a network takes; 3, 224 and 224 if unknown."""
    if (preprocessing := info(network).preprocessing) is None:
        return 3, 224, 224
    return len(preprocessing.mean), *preprocessing.size


def architecture_of(network: "nn.Module") -> Architecture | None:
    """What a network was built as; None of a graft, and of what was made elsewhere."""
    origin = info(network).origin
    return None if origin is None or origin.graft is not None else find(origin.architecture)


_KEY = "model_info"


def _holders(network: "nn.Module") -> list[dict[str, Any]]:
    """A plain attribute: it is in no state dict, and follows a module into copies and pickles; but
    of a GraphModule torch.fx copies `meta` alone, and pickles all the rest."""
    meta = vars(network).get("meta")
    return [vars(network), *([meta] if isinstance(meta, dict) else [])]
