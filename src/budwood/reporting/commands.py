"""The command that repeats a run."""

import shlex

from budwood.fields import option_name, settings_of
from budwood.settings import Settings

_NOT_REPEATED = ("out", "report")


def command_of(settings: Settings) -> str:
    """What to type to do the same again.

    Example:
        >>> from pathlib import Path
        >>> steps = (("unfreeze", "layer4*"),)
        >>> command_of(Settings(data=Path("photos"), head="mlp:8", surgery=steps))
        "budwood train photos --head mlp:8 --unfreeze 'layer4*'"
    """
    words = ["budwood", "train", str(settings.data)]
    named_by_recipe = ("model",) if settings.recipe and settings.graft else ()
    for name, each in settings_of(type(settings)).items():
        value = getattr(settings, name)
        is_option = each.has_option and not each.parts and name not in _NOT_REPEATED
        if is_option and value != each.default and name not in named_by_recipe:
            words += [option_name(name)] if value is True else [option_name(name), str(value)]
    for action, pattern in settings.surgery:
        words += [f"--{action}", pattern]
    return shlex.join(words)
