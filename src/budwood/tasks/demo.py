"""The demo: train, judge, predict and verify on pictures that are installed with Budwood."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budwood.capsule.verify import Verification, verify
from budwood.course.surfaces import draw_surfaces, raw_pixel_baseline
from budwood.display import displayed
from budwood.files import home
from budwood.reporter import SILENT, Reporter
from budwood.run_folders import mark, require_new, writing_to
from budwood.settings import Settings
from budwood.tasks.predict import Predictions, predict
from budwood.tasks.train import Run, run_training


@displayed
@dataclass(frozen=True)
class Demo:
    """What the demo showed."""

    images: Path
    run: Run
    raw_pixels: float
    """Test accuracy of a classifier of the raw pixels."""
    predictions: Predictions
    verification: Verification
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "data": str(self.images),
            "train": self.run.to_json(),
            "raw_pixels": {"top1": self.raw_pixels},
            "predict": self.predictions.to_json(),
            "verify": self.verification.to_json(),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        evaluation = self.run.evaluation
        assert evaluation is not None
        low, high = evaluation.top1_interval
        folder = self.run.folder
        image = self.predictions.images[0].path
        return f"""\
Ten surfaces, {len(self.run.images.train)} patches to train on and {evaluation.images} to test.
Each class comes from one picture: its left side trains, its right side tests.

  a classifier of the raw pixels              {self.raw_pixels:.3f}
  a frozen pretrained network, linear probe   {evaluation.top1:.3f}  (95 % interval \
{low:.3f} to {high:.3f})

That difference is what pretraining buys. Three predictions:

{_indented(str(self.predictions))}

The saved file {folder / "model.safetensors"}:

{_indented(str(self.verification))}

All of it took {self.seconds:.0f} s. Next:

  budwood train YOUR_PHOTOS/                      a folder with one subfolder per class
  budwood train {self.images} --head mlp:256 --epochs 20
                                                  another head: no feature is computed again
  budwood predict {folder} {image}"""


def run_demo(
    folder: Path,
    reporter: Reporter = SILENT,
    started: float | None = None,
    replace: bool = False,
) -> Demo:
    """The whole job in `folder`.

    Args:
        folder: For the pictures and the run.
        reporter: Told what the user should know, and how far the work is.
        started: `time.perf_counter()` when the process started.
        replace: Whether an earlier demo there is replaced; one in `BUDWOOD_HOME/demo` always is.

    Raises:
        ConfigError: If the folder is not empty, and no demo that may be replaced.
    """
    started = time.perf_counter() if started is None else started
    images, run_folder = folder / "surfaces", folder / "run"
    if folder != home() / "demo":
        require_new(folder, replace)
    with writing_to(folder):
        mark(folder)
        for made in (images, run_folder):
            if made.exists():
                shutil.rmtree(made)
    reporter.note(f"Cutting patches out of ten pictures into {images}.")
    draw_surfaces(images)
    run = run_training(Settings(data=images, out=run_folder), reporter, started)
    reporter.note("Training a classifier on the raw pixels, for comparison.")
    baseline = raw_pixel_baseline(images)
    test = run.images.test
    assert test is not None
    shown = [test.paths[i * len(test.paths) // 3] for i in range(3)]
    reporter.note("Predicting three test photos and verifying the saved file.")
    predictions = predict(run_folder, shown, top=2, reporter=Reporter(note=reporter.note))
    return Demo(
        images,
        run,
        baseline,
        predictions,
        verify(run_folder),
        round(time.perf_counter() - started, 1),
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())
