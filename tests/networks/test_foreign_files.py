"""What is no file of weights is called by its name, with the step that helps."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from budwood.errors import WeightsError
from budwood.networks.checkpoints import read_state

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 46827520\n"


def zipped(*names):
    """The bytes of a zip archive with these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"...")
    return file.getvalue()


def arrays():
    file = io.BytesIO()
    np.savez(file, a=np.ones(1))
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("net.pth"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net.safetensors", LFS, r"Git LFS pointer.*`git lfs pull`"),
        ("net.pth", LFS, r"Git LFS pointer.*`git lfs pull`"),
        ("net.pth", b"<!DOCTYPE html><html>Google Drive", r"a web page.*in a browser"),
        ("net.safetensors", b"\n<html lang=en>Not found", r"a web page.*in a browser"),
        ("net.h5", b"\x89HDF\r\n\x1a\n" + bytes(200), r"an HDF5 file, as Keras.*\.safetensors"),
        ("net.keras", zipped("config.json", "model.weights.h5"), r"a Keras model.*PyTorch"),
        ("net.npz", arrays(), r"a NumPy archive \(\.npz\)"),
        ("net.zip", zipped("half.pth"), r"a zip archive that holds half\.pth\. Unpack it"),
        ("net.zip", zipped("a/half.pth", "b.txt"), r"holds a/half\.pth and 1 more\. Unpack it"),
        ("net.pth", zipped(), r"holds no weights|of no format"),
        ("net.tar", tarred(), r"a tar archive\. Unpack it"),
        ("net.pth.gz", b"\x1f\x8b\x08" + bytes(30), r"a gzip archive\. Unpack it"),
        ("net.npy", b"\x93NUMPY\x01\0", r"a NumPy array"),
        ("net.onnx", b"\x08\x07\x12\x07pytorch", r"an ONNX model"),
        ("net.tflite", b"\x1c\0\0\0TFL3" + bytes(100), r"a TensorFlow Lite model"),
        ("net.safetensors.index.json", b'{"weight_map": {}}', r"a JSON text.*lies beside it"),
        ("photo.jpg", b"\xff\xd8\xff\xe0" + bytes(40), r"a JPEG photo"),
    ],
)
def test_it_is_said_what_the_file_is(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=said) as caught:
        read_state(tmp_path / name)
    assert caught.value.file == str(tmp_path / name)


@pytest.mark.parametrize("name", ["net.onnx", "net.json", "net.zip"])
def test_an_odd_ending_hides_no_weights(tmp_path, name):
    state = {"w": torch.ones(2)}
    for save in (
        lambda path: torch.save(state, path),
        lambda path: torch.save(state, path, _use_new_zipfile_serialization=False),
        lambda path: save_file(state, path),
    ):
        save(tmp_path / name)
        assert torch.equal(read_state(tmp_path / name)["w"], state["w"])
