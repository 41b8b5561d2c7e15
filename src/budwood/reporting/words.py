"""The words of a report in the reader's language: one file of them for each."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from budwood.errors import ConfigError

LANGUAGES = ("en", "zh")
"""English and Chinese."""


@dataclass(frozen=True)
class Words:
    """Every word and sentence of a report, by name.

    Example:
        >>> words_of("en")["accuracy"], words_of("zh")["accuracy"]
        ('accuracy', '准确率')
        >>> words_of("en").say("missing.count", missing=2, listed=9)
        '2 of the 9 photos of this run are no longer where they were.'
    """

    language: str
    sentences: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.sentences[name]

    def say(self, name: str, /, **values: object) -> str:
        """A sentence with its gaps filled."""
        return self.sentences[name].format(**values)


@cache
def words_of(language: str) -> Words:
    """The words of a language."""
    if language not in LANGUAGES:
        raise ConfigError(
            f"There is no report in the language {language!r}.",
            expected=f"There are {' and '.join(LANGUAGES)}.",
        )
    text = (files("budwood.reporting") / "words" / f"{language}.toml").read_text("utf-8")
    return Words(language, tomllib.loads(text))
