"""The way from a file to pixels works where torch is not installed, and starts at once."""

import subprocess
import sys

PROGRAM = """
import importlib, io, pkgutil, sys

import budwood.data, budwood.images

for room in (budwood.data, budwood.images):
    for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)

from PIL import Image

from budwood.data.inputs import fitted_images
from budwood.images.preprocessing import Preprocessing

preprocessing = Preprocessing(size=(8, 8), resize=8, mean=(0.5,) * 3, std=(0.5,) * 3)
image = Image.new("RGB", (90, 60), "red")
for format in ("JPEG", "PNG", "WEBP"):
    file = io.BytesIO()
    image.save(file, format)
    print(preprocessing.pixels(file.getvalue()).shape)
print(fitted_images([image], preprocessing).shape)
print(sorted({"torch", "torchvision", "jax", "tensorflow"} & sys.modules.keys()))
"""


def test_photos_become_pixels_without_torch():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert ran.stdout.splitlines() == ["(8, 8, 3)"] * 3 + ["(1, 8, 8, 3)", "[]"], ran.stderr
