"""By which algorithm a network is fitted, and which options have an effect under it.

What is asked for by name is done, or is an error. `auto` decides and says why. Needs no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from budwood.display import displayed
from budwood.errors import ConfigError

Asked = Literal["auto", "logistic", "sgd"]
ASKED: tuple[Asked, ...] = get_args(Asked)

TRAINING = ("epochs", "lr", "batch_size", "optimizer", "schedule", "patience")
"""The options of mini-batch training, as `Training` has them, and a recipe's `[training]`."""
OPTIONS: dict[str, tuple[str, ...]] = {"logistic": (), "sgd": (*TRAINING, "val")}
"""The options that have an effect under one algorithm and none under the other."""
_DECISIVE = "epochs"
"""The one option by which `auto` is told to train a head that could be fitted."""


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


def given_options(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the settings that only one of the algorithms takes, as far as they are set."""
    return tuple(name for name in OPTIONS["sgd"] if settings.get(name))


def asks_for_epochs(asked: Asked, given: tuple[str, ...]) -> bool:
    """True if mini-batch training is asked for, whatever the network is."""
    return asked == "sgd" or (asked == "auto" and _DECISIVE in given)


def settled(asked: Asked, given: tuple[str, ...], *, is_linear: bool) -> Algorithm:
    """The algorithm that a network is fitted by.

    Args:
        asked: The algorithm, or `auto`.
        given: Options that only one of them takes.
        is_linear: Nothing but one linear layer trains, behind what is frozen.

    Raises:
        ConfigError: If what trains cannot be fitted as asked, or an option would have no effect.

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
    if asks_for_epochs(asked, given):
        return Algorithm(asked, "sgd", f"{_option(_DECISIVE)} asks for it")
    if not is_linear:
        return Algorithm(asked, "sgd", "more than one linear layer trains")
    if given:
        raise _without_effect(given)
    reason = "as asked" if asked == "logistic" else "only a linear head trains"
    return Algorithm(asked, "logistic", reason)


def require_asked(asked: str) -> None:
    """Raise unless `asked` is the name of an algorithm, or `auto`.

    Raises:
        ConfigError: If it is not.
    """
    if asked not in ASKED:
        raise ConfigError(
            f"No algorithm of fitting is called {asked!r}.", expected="auto, logistic or sgd."
        )


def _without_effect(given: tuple[str, ...]) -> ConfigError:
    several = len(given) > 1
    return ConfigError(
        f"{' and '.join(map(_option, given))} {'have' if several else 'has'} no effect on the "
        "fitted head: logistic regression finds its optimum without.",
        next=f"Add --fit sgd, or leave {'them' if several else 'it'} out.",
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
