"""The one way from a photo's file to what a network is fed, bound to the network's weights."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from budwood.errors import ConfigError
from budwood.images.cropping import find_middle
from budwood.images.decoding import decode

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How photos are resized, cropped and normalised for a network.

    Example:
        >>> grey = Preprocessing(size=(224, 224), resize=256, mean=(0.5,), std=(0.2,))
        >>> print(grey)
        shorter side to 256 (bicubic), centre 224 x 224, mean 0.5, std 0.2, grey
        >>> grey.at_size(112).resize
        128
    """

    size: tuple[int, int]
    """Height and width of the network input."""
    resize: int | tuple[int, int]
    """The shorter side before the centre crop, or an exact height and width."""
    interpolation: Interpolation = "bicubic"
    """How pixels are resampled; all but `nearest` with antialiasing."""
    mean: tuple[float, ...]
    """Subtracted from each channel of 0 to 1; one value makes the photo grey."""
    std: tuple[float, ...]
    """What each channel is then divided by."""

    def __post_init__(self) -> None:
        sides = (self.resize,) if isinstance(self.resize, int) else self.resize
        needed = max(self.size) if isinstance(self.resize, int) else self.size
        if min(*self.size, *sides) < 1:
            raise ConfigError(
                f"Photos cannot be resized to {self.resize} and cropped to {self.size}.",
                expected="Every side must be at least 1 pixel.",
            )
        if np.any(np.array(sides) < np.array(needed)):
            raise ConfigError(
                f"The crop of {self.size[0]} x {self.size[1]} pixels is larger than a photo "
                f"resized to {self.resize}.",
                next="Raise `resize`, or give it as an exact (height, width).",
            )
        if self.interpolation not in get_args(Interpolation):
            raise ConfigError(
                f"No interpolation is called {self.interpolation!r}.",
                expected=f"There are {', '.join(get_args(Interpolation))}.",
            )
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean):
            raise ConfigError(
                f"mean has {len(self.mean)} values and std {len(self.std)}.",
                expected="Both must have 3 (RGB) or both 1 (grey).",
            )
        if min(self.std) <= 0:
            raise ConfigError(f"std is {self.std}.", expected="Every value must be above 0.")

    def pixels(self, data: bytes) -> npt.NDArray[np.uint8]:
        """The network input of a photo from the bytes of its file: `h w c`, 0 to 255, contiguous.

        Raises:
            PhotoError: If the photo cannot be decoded.
        """
        return self.fit(decode(data))

    def fit(self, photo: Tensor) -> npt.NDArray[np.uint8]:
        """The network input of a decoded photo, `3 h w` uint8: `h w c`, 0 to 255, contiguous.

        Raises:
            ConfigError: If `photo` is of another type or shape.
        """
        if (
            photo.dtype != torch.uint8
            or photo.ndim != 3
            or photo.shape[0] != 3
            or not photo.numel()
        ):
            raise ConfigError(
                f"A photo of shape {tuple(photo.shape)} and type {photo.dtype} cannot be fitted.",
                expected="It must be `3 h w`, torch.uint8.",
            )
        if len(self.mean) == 1:
            photo = luma(photo)
        height, width = self._resized_shape(*photo.shape[1:])
        down = find_middle(photo.shape[1], height, self.size[0])
        across = find_middle(photo.shape[2], width, self.size[1])
        photo = photo[:, down.kept, across.kept]
        photo = self._resized(photo, down.resized, across.resized)[:, down.crop, across.crop]
        return np.ascontiguousarray(photo.permute(1, 2, 0).numpy())  # c h w -> h w c

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels `n h w c` of 0 to 255 as the normalised float32 `n c h w` a network takes."""
        return _normalise(pixels, *(constant.to(pixels.device) for constant in self._constants()))

    def _constants(self) -> tuple[Tensor, Tensor]:
        """Mean and std, `c 1 1`."""
        return torch.tensor(self.mean).view(-1, 1, 1), torch.tensor(self.std).view(-1, 1, 1)

    def at_size(self, px: int) -> "Preprocessing":
        """The same for another input size; the crop keeps its share of the photo."""
        scale = px / max(self.size)

        def scaled(side: int) -> int:
            return max(1, round(side * scale))

        resize = (
            scaled(self.resize)
            if isinstance(self.resize, int)
            else (scaled(self.resize[0]), scaled(self.resize[1]))
        )
        return replace(self, size=(scaled(self.size[0]), scaled(self.size[1])), resize=resize)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Preprocessing":
        """What `to_json` gave, again.

        Raises:
            ConfigError: If a field is missing, unknown or impossible.
        """
        fields = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        try:
            return cls(**fields)
        except TypeError as error:
            raise ConfigError(
                f"This is not a preprocessing: {str(error).split('__init__() ')[-1]}.",
                expected=f"The fields are {', '.join(cls.__dataclass_fields__)}.",
            ) from None

    def __str__(self) -> str:
        if isinstance(self.resize, int):
            resize = f"shorter side to {self.resize}"
        else:
            resize = f"exactly {self.resize[0]} x {self.resize[1]}"
        grey = ", grey" if len(self.mean) == 1 else ""
        mean, std = (" ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return (
            f"{resize} ({self.interpolation}), centre {self.size[0]} x {self.size[1]}, "
            f"mean {mean}, std {std}{grey}"
        )

    def _resized_shape(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def _resized(self, photo: Tensor, height: int, width: int) -> Tensor:
        if self.interpolation != "lanczos":
            mode = InterpolationMode(self.interpolation)
            resized: Tensor = functional.resize(photo, [height, width], mode, antialias=True)
            return resized
        image = Image.fromarray(photo.permute(1, 2, 0).squeeze(2).numpy())
        image = image.resize((width, height), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(image)).view(height, width, -1).permute(2, 0, 1)


class Prepared(nn.Module):
    """A network that takes pixels as they are, `n h w c` uint8: normalising is part of its graph.

    What is traced, cut, exported or run by an engine is this, so that none of them can normalise
    otherwise or twice. The constants are no part of the state: they travel with the preprocessing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing
        mean, std = preprocessing._constants()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, pixels: Tensor) -> Any:
        return self.network(_normalise(pixels, self.mean, self.std))


def _normalise(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    images = pixels.permute(0, 3, 1, 2).float()  # n h w c -> n c h w
    return (images / 255 - mean) / std


def luma(photo: Tensor) -> Tensor:
    """The grey `1 h w` of an RGB photo, as Pillow's mode L makes it (ITU-R 601).

    Example:
        >>> luma(torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1)).item()
        76
    """
    red, green, blue = photo.int()
    grey: Tensor = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    return grey.byte().unsqueeze(0)  # h w -> 1 h w
