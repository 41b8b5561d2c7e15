"""How near the extraction comes to what this machine can do at all.

    python benchmarks/floor.py [--short] [--data FOLDER] [--repeats N]

The floor of a photo is the time to decode it, shared by all cores, plus the time of the network on
all cores. Decoding is that of libjpeg-turbo at full size, in threads. The network is Budwood's own
trunk on random pixels: as OpenVINO graph in every arithmetic that the processor has, the best of
several numbers of streams and batch sizes, asynchronously, with fixed shapes; and in torch, as it
is and with channels last. The floor is the fastest of all, so that a wrong choice of engine shows.
Budwood's figure is the extraction pass over other photos once 64 photos have built the engine
(steady), and the whole process.

Images: cats and dogs as they are. ResNet50 and VGG16 have random weights and take a share of the
photos. FOLDER holds `catdog` (default: BUDWOOD_DATA).
"""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median as middle
from tempfile import TemporaryDirectory
from typing import Any

from measuring import Ran, Row, alternate, asked_for, call, images_in, median, options, report

IMAGES = {"efficientnet_lite0": 3000, "resnet50": 600, "vgg16": 200}
WARMING = 64
COLUMNS = (
    "network", "decode_ms", "network_ms", "fastest", "floor_ms", "budwood_ms", "budwood_engine",
    "share_of_floor", "whole_ms",
)  # fmt: skip


def classifier(network: str) -> Any:
    """Budwood's classifier with everything frozen but its head."""
    import budwood
    from budwood.models.heads import head_names

    weights = "imagenet" if network == "efficientnet_lite0" else "none"
    model = budwood.build(network, weights=weights, classes=2)
    budwood.freeze(model, "*")
    budwood.unfreeze(model, *head_names(model))
    return budwood.Classifier(model)


def trunk_model(network: str) -> Any:
    """The trunk as an OpenVINO model: the only place that reaches into Budwood's engine."""
    import numpy as np

    from budwood.features.openvino import converted

    plan = classifier(network).plan
    height, width = plan._preprocessing.size
    return converted(plan._judged.trunk, np.zeros((1, height, width, 3), np.uint8))


def gather(network: str, images: list[str]) -> Row:
    """Budwood's pass over photos, after a first one that builds the engine."""
    model = classifier(network)
    paths = [Path(image) for image in images]
    model.gather(paths[:WARMING])
    started = time.perf_counter()
    gathered = model.gather(paths[WARMING:])
    seconds = time.perf_counter() - started
    return {
        "steady": seconds / len(gathered.paths),
        "misses": gathered.misses,
        "engine": str(gathered.engine),
    }


def decoding(images: list[str], cores: int) -> Row:
    """Core seconds of a photo: alone on one core, or with all cores busy, whichever is less."""
    try:
        import simplejpeg

        def decode(data: bytes) -> Any:
            return simplejpeg.decode_jpeg(data).shape  # the photo itself is let go at once

        library = "simplejpeg"
    except ImportError:
        import torch
        from torchvision.io import decode_jpeg

        def decode(data: bytes) -> Any:
            return decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8)).shape

        library = "torchvision"
    files = [Path(image).read_bytes() for image in images]
    found = {}
    for threads in {1, cores}:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(decode, files[:50]))
            started = time.perf_counter()
            list(pool.map(decode, files))
            found[threads] = threads * (time.perf_counter() - started) / len(files)
    return {"core_seconds": min(found.values()), "library": library, "threads": found}


def throughput(
    network: str, precisions: list[str], cores: int, lasting: float, batches: list[int]
) -> Row:
    """Seconds of a photo by the network alone, in the best way for each engine; the best of all."""
    found = {
        f"openvino {precision}": _openvino(network, precision, cores, lasting, batches)
        for precision in precisions
    }
    found |= _torch(network, lasting)
    best = min(found, key=lambda engine: found[engine]["seconds"])
    return found[best] | {"engine": best, "engines": found}


def _torch(network: str, lasting: float) -> dict[str, Row]:
    """Torch on all cores, in batches of 16, with both orders of memory."""
    import torch

    plan = classifier(network).plan
    height, width = plan._preprocessing.size
    pixels = torch.randint(0, 256, (16, height, width, 3), dtype=torch.uint8)
    found = {}
    for name, order in (
        ("torch fp32", torch.contiguous_format),
        ("torch fp32, channels last", torch.channels_last),
    ):
        trunk = plan._judged.trunk.to(memory_format=order)
        with torch.inference_mode():
            trunk(pixels)
            started, done = time.perf_counter(), 0
            while time.perf_counter() - started < lasting:
                trunk(pixels)
                done += len(pixels)
        found[name] = {"seconds": (time.perf_counter() - started) / done, "batch": len(pixels)}
    return found


