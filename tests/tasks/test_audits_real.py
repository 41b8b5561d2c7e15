"""An audit of a few hundred flowers with planted faults."""

import random
import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps

from budwood.features.gathering import Extraction
from budwood.tasks.audit import audit

pytestmark = pytest.mark.slow

COPIES = (
    lambda image: image,
    lambda image: image.resize((image.width // 2, image.height // 2)),
    ImageOps.mirror,
    lambda image: image.crop((12, 14, image.width - 10, image.height - 15)),
)
"""What is done to the photos; all are compressed again, too."""


@pytest.fixture(scope="module")
def planted(real_photos, tmp_path_factory):
    root = tmp_path_factory.mktemp("flowers") / "photos"
    chance = random.Random(7)
    classes = sorted(path.name for path in (real_photos / "flowers" / "train").iterdir())
    chosen = {}
    for part, number in (("train", 70), ("val", 20)):
        for name in classes:
            images = sorted((real_photos / "flowers" / part / name).glob("*.jpg"))
            for image in chance.sample(images, number):
                target = root / part / name / image.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(image, target)
                chosen[target] = name
    train = [path for path in chosen if "train" in path.parts]
    flips, sources = {}, chance.sample(train, 47)
    for path in sources[20:]:
        wrong = chance.choice([name for name in classes if name != chosen[path]])
        target = root / "train" / wrong / f"flipped-{path.name}"
        flips[path.rename(target)] = chosen[path]
    copies = []
    for i, path in enumerate(sources[:20]):
        with Image.open(path) as opened:
            copy = COPIES[i % len(COPIES)](opened.convert("RGB"))
        target = root / "val" / chosen[path] / f"copy-{path.name}"
        copy.save(target, "JPEG", quality=60)
        copies.append({path, target})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUDWOOD_HOME", str(tmp_path_factory.mktemp("home")))
        return audit(root, extraction=Extraction()), flips, copies


@pytest.mark.photos
def test_flipped_labels_are_flagged(planted):
    found, flips, _ = planted
    flagged = {f.images[0]: f.suggestion for f in found.findings if f.kind == "label"}
    hits = flagged.keys() & flips.keys()
    assert len(hits) >= 0.65 * len(flips)  # of all photos it is 0.8 and more
    assert len(hits) >= 0.5 * len(flagged)  # few photos, and some true errors of the data
    right = [flagged[path] == flips[path] for path in hits]
    assert np.mean(right) > 0.8


@pytest.mark.photos
def test_copies_across_splits_leak(planted):
    found, _, copies = planted
    leaks = [set(f.images) for f in found.findings if f.kind == "leak"]
    assert sum(any(pair <= leak for leak in leaks) for pair in copies) >= 18
    assert len(leaks) <= 21
