"""Fields of dataclasses that are settings: what is known of one, how a plain value becomes it, and
whether it can be.

Needs no torch, no numpy and no click.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from budwood.errors import BudwoodError, ConfigError
from budwood.text import did_you_mean

Steps = tuple[tuple[str, str], ...]
"""("freeze" or "unfreeze", glob) pairs."""
Texts = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is known of one field; `settings_of` gives them all."""

    help: str
    name: str = ""
    type: Any = str
    """Of a value: `bool`, `int`, `float`, `str`, `Path`, `dict`, `Texts` or `Steps`."""
    choices: tuple[str, ...] = ()
    is_optional: bool = False
    default: Any = None
    usual: Any = None
    """What stands for None: a value, or words."""
    kind: str = ""
    """What it stands for: `images`, `folder`, `network` or `bytes`."""
    metavar: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    """Options and keys, each with its help, that come to this one field together."""
    has_option: bool = True
    key: Literal["", "training"] | None = None
    """The table of a recipe that has it as a key: the top one, `[training]`, or none."""
    not_in_graft: bool = False
    sgd: bool = False
    """Whether it has an effect under --fit sgd only."""
    at_least: float | None = None
    above: float | None = None
    below: float | None = None
    pattern: str | None = None
    expected: str | None = None
    """What a text of that pattern must be, as a sentence."""
    noun: str | None = None

    @property
    def text(self) -> str:
        """The help, with the condition that it has an effect under and what None stands for."""
        text = f"With --fit sgd: {self.help[0].lower()}{self.help[1:]}" if self.sgd else self.help
        return text if self.usual is None else f"{text} [default: {self.usual}]"

    def problem(self, value: Any) -> ConfigError | None:
        """What is wrong with a value of the right type; None if nothing is."""
        if value is None and self.is_optional:
            return None
        is_known = re.fullmatch(self.pattern, value) if self.pattern else value in self.choices
        if (self.choices or self.pattern) and not is_known:
            return ConfigError(
                f"No {self.noun or self.name} is called {value!r}.",
                expected=self.expected or f"{_either(self.choices)}.",
            )
        return self._out_of_range(value)

    def _out_of_range(self, value: Any) -> ConfigError | None:
        low, above, below = self.at_least, self.above, self.below
        if (
            (low is None or value >= low)
            and (above is None or value > above)
            and (below is None or value < below)
        ):
            return None
        words = [f"at least {low}"] if low is not None else []
        words += [f"above {above}"] if above is not None else []
        if below is not None:
            words.append("finite" if below == float("inf") else f"below {below}")
        must = "not be negative" if low == 0 and below is None else f"be {' and '.join(words)}"
        return ConfigError(f"{self.name} must {must}, got {value}.")

    def read(self, plain: Any, key: str | None = None) -> Any:
        """The value that TOML or JSON has as `plain`; a ConfigError if it is of another type."""
        key = key or self.name
        if key in self.parts or self.type == Texts:
            if isinstance(plain, list) and all(isinstance(text, str) for text in plain):
                return tuple((key, text) if key in self.parts else text for text in plain)
            expected = self.expected or "It must be a list of texts."
            raise ConfigError(f"{key} is {plain!r}.", expected=expected)
        if plain is None and self.is_optional:
            return None
        if self.type == Steps:
            return tuple((action, glob) for action, glob in plain)
        if self.type is float and type(plain) is int:
            return float(plain)
        kind = str if self.type is Path else self.type
        if not isinstance(plain, kind) or (kind is int and isinstance(plain, bool)):
            raise ConfigError(f"{key} is {plain!r}.", expected=f"It must be of type {_name(kind)}.")
        return Path(plain) if self.type is Path else plain


def setting(default: Any, help: str, **facts: Any) -> Any:
    """A field of a dataclass that is a setting; `facts` are those of `Setting`."""
    return field(default=default, metadata={"setting": Setting(help=help, **facts)})


def settings_of(cls: type) -> dict[str, Setting]:
    """The settings of a dataclass by their names."""
    found = {}
    for each in fields(cls):
        if facts := each.metadata.get("setting"):
            is_union = get_origin(each.type) in (Union, UnionType)
            options = get_args(each.type) if is_union else (each.type,)
            kind = next(option for option in options if option is not NoneType)
            is_choice = get_origin(kind) is Literal
            found[each.name] = replace(
                facts,
                name=each.name,
                type=str if is_choice else dict if get_origin(kind) is dict else kind,
                choices=get_args(kind) if is_choice else facts.choices,
                is_optional=NoneType in options,
                default=each.default,
            )
    return found


class Checked:
    """A dataclass of settings; those that cannot be are told when it is made, all together."""

    def __post_init__(self) -> None:
        each = settings_of(type(self)).items()
        problems = (setting.problem(getattr(self, name)) for name, setting in each)
        require_all([*problems, *self._contradictions()])

    def _contradictions(self) -> Iterable[ConfigError]:
        """What cannot be asked for together."""
        return ()


def read_table(
    table: Mapping[str, Any], known: Mapping[str, Setting], where: str, below: Sequence[str] = ()
) -> tuple[dict[str, Any], list[BudwoodError]]:
    """The values of a table of TOML or JSON by the names of their settings, and all that is wrong;
    `below` are the keys of other tables in it."""
    values: dict[str, Any] = {}
    problems = [*unknown_keys(table, [*known, *below], where)]
    for key, each in known.items():
        if key in table:
            try:
                value = each.read(table[key], key)
            except ConfigError as problem:
                problems.append(problem)
            else:
                values[each.name] = values.get(each.name, ()) + value if each.parts else value
                problems += [wrong] if (wrong := each.problem(value)) else []
    return values, [*problems]


def require_all(problems: Iterable[BudwoodError | None]) -> None:
    """Raise what is wrong: one problem as it is, several as one error that lists them."""
    found = [problem for problem in problems if problem is not None]
    if len(found) == 1:
        raise found[0]
    if found:
        raise ConfigError(listed(map(str, found)))


def listed(problems: Iterable[str]) -> str:
    """Several problems as one text.

    Example:
        >>> listed(["This.", "That."])
        '2 problems: 1. This. 2. That.'
    """
    numbered = [f"{number}. {problem}" for number, problem in enumerate(problems, 1)]
    return f"{len(numbered)} problems: {' '.join(numbered)}"


def unknown_keys(
    table: Mapping[str, Any], known: Sequence[str], where: str, noun: str = "key"
) -> list[ConfigError]:
    """An error for each key that a table should not have; the nearest known one is named."""
    found = []
    for key in table:
        if key not in known:
            near = did_you_mean(key, known, 0.5)
            hint = f"Did you mean {near!r}?" if near else f"It has {', '.join(known)}."
            found.append(ConfigError(f"{where} has no {noun} {key!r}.", expected=hint))
    return found


def option_name(name: str) -> str:
    """The option of the command line for a setting.

    Example:
        >>> option_name("batch_size")
        '--batch-size'
    """
    return f"--{name.replace('_', '-')}"


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _name(kind: type) -> str:
    return "table" if kind is dict else kind.__name__
