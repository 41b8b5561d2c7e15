"""The pages: links lead somewhere, commands and code do what is shown, both languages agree."""

import ast
import io
import re
import tomllib
from contextlib import redirect_stdout

import click
import pytest
from click.testing import CliRunner

from budwood.cli import cli
from budwood.course.recipes import load_recipe, load_recipes
from budwood.errors import BudwoodError
from budwood.tasks.graft import show_graft

from .pages import ROOT, Page, arguments, fits, lay_out, pages, parse

ALL = pages("README*.md", "docs/**/*.md")
ENGLISH = pages("docs/examples/*.md", "docs/recipes.md", "docs/where-the-chapter-errs.md")
CHINESE = pages("README.zh.md", "docs/zh/**/*.md")
RECIPES = Page("docs/recipes.md")
ERROR = re.compile(r"^\| `([^`]+ = .+)` \| (.+\.|.+\?) \|$", re.MULTILINE)
"""A row of the table of errors: a recipe of one line, and what is said of it."""


def name_of(value):
    """What a parameter is called in the list of tests."""
    return value.name if isinstance(value, Page) else None


def english(page):
    """The page that a Chinese one is the translation of."""
    return Page(page.name.replace("docs/zh/", "docs/").replace("README.zh.md", "README.md"))


def commands_of(*pages):
    """The commands that pages show, each once, with what they are shown to say."""
    return list(dict.fromkeys(shown for page in pages for shown in page.commands()))


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    """An empty folder to run in, with the recipes that docs/recipes.md names."""
    monkeypatch.chdir(tmp_path)
    for text in RECIPES.blocks("toml"):
        (tmp_path / file_of(text)).write_text(text, encoding="utf-8")
    return tmp_path


def file_of(recipe):
    """The name in the first line of a recipe."""
    return re.match(r"# (\S+\.toml)\n", recipe)[1]


# Links


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_links_lead_somewhere(page):
    for target in page.links():
        file, _, anchor = target.partition("#")
        path = (page.path.parent / file).resolve() if file else page.path
        assert path.exists(), target
        if anchor:
            assert anchor in Page(path.relative_to(ROOT).as_posix()).anchors(), target


# Commands


def lines_of(*pages):
    """The commands that pages show or mention, each once."""
    mentioned = [line for page in pages for line in page.mentioned()]
    return dict.fromkeys([line for line, _ in commands_of(*pages)] + mentioned)


@pytest.mark.parametrize("line", lines_of(*ALL))
def test_commands_exist_with_their_options(line, in_a_folder):
    words = arguments(line)
    lay_out(words, in_a_folder)
    parse(words)


def test_a_command_that_does_not_exist_is_noticed(in_a_folder):
    for line in ("budwood tran flowers", "budwood recipe list --no", "budwood models --json x y"):
        with pytest.raises(click.UsageError):
            parse(arguments(line))


@pytest.mark.parametrize(("line", "said"), [shown for shown in commands_of(*ENGLISH) if shown[1]])
def test_commands_say_what_is_shown(line, said, in_a_folder):
    outcome = CliRunner().invoke(cli, arguments(line), catch_exceptions=False)
    assert outcome.exit_code == 0
    assert fits(said, outcome.output), outcome.output


# Code


@pytest.mark.parametrize("page", [page for page in ENGLISH if page.blocks("python")], ids=name_of)
def test_python_runs_and_prints_what_is_shown(page, in_a_folder):
    names = {}
    followed = [*page.fenced()[1:], ("", "")]
    for (language, code), (kind, shown) in zip(page.fenced(), followed, strict=True):
        if language == "python":
            with redirect_stdout(io.StringIO()) as said:
                exec(compile(code, page.name, "exec"), names)
            assert fits(shown if kind == "text" else "", said.getvalue()), said.getvalue()


@pytest.mark.parametrize("text", RECIPES.blocks("toml"), ids=file_of)
def test_recipes_are_recipes(text, in_a_folder):
    recipe = load_recipe(file_of(text))
    assert recipe.title


@pytest.mark.parametrize(("text", "message"), ERROR.findall(RECIPES.text))
def test_errors_say_what_is_shown(text, message, in_a_folder):
    (in_a_folder / "mine.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BudwoodError) as caught:
        show_graft("mine.toml")
    assert str(caught.value) == message


# Examples


def test_every_example_has_a_page_with_its_numbers():
    index = Page("docs/examples/README.md").text
    for recipe in load_recipes():
        if recipe.example is None:
            continue
        page = Page(f"docs/examples/{recipe.name}.md").text
        found = re.search(r"parameters: ([\d,]+), of these trainable ([\d,]+)", page)
        (row,) = re.findall(rf"^\| {recipe.example} \|.*\({recipe.name}\.md\).*$", index, re.M)
        assert f"| {found[2]} of {found[1]} |" in row
        assert recipe.chapter.test_top1 is None or f"| {recipe.chapter.test_top1} |" in row


# Both languages


def test_every_page_is_there_in_chinese():
    translated = {english(page).name for page in CHINESE}
    assert translated >= {page.name for page in [Page("README.md"), *ENGLISH]}


def meaning(language, code):
    """What a block of code says, whatever language its comments are in."""
    if language == "python":
        return ast.dump(ast.parse(code))
    if language == "toml":
        return tomllib.loads(code)
    if language == "console":
        return [line.partition("  #")[0].rstrip() for line in code.splitlines()]
    return code


@pytest.mark.parametrize("page", CHINESE, ids=name_of)
def test_both_languages_show_the_same_code(page):
    theirs = [(kind, meaning(kind, code)) for kind, code in english(page).fenced()]
    assert [(kind, meaning(kind, code)) for kind, code in page.fenced()] == theirs
    assert ERROR.findall(page.text) == ERROR.findall(english(page).text)
