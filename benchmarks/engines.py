"""Every engine on the chapter's networks: milliseconds an image, and which one "auto" took.

    python benchmarks/engines.py [--short] [--data FOLDER] [--repeats N] [--networks A,B]

All engines run the same photos (cats and dogs, decoded before) through the same frozen trunk, in
turns, `--repeats` times; the median counts. Beside the engines that Budwood uses there are those
that it does not: torch with channels last, and ONNX Runtime on the exported trunk (where `onnx`
and `onnxruntime` are installed). int8 has the scales of 128 photos (where `nncf` is installed).

Then a process with an empty store passes `--pass` seconds' worth of photos through the network as
`budwood train` does: which engine it took, how far that is from the fastest one that is verified,
and which share of the pass the trial of engines took.
"""

import statistics
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from floor import classifier
from measuring import Row, asked_for, call, images_in, options, report

NETWORKS = ("efficientnet_lite0", "googlenet", "resnet50", "vgg16", "efficientnet_b7")
COLUMNS = (
    "network", "fp32", "bf16", "int8", "torch", "channels_last", "onnxruntime", "auto",
    "of_fastest", "trial_share",
)  # fmt: skip
CALIBRATION = 128
ROUND = 4.0
"""Seconds that one engine runs in one turn, about."""


def engines(network: str, images: list[str], repeats: int) -> Row:
    """Seconds an image of each engine, one list for each."""
    import numpy as np
    import torch

    from budwood.features.engines import build_engine, preferred_specs, seconds_per_image

    plan = classifier(network).plan
    trunk, settings = plan._judged.trunk, plan._preprocessing
    pixels = np.stack([settings.pixels(Path(image).read_bytes()) for image in images[:32]])
    built = {
        f"{spec.library} {spec.precision}": build_engine(trunk, spec, pixels[:1])
        for spec in preferred_specs("auto", "cpu")
    }
    runs: dict[str, Any] = {
        name: partial(seconds_per_image, engine) for name, engine in built.items()
    }
    notes = {}
    for name, make in (("openvino int8", _int8), ("onnxruntime fp32", _onnx)):
        try:
            runs[name] = make(trunk, settings, pixels, images)
        except ImportError as problem:
            notes[name] = f"not installed: {problem.name}"
        except Exception as problem:
            notes[name] = str(problem).strip().splitlines()[-1]
    runs["torch fp32, channels last"] = partial(_torch, _channels_last(trunk))
    found: dict[str, list[float]] = {name: [] for name in runs}
    once = runs["torch fp32"](pixels[:4])
    some = pixels[: max(4, min(len(pixels), int(ROUND / once) // 4 * 4))]
    with torch.inference_mode():
        for _ in range(repeats):
            for name, run in runs.items():
                found[name].append(run(some))
    return {"seconds": found, "images": len(some), "notes": notes}


def _int8(trunk: Any, settings: Any, pixels: Any, images: list[str]) -> Any:
    import nncf  # noqa: F401

    from budwood.features.engines import seconds_per_image
    from budwood.features.int8 import Calibration, calibrated_engine

    paths = [Path(image) for image in images[:CALIBRATION]]
    calibration = Calibration.of(paths, [path.read_bytes() for path in paths])
    engine = calibrated_engine(trunk, pixels[:1], "0" * 32, calibration, settings)
    return partial(seconds_per_image, engine)


def _onnx(trunk: Any, settings: Any, pixels: Any, images: list[str]) -> Any:
    import onnx  # noqa: F401
    import onnxruntime
    import torch

    with TemporaryDirectory() as folder:
        file = Path(folder, "trunk.onnx")
        torch.onnx.export(
            trunk, (torch.from_numpy(pixels[:4].copy()),), file, dynamo=False,
            input_names=["image"],
        )  # fmt: skip
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(some: Any) -> float:
        def once() -> None:
            for i in range(0, len(some), 4):
                session.run(None, {"image": some[i : i + 4]})

        once()
        started = time.perf_counter()
        once()
        return (time.perf_counter() - started) / len(some)

    return run


def _channels_last(trunk: Any) -> Any:
    import copy

    import torch

    return copy.deepcopy(trunk).to(memory_format=torch.channels_last)


def _torch(trunk: Any, some: Any) -> float:
    import torch

    batches = torch.from_numpy(some).split(4)
    for batch in batches:
        trunk(batch)
    started = time.perf_counter()
    for batch in batches:
        trunk(batch)
    return (time.perf_counter() - started) / len(some)


def passed(network: str, images: list[str]) -> Row:
    """One pass as `train` makes it: the engine that it took, and what the trial cost."""
    from budwood.features import engine_choice

    spent = [0.0]
    real = engine_choice.fastest

    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return real(*arguments, **named)
        finally:
            spent[0] += time.perf_counter() - started

    engine_choice.fastest = timed
    model = classifier(network)
    started = time.perf_counter()
    gathered = model.gather([Path(image) for image in images])
    seconds = time.perf_counter() - started
    engine = gathered.engine
    return {
        "engine": f"{engine.library} {engine.precision}",
        "seconds": seconds,
        "trial": spent[0],
        "images": gathered.misses,
    }


def main() -> None:
    """Network by network."""
    parser = options(__doc__, repeats=5)
    parser.add_argument("--networks", help=f"Some of {','.join(NETWORKS)}.")
    parser.add_argument("--pass", type=float, default=60.0, dest="lasting", help="Seconds.")
    asked = asked_for(parser)
    images = [str(path) for path in images_in(asked.data / "catdog")]
    images = images[::7] + images[3::7]
    usual = NETWORKS[:2] if asked.short else NETWORKS
    rows = []
    for network in asked.networks.split(",") if asked.networks else usual:
        with TemporaryDirectory() as home:
            found = call(
                engines, home=Path(home), network=network, images=images[:CALIBRATION],
                repeats=asked.repeats,
            ).result  # fmt: skip
        ms = {name: 1000 * statistics.median(each) for name, each in found["seconds"].items()}
        lossless = {n: ms[n] for n in ms if n.startswith(("openvino fp32", "openvino bf16"))}
        lossless["torch fp32"] = ms["torch fp32"]
        lasting = 5.0 if asked.short else asked.lasting
        number = max(64, int(1000 * lasting / min(lossless.values())))
        with TemporaryDirectory() as home:
            auto = call(passed, home=Path(home), network=network, images=images[:number]).result
        rows.append(
            {
                "network": network,
                "ms": {name: round(each, 3) for name, each in ms.items()},
                "all_seconds": found["seconds"],
                "timed_on": found["images"],
                "notes": found["notes"],
                "fp32": ms.get("openvino fp32"),
                "bf16": ms.get("openvino bf16"),
                "int8": ms.get("openvino int8"),
                "torch": ms["torch fp32"],
                "channels_last": ms["torch fp32, channels last"],
                "onnxruntime": ms.get("onnxruntime fp32"),
                "auto": auto["engine"],
                "of_fastest": ms[auto["engine"]] / min(lossless.values()),
                "pass": auto,
                "trial_share": auto["trial"] / auto["seconds"],
            }
        )
    report(asked, COLUMNS, rows)


if __name__ == "__main__":
    main()
