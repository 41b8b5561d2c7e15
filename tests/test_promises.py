"""What the project promises as a whole: its names, its silence, its lightness, its README."""

import ast
import doctest
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import budwood

from .pages import ROOT, Page

SOURCE = Path(budwood.__file__).parent
MODULES = sorted(module.name for module in pkgutil.walk_packages(budwood.__path__, "budwood."))
README = Page("README.md")


def python(code):
    """What a fresh interpreter prints."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# Names


def test_every_public_name_is_there():
    for name in budwood.__all__:
        assert getattr(budwood, name).__name__ == name
    assert set(budwood.__all__) < set(dir(budwood))
    assert budwood.__all__ == sorted(budwood.__all__)


def test_type_checkers_see_the_same_names():
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    imported = [
        (alias.asname, f"{node.module}")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("budwood.")
        for alias in node.names
    ]
    assert sorted(name for name, _ in imported) == budwood.__all__
    for name, module in imported:
        assert getattr(importlib.import_module(module), name) is getattr(budwood, name)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'budwood' has no attribute 'nonsense'"):
        _ = budwood.nonsense


@pytest.mark.parametrize("name", MODULES)
def test_every_module_function_and_class_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for thing, value in vars(module).items():
        is_ours = getattr(value, "__module__", None) == name and not thing.startswith("_")
        if is_ours and (inspect.isclass(value) or inspect.isfunction(value)):
            assert inspect.getdoc(value), thing


@pytest.mark.parametrize("name", budwood.__all__)
def test_every_method_of_a_public_class_is_documented(name):
    for owner in getattr(budwood, name).__mro__ if name[0].isupper() else ():
        for method, value in vars(owner).items() if owner.__module__.startswith("budwood") else ():
            value = getattr(value, "fget", value)
            if inspect.isfunction(value) and not method.startswith("_"):
                assert inspect.getdoc(value), method


# Lightness and silence


@pytest.mark.parametrize("module", ["budwood", "budwood.cli", "budwood.errors", "budwood.files"])
def test_importing_the_light_side_loads_nothing_heavy(module):
    heavy = ("torch", "torchvision", "timm", "openvino", "numpy", "sklearn", "scipy", "PIL")
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    assert python(code).strip() == "[]"


def test_commands_do_not_wait_for_scikit_learn():
    verbs = ("train", "evaluate", "predict", "audit", "explain", "report")
    modules = ", ".join(f"budwood.tasks.{verb}" for verb in verbs)
    assert python(f"import sys, {modules}; print('sklearn' in sys.modules)").strip() == "False"


def test_the_catalogue_of_networks_needs_no_torch():
    code = "import sys, budwood; n = len(budwood.list_models()); print(n, 'torch' in sys.modules)"
    count, loaded = python(code).split()
    assert int(count) > 1000
    assert loaded == "False"


def test_the_library_never_prints_or_configures_logging():
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "logging.basicConfig"), f"{path}:{node.lineno}"


def test_nothing_is_ever_unpickled():
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called, where = ast.unparse(node.func), f"{path}:{node.lineno}"
            assert called not in ("pickle.load", "pickle.loads", "eval", "exec"), where
            if called == "torch.load":
                assert any(ast.unparse(k) == "weights_only=True" for k in node.keywords), where


def test_modules_import_only_leftwards():
    program = Path(sys.executable).parent / "lint-imports"
    if not program.exists() and os.name != "nt":
        pytest.skip("import-linter is not installed")
    result = subprocess.run(
        [str(program), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


# README; its commands and links are checked with those of all pages in test_documentation.py


@pytest.fixture
def in_a_folder_of_images(tmp_path, monkeypatch):
    """A folder with `photos/` in it: two classes of noisy pictures."""
    random = np.random.default_rng(0)
    for channel, name in enumerate(("daisy", "tulips")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(6):
            picture = random.integers(0, 100, (60, 80, 3))
            picture[..., channel] += 120
            image = Image.fromarray(picture.astype(np.uint8))
            image.save(tmp_path / "photos" / name / f"{i}.png")
    monkeypatch.chdir(tmp_path)


def test_the_readme_shows_python():
    assert README.blocks("python")


@pytest.mark.parametrize("code", README.blocks("python"))
def test_python_in_the_readme_runs(code, in_a_folder_of_images, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out


def test_the_readme_shows_commands():
    assert len(README.commands()) >= 5


# Examples


def test_every_example_in_a_docstring_is_well_formed():
    parser = doctest.DocTestParser()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                parser.parse(ast.get_docstring(node) or "")
