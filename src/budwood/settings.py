"""Everything that `budwood train` can be asked for: one field a setting.

A field has a type, a default, its help and its range, and nothing else repeats them. From the
fields derive the options of the command line, the keys of a recipe, `config.json` both ways, the
tables in docs/, and the defaults and checks of `Training`, `Probe` and `Extraction`.

Needs no torch, no numpy and no click.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

from budwood.display import displayed
from budwood.errors import ConfigError
from budwood.fields import (
    Checked,
    Setting,
    Steps,
    option_name,
    read_table,
    require_all,
    setting,
    settings_of,
)
from budwood.head_kinds import head_examples, head_grammar, head_pattern

Asked = Literal["auto", "logistic", "sgd"]
Optimizer = Literal["adamw", "adam", "sgd"]
Schedule = Literal["cosine", "constant"]

_of_sgd = partial(setting, None, key="training", sgd=True)


@displayed
@dataclass(frozen=True, kw_only=True)
class Settings(Checked):
    """What `budwood train` is asked for.

    Example:
        >>> Settings(data=Path("photos"), epochs=0, lr=-1.0)
        Traceback (most recent call last):
        budwood.errors.ConfigError: 2 problems: 1. epochs must be at least 1, got 0. 2. lr must ...
    """

    data: Path = setting(
        MISSING, "Folder or CSV list of labelled images.", kind="images", has_option=False
    )
    recipe: str | None = setting(
        None,
        "Do what a recipe says; `budwood recipe list` shows them. Other options overrule it.",
        metavar="NAME|FILE",
    )
    model: str = setting(
        "efficientnet_lite0", "Backbone; `budwood models` lists them.", kind="network", key=""
    )
    weights: str = setting(
        "imagenet",
        "Pretrained weights by name, a .pth or .safetensors file, or none (random).",
        metavar="NAME|PATH|none",
        key="",
    )
    surgery: Steps = setting(
        (),
        "Layers to freeze and unfreeze, in this order, after all but the head is frozen.",
        key="",
        not_in_graft=True,
        expected='It must be a list: ["layer4*"].',
        parts={
            "freeze": "Do not train the layers whose name matches, for example 'layer4*'.",
            "unfreeze": "Train the layers whose name matches, for example 'layer4*'.",
        },
    )
    head: str = setting(
        "linear",
        "Classification head: one linear layer, or an MLP with hidden layers of these widths.",
        metavar=head_examples(),
        key="",
        not_in_graft=True,
        pattern=head_pattern(),
        expected=head_grammar(),
    )
    aux_heads: bool = setting(
        False,
        "Keep the auxiliary classifiers of GoogLeNet and Inception; their last layers train.",
        key="",
        not_in_graft=True,
    )
    graft: dict[str, Any] | None = setting(
        None, "The network, if it is put together from layers: a [graft] table.", has_option=False
    )
    fit: Asked = setting(
        "auto",
        "Algorithm: logistic fits a linear head to its optimum by logistic regression, sgd trains "
        "on mini-batches with --optimizer. auto is logistic where only a linear head trains, sgd "
        "elsewhere and with --epochs.",
        key="training",
        noun="algorithm of fitting",
    )
    epochs: int | None = _of_sgd("Training epochs.", metavar="N", usual=30, at_least=1)
    lr: float | None = _of_sgd("Peak learning rate.", metavar="X", usual=0.001, above=0)
    batch_size: int | None = _of_sgd("Images in a mini-batch.", metavar="N", usual=32, at_least=1)
    optimizer: Optimizer | None = _of_sgd("Optimizer; sgd has momentum 0.9.", usual="adamw")
    schedule: Schedule | None = _of_sgd(
        "Learning-rate schedule; cosine decays to zero.", usual="cosine"
    )
    patience: int | None = _of_sgd(
        "Stop early after so many epochs without a better validation loss.",
        metavar="N",
        usual="never",
        at_least=1,
    )
    test: Path | None = setting(
        None, "Another folder or CSV list that is the test set.", kind="images"
    )
    val: float = setting(
        0.0,
        "Share of the training images held out as a validation set for early stopping; without "
        "--patience they calibrate.",
        metavar="FRACTION",
        sgd=True,
        at_least=0,
        below=1,
    )
    test_fraction: float = setting(
        0.2,
        "Share of the images held out as the test set where the folder has none.",
        metavar="FRACTION",
        key="",
        above=0,
        below=1,
    )
    kfold: int | None = setting(
        None,
        "Also run K-fold cross-validation on all images outside the given test set; groups are "
        "never torn.",
        metavar="K",
        at_least=2,
    )
    learning_curve: bool = setting(
        False,
        "Report accuracy against training-set size, and extrapolate to more photos where that can "
        "be done.",
    )
    abstain: float | None = setting(
        None,
        "Let the classifier abstain so that, with 90 % confidence, at most this share of its "
        "answers is wrong; report coverage and error.",
        metavar="RATE",
        above=0,
        below=1,
    )
    group: str | None = setting(
        None,
        "Column of a CSV list; images with the same entry are held out together, in the test set "
        "and in every fold. Equal files, copies and bursts are so anyway.",
        metavar="COLUMN",
        usual="group",
    )
    precision: Literal["auto", "fp32", "bf16", "int8"] = setting(
        "auto",
        "Arithmetic of the frozen part; auto is the faster of fp32 and bf16 here, int8 is used "
        "only where a trial on your photos shows that it is as good.",
    )
    device: str = setting("cpu", "Device that the frozen part runs on.", metavar="cpu|cuda|mps")
    size: int | None = setting(
        None, "Input size.", metavar="PX", key="", usual="that of the weights", at_least=1
    )
    seed: int = setting(0, "Same seed, same numbers.", metavar="N", key="", at_least=0)
    strict: bool = setting(False, "A single unreadable image is an error.")
    store_limit: int | None = setting(
        None,
        "Store no features if all stored ones would exceed this, for example 20GB.",
        kind="bytes",
        metavar="SIZE",
        at_least=0,
    )
    out: Path | None = setting(
        None,
        "Folder for the result, new or empty and not in DATA.",
        kind="folder",
        metavar="RUN",
        usual="runs/DATA-MODEL",
    )
    replace: bool = setting(False, "Replace an earlier run in RUN.")
    report: bool = setting(True, "Write an HTML report and a model card to RUN.")

    def _contradictions(self) -> Iterable[ConfigError]:
        if self.fit == "logistic" and (given := given_options(self)):
            yield _without_effect(given)

    @property
    def may_be_fitted(self) -> bool:
        """Whether a linear head that trains alone is fitted by logistic regression."""
        return not _asks_for_epochs(self.fit, given_options(self))

    def algorithm(self, *, is_linear: bool) -> "Algorithm":
        """The algorithm that the network is fitted by; see `settled`."""
        return settled(self.fit, given_options(self), is_linear=is_linear)

    def to_json(self) -> dict[str, Any]:
        """What `config.json` holds; see docs/json.md."""
        plain = {name: getattr(self, name) for name in settings_of(type(self))}
        plain["surgery"] = [list(step) for step in self.surgery]
        return plain | {n: str(v) for n, v in plain.items() if isinstance(v, Path)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Settings":
        """What `to_json` gave, in this version or an earlier one, which has fewer settings."""
        known = settings_of(cls)
        here = {key: value for key, value in plain.items() if key in known}
        values, problems = read_table(here, known, "config.json")
        require_all(problems)
        return cls(**values)


def recipe_keys(table: str, cls: type = Settings) -> dict[str, Setting]:
    """The keys of a table of a recipe ("" is the top one), with their settings."""
    return {
        key: each
        for name, each in settings_of(cls).items()
        if each.key == table
        for key in sorted(each.parts) or [name]
    }


def same(name: str) -> Any:
    """A field that is a setting of `Settings`, with what stands for None there as its default."""
    each = settings_of(Settings)[name]
    default = each.default if each.default is not None else _usual(each)
    return field(default=default, metadata={"setting": each})


def given_settings(cls: type, settings: Settings) -> dict[str, Any]:
    """The fields of another dataclass that are `same` as those of settings, as far as given."""
    ours = {each.name: each.metadata.get("setting") for each in fields(cls)}
    shared = [n for n, each in settings_of(Settings).items() if ours.get(n) == each]
    return {n: value for n in shared if (value := getattr(settings, n)) is not None}


def require_setting(name: str, value: Any) -> None:
    """Raise unless a setting of `Settings` can have this value."""
    require_all([settings_of(Settings)[name].problem(value)])


SGD = tuple(name for name, each in settings_of(Settings).items() if each.sgd)
"""The settings that have an effect on mini-batch training alone."""


@displayed
@dataclass(frozen=True)
class Algorithm:
    """How a network is fitted, and why so."""

    asked: Asked
    name: Literal["logistic", "sgd"]
    """`logistic`: one linear layer by logistic regression, to its optimum. `sgd`: mini-batches in
    epochs, by the optimizer that is asked for."""
    reason: str

    def __str__(self) -> str:
        how = {
            "logistic": "Fitted by logistic regression",
            "sgd": "Trained on mini-batches, in epochs",
        }[self.name]
        return f"{how} (--fit {self.asked}): {self.reason}."

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {"algorithm": self.name, "asked": self.asked, "reason": self.reason}


def given_options(settings: Settings) -> tuple[str, ...]:
    """The names of the settings that only mini-batch training takes, as far as they are set."""
    return tuple(name for name in SGD if getattr(settings, name))


def settled(asked: Asked, given: tuple[str, ...], *, is_linear: bool) -> Algorithm:
    """The algorithm that a network is fitted by.

    What is asked for by name is done, or is an error. `auto` decides and says why.

    Example:
        >>> print(settled("auto", (), is_linear=True))
        Fitted by logistic regression (--fit auto): only a linear head trains.
        >>> settled("auto", ("batch_size",), is_linear=False).name
        'sgd'
    """
    if asked == "sgd":
        return Algorithm(asked, "sgd", "as asked")
    if asked == "logistic" and not is_linear:
        raise ConfigError(
            "Logistic regression fits one linear layer, and more than that trains.",
            next="Choose sgd, or train a linear head alone.",
        )
    if _asks_for_epochs(asked, given):
        return Algorithm(asked, "sgd", "--epochs asks for it")
    if not is_linear:
        return Algorithm(asked, "sgd", "more than one linear layer trains")
    if given:
        raise _without_effect(given)
    reason = "as asked" if asked == "logistic" else "only a linear head trains"
    return Algorithm(asked, "logistic", reason)


def _asks_for_epochs(asked: Asked, given: tuple[str, ...]) -> bool:
    """True if mini-batch training is asked for, whatever the network is."""
    return asked == "sgd" or (asked == "auto" and "epochs" in given)


def _without_effect(given: tuple[str, ...]) -> ConfigError:
    several = len(given) > 1
    return ConfigError(
        f"{' and '.join(map(option_name, given))} {'have' if several else 'has'} no effect on the "
        "fitted head: logistic regression finds its optimum without.",
        next=f"Add --fit sgd, or leave {'them' if several else 'it'} out.",
    )


def _usual(each: Setting) -> Any:
    """What stands for None, if it is a value and not words."""
    is_value = isinstance(each.usual, each.type) and (
        not each.choices or each.usual in each.choices
    )
    return each.usual if is_value else None
