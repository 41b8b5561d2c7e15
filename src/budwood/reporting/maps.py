"""Where a network looked on some photos, as pictures for a page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from budwood.classifier import Classifier
from budwood.images.reading import read
from budwood.judging.attribution import where_it_looked
from budwood.judging.map_layers import last_map_layer
from budwood.networks.prepared import normalise
from budwood.reporting.overlays import overlaid
from budwood.reporting.thumbnails import SIDE, address_of

AT_ONCE = 4
"""Photos in memory at once."""


def maps_of(
    model: Classifier, paths: Sequence[Path], classes: Sequence[int]
) -> tuple[str, dict[Path, str]]:
    """The layer that is shown, and each photo with its map laid over it as an address.

    Args:
        model: A classifier.
        paths: Photos that can be read.
        classes: What each is taken for: the map shows what speaks for that.

    Raises:
        ConfigError: If no layer of the network gives a map.
        PhotoError: If a photo can no longer be read.
    """
    layer, found = "", {}
    for start in range(0, len(paths), AT_ONCE):
        some = paths[start : start + AT_ONCE]
        pixels = np.stack([model.preprocessing.pixels(read(path)) for path in some])
        images = normalise(torch.from_numpy(pixels), model.preprocessing)
        layer = layer or last_map_layer(model.network_, images)
        chosen = classes[start : start + AT_ONCE]
        seen = where_it_looked(model.network_, images, layer, chosen).numpy()
        for path, photo, where in zip(some, pixels, seen, strict=True):
            picture = Image.fromarray(overlaid(photo, where)).resize((SIDE, SIDE))
            found[path] = address_of(np.asarray(picture))
    return layer, found
