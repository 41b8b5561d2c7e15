"""The graft of a recipe, put together and summed up without its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budwood.course.recipes import load_recipe
from budwood.errors import ConfigError
from budwood.grafting.grafted import graft
from budwood.inspection.summarizing import summarize
from budwood.inspection.summary import Summary
from budwood.models.info import info


@dataclass(frozen=True)
class GraftDescription:
    """A graft's layers, and what the user should know of how they were joined."""

    recipe: str
    summary: Summary
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `budwood graft --json` prints."""
        return {"recipe": self.recipe, **self.summary.to_json(), "notes": list(self.notes)}

    def __str__(self) -> str:
        return f"{self.summary}\n\nNext: budwood train DATA --recipe {self.recipe}"


def show_graft(
    recipe: str | Path,
    classes: int | None = None,
    input: tuple[int, int, int] | None = None,
    adapt: bool = False,
    depth: int | None = None,
) -> GraftDescription:
    """The graft of a recipe; nothing is downloaded.

    Args:
        recipe: A name or a file.
        classes: What "classes" stands for; by default what the recipe says.
        input: Channels, height and width; by default the recipe's.
        adapt: Join layers that do not fit.
        depth: Blocks nested deeper than this are summed up in one row.

    Raises:
        ConfigError: If the recipe has no graft.
        CutError: If its layers do not fit.
    """
    loaded = load_recipe(recipe)
    if loaded.graft is None:
        raise ConfigError(
            f"The recipe {loaded.name} has no [graft]: it trains {loaded.settings['model']}.",
            next=f"`budwood inspect {recipe}` shows it.",
        )
    made = loaded.graft
    network = graft(
        made.layers,
        input=input or made.input,
        classes=classes or made.classes,
        adapt=adapt or made.adapt,
        device="meta",
    )
    batch = loaded.settings.get("batch_size", 1)
    summary = summarize(network, depth=depth, batch=batch)
    return GraftDescription(str(recipe), summary, info(network).notes)
