"""Both languages have every word that is asked for, with the same gaps in it."""

import re
from importlib.resources import files
from pathlib import Path
from string import Formatter

import pytest

from budwood.errors import ConfigError
from budwood.reporting.words import LANGUAGES, words_of

SOURCE = Path(str(files("budwood.reporting")))


def gaps(sentence):
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def test_both_languages_say_the_same_with_the_same_gaps():
    english, chinese = (words_of(language).sentences for language in LANGUAGES)
    assert set(english) == set(chinese)
    assert [n for n in english if gaps(english[n]) != gaps(chinese[n])] == []


def test_chinese_is_chinese():
    same = {"95 %", "html.lang"}
    english, chinese = (words_of(language).sentences for language in LANGUAGES)
    assert [n for n in english if n not in same and english[n] == chinese[n]] == []
    latin = [n for n in english if n not in same and not re.search("[一-鿿]", chinese[n])]
    assert latin == []


def test_every_word_that_is_asked_for_is_there_and_no_other():
    sources = [*SOURCE.glob("*.py"), *SOURCE.glob("templates/*")]
    text = "\n".join(path.read_text("utf-8") for path in sources)
    asked = set(re.findall(r"""\b(?:w|words)\[["']([^"']+)["']\]""", text))
    asked |= set(re.findall(r"""(?:say|gap)\(\s*["']([^"']+)["'][,)]""", text))
    known = set(words_of("en").sentences)
    assert asked - known == set()
    made = ("audit.", "drawn.", "fit.", "step.", "growth.", "photos.", "maps.", "answers.", "cell.")
    unused = {n for n in known - asked if not n.startswith(made) and f'"{n}"' not in text}
    assert unused == set()


def test_another_language_is_told():
    with pytest.raises(ConfigError, match=r"language 'de'.*There are en and zh"):
        words_of("de")
