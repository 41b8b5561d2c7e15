"""Extraction in processes of their own, for tests that kill them.

Importing everything once and forking makes the processes cheap. Each line of stdin is

- a job: a process begins to gather the rows of a folder with a slow engine; answers its number,
- or such a number: waits for that process to end; answers its exit status.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from budwood.features import engine_choice, extraction, verification
from budwood.features.engines import EngineSpec
from budwood.features.gathering import Extraction, FeatureExtractor
from budwood.features.torch_engine import TorchEngine
from budwood.images.preprocessing import Preprocessing
from budwood.models.info import info, set_info
from budwood.models.prepared import Prepared
from budwood.reporter import SILENT
from budwood.surgery.cutting import cut


class Net(nn.Module):
    preprocessing = Preprocessing(size=(16, 16), resize=18, mean=(0.5,) * 3, std=(0.2,) * 3)

    def __init__(self):
        super().__init__()
        set_info(self, preprocessing=self.preprocessing)
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 16, 3).requires_grad_(False)
        self.classifier = nn.Linear(16, 2)

    def forward(self, x):
        return self.classifier(self.conv(x).relu().mean((2, 3)))


class Slow(TorchEngine):
    seconds, most = 0.0, 1

    def __init__(self, *given):
        super().__init__(*given)
        self.batch = self.most

    def run(self, pixels):
        time.sleep(self.seconds)
        return super().run(pixels)


def work(job):
    os.environ["BUDWOOD_HOME"] = job["home"]
    Slow.seconds = job["seconds"]
    extraction.FLUSH_IMAGES = Slow.most = job["batch"]
    verification.build_engine = lambda trunk, spec, *_: Slow(trunk, spec)
    engine_choice.preferred_specs = lambda *_, **__: [EngineSpec("torch", "fp32")]
    network = Net()
    gatherer = FeatureExtractor(
        cut(Prepared(network, info(network).preprocessing).eval()),
        info(network).preprocessing,
        Extraction(),
        reporter=SILENT,
    )
    paths = sorted(Path(job["photos"]).iterdir())
    gathered = gatherer.gather(paths)
    (rows,) = gathered.rows.take(range(len(paths)))
    np.savez(job["out"], rows=rows.numpy(), hits=gathered.hits, misses=gathered.misses)


def start(job):
    child = os.fork()
    if child == 0:
        try:
            work(job)
        except KeyboardInterrupt:
            sys.exit(130)
        sys.exit(0)
    return child


def wait(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main():
    # Started in the background by a shell, a process is born deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        order = json.loads(line)
        answer = start(order) if isinstance(order, dict) else wait(order)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