def _openvino(network: str, precision: str, cores: int, lasting: float, batches: list[int]) -> Row:
    """The best of streams and batch sizes."""
    import numpy as np

    from budwood.features.openvino import ov

    best: Row = {"seconds": float("inf")}
    model = trunk_model(network)
    shape = [dimension.get_length() for dimension in model.inputs[0].partial_shape[1:]]
    hint = {"bf16": "bf16", "fp32": "f32"}[precision]
    for streams in sorted({1, cores}):
        for batch in batches:
            model.reshape({0: ov.PartialShape([batch, *shape])})
            settings = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": str(streams)}
            compiled = ov.Core().compile_model(model, "CPU", settings)
            queue = ov.AsyncInferQueue(compiled, 2 * streams)  # one lies ready when one ends
            pixels = np.random.default_rng(0).integers(0, 256, (batch, *shape), np.uint8)
            for _ in range(4 * streams):
                queue.start_async({0: pixels})
            queue.wait_all()
            started, done = time.perf_counter(), 0
            while time.perf_counter() - started < lasting:
                queue.start_async({0: pixels})
                done += batch
            queue.wait_all()
            seconds = (time.perf_counter() - started) / done
            if seconds < best["seconds"]:
                best = {"seconds": seconds, "streams": streams, "batch": batch}
    return best


def fresh_gather(network: str, images: list[Path]) -> Ran:
    """Budwood's pass in a process of its own, with an empty store."""
    with TemporaryDirectory() as home:
        return call(gather, home=Path(home), network=network, images=[str(p) for p in images])


def main() -> None:
    """Floors and Budwood, in turn, network by network."""
    parser = options(__doc__)
    parser.add_argument("--networks", help=f"Some of {','.join(IMAGES)}.")
    asked = asked_for(parser)
    from measuring import machine

    about = machine()
    cores = about["cores"]
    is_fast = {"avx512_bf16", "amx_bf16"} & set(about["extensions"])
    precisions = ["fp32", "bf16"] if is_fast else ["fp32"]
    all_images = images_in(asked.data / "catdog")
    usual = ["efficientnet_lite0"] if asked.short else list(IMAGES)
    rows = []
    for network in asked.networks.split(",") if asked.networks else usual:
        count = min(IMAGES[network], 600 if asked.short else len(all_images))
        images = all_images[:: len(all_images) // count][:count]
        batches = [1, 8] if asked.short else [1, 2, 4, 8, 16]
        arguments = {"network": network, "precisions": precisions, "cores": cores}
        lasting = 2.0 if asked.short else 3.0
        ran = alternate(
            asked.repeats,
            decode=partial(call, decoding, images=[str(p) for p in images], cores=cores),
            network=partial(call, throughput, **arguments, lasting=lasting, batches=batches),
            budwood=partial(fresh_gather, network, images),
        )
        decode = 1000 * middle(r.result["core_seconds"] for r in ran["decode"]) / cores
        alone = 1000 * middle(r.result["seconds"] for r in ran["network"])
        ours = 1000 * middle(r.result["steady"] for r in ran["budwood"])
        rows.append(
            {
                "network": network,
                "photos": len(images) - WARMING,
                "fastest": ran["network"][-1].result["engine"],
                "engines_ms": {
                    engine: median(
                        1000 * r.result["engines"][engine]["seconds"] for r in ran["network"]
                    )
                    for engine in ran["network"][-1].result["engines"]
                },
                "decode_ms": median([decode]),
                "decoder": ran["decode"][-1].result["library"],
                "network_ms": median([alone]),
                "network_best": [r.result for r in ran["network"]],
                "floor_ms": median([decode + alone]),
                "budwood_ms": median([ours]),
                "budwood_engine": ran["budwood"][-1].result["engine"],
                "share_of_floor": (decode + alone) / ours,
                "whole_ms": median(1000 * r.seconds / len(images) for r in ran["budwood"]),
                "peak_mb": median(r.peak_mb for r in ran["budwood"]),
            }
        )
    report(asked, COLUMNS, rows)


if __name__ == "__main__":
    main()
