"""The digest of a library's code: the same as long as what its networks are made of is."""

import sys
from typing import get_args

import pytest
import torch

from budwood.networks import source_code
from budwood.networks.building import structure
from budwood.networks.catalog import Source, models
from budwood.networks.source_code import CODE, PACKAGES, code_digest


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of networks instead of torchvision, with one file that matters."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(CODE, "grove", ("models/*.py",))
    monkeypatch.setitem(PACKAGES, "torchvision", ("grove",))
    folder = tmp_path / "grove"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "models" / "oak.py").write_text("depth = 3")
    (folder / "models" / "elm.py").write_text("depth = 4")
    return folder


def test_the_sources_of_the_catalogue_have_one():
    assert PACKAGES.keys() == set(get_args(Source))
    digests = {source: code_digest(source) for source in PACKAGES}
    assert None not in digests.values()
    assert len(set(digests.values())) == 4


@pytest.mark.parametrize("file", ["models/oak.py", "models/ash.py"])
def test_it_changes_with_a_file_that_matters(library, file):
    before = code_digest("torchvision")
    assert before == code_digest("torchvision")
    (library / file).write_text("depth = 5")
    assert code_digest("torchvision") != before


def test_it_changes_with_the_name_of_a_file(library):
    before = code_digest("torchvision")
    (library / "models" / "elm.py").rename(library / "models" / "fir.py")
    assert code_digest("torchvision") != before


def test_it_does_not_change_with_another_file(library):
    before = code_digest("torchvision")
    (library / "training.py").write_text("epochs = 3")
    assert code_digest("torchvision") == before


def test_without_the_code_there_is_none(library, monkeypatch):
    monkeypatch.setitem(PACKAGES, "torchvision", ("grove", "no_such_library"))
    monkeypatch.setitem(CODE, "no_such_library", ("*.py",))
    assert code_digest("torchvision") is None
    monkeypatch.setitem(PACKAGES, "torchvision", ("grove",))
    for file in (library / "models").iterdir():
        file.unlink()
    assert code_digest("torchvision") is None


def with_torch(monkeypatch, tmp_path, version):
    """The digest where this version of torch is installed."""
    folder = tmp_path / version
    folder.mkdir()
    (folder / "version.py").write_text(f"__all__ = []\n__version__ = '{version}'\n")
    found = source_code._folder
    monkeypatch.setattr(
        source_code, "_folder", lambda name: folder if name == "torch" else found(name)
    )
    digest = code_digest("torchvision")
    monkeypatch.undo()
    return digest


def test_the_release_of_torch_counts_and_its_build_does_not(tmp_path, monkeypatch):
    digests = [
        with_torch(monkeypatch, tmp_path, version)
        for version in ("9.1.0+cpu", "9.1.1+cu130", "9.10.0", "unknown")
    ]
    assert digests[0] == digests[1]
    assert digests[1] != digests[2]
    assert digests[3] is None


def test_the_release_of_torch_is_the_installed_one():
    assert source_code._torch_release() == ".".join(torch.__version__.split(".")[:2])


def test_the_settings_of_timm_count_where_it_is_used(monkeypatch):
    before = {source: code_digest(source) for source in PACKAGES}
    monkeypatch.setenv("TIMM_FUSED_ATTN", "0")
    after = {source: code_digest(source) for source in PACKAGES}
    assert {source for source in before if before[source] != after[source]} == {
        "timm",
        "budwood",
    }


@pytest.mark.parametrize(
    ("source", "pattern"),
    [
        ("torchvision", "torchvision/*[_0-9][01t]*"),
        ("budwood", "budwood/*"),
        ("timm", "timm/*_tiny_*"),
    ],
)
def test_every_class_of_a_network_is_in_a_file_that_counts(source, pattern):
    some = models(pattern)[::2]
    defining = {
        sys.modules[type(module).__module__].__file__
        for architecture in some
        for module in structure(architecture, device="meta").modules()
    }
    folder = source_code._folder(source)
    counted = {str(file) for glob in CODE[source] for file in folder.glob(glob)}
    ours = {file for file in defining if file.startswith(f"{folder}/")}
    assert len(some) > 10
    assert ours
    assert ours <= counted
