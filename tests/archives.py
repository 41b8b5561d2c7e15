"""Small archives of photos, honest and otherwise."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

from budwood.course.datasets import Dataset

FLOWERS = {"daisy": 2, "roses": 3}


def tar_of(path: Path, *members: tarfile.TarInfo | str) -> Path:
    """A .tar.gz of these members; a name stands for a file of four bytes."""
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if isinstance(member, str):
                member = tarfile.TarInfo(member)
                member.size = 4
            tar.addfile(member, io.BytesIO(b"\xff" * member.size))
    return path


def tar_member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A member that is no plain file."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def zip_of(path: Path, *names: str | zipfile.ZipInfo) -> Path:
    """A .zip of files of four bytes."""
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"" if str(name).endswith("/") else b"\xff" * 4)
    return path


def images_of(counts: dict[str, int], top: str) -> list[str]:
    """The names of so many photos in each folder, below a common one."""
    return [f"{top}/{name}/{i}.jpg" for name, number in counts.items() for i in range(number)]


def dataset_of(archive: Path, images: dict[str, int], address: str = "https://a.b") -> Dataset:
    """A data set that is published as that archive."""
    content = archive.read_bytes()
    return Dataset(
        name="flowers",
        about="Two kinds of flowers.",
        url=f"{address}/{archive.name}",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        images=images,
    )
