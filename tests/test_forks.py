"""A process that is forked off after a classifier was loaded, or used, can use it as well."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from budwood.threads import Lock

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

SCRIPT = """
import multiprocessing, os, signal, sys, time
from pathlib import Path

import torch
import budwood as bw
from budwood.capsule.golden import draw_golden_images

folder = Path(sys.argv[1])
photos = []
for i, image in enumerate(draw_golden_images(8)):
    photos.append(folder / f"{i}.png")
    photos[-1].write_bytes(image)
network = bw.build("timm/test_resnet", weights="none", classes=["a", "b"])
bw.set_info(network, preprocessing=bw.info(network).preprocessing.at_size(48))
bw.unfreeze(bw.freeze(network, "*"), "fc")
saved = bw.Classifier(network).fit(photos, ["a", "b"] * 4).save(folder / "m.safetensors")
cold, warm = bw.load(saved), bw.load(saved)
expected = warm.predict_proba(photos)
torch.mm(*torch.rand(2, 600, 600))  # on several threads, where there are


def ask(model):
    assert abs(model.predict_proba(photos) - expected).max() < 1e-5
    return model.class_names


def status_of(job, end=os._exit):
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        job()
        end(7)
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        if (found := os.waitpid(child, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(found[1])
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return "hangs"


print("warm", status_of(lambda: ask(warm)))
print("cold", status_of(lambda: ask(cold)))
print("loaded after the fork", status_of(lambda: ask(bw.load(saved))))
print("forked twice", status_of(lambda: os._exit(status_of(lambda: ask(warm)))))
# As a server's worker: Python ends, and takes down what it has.
print("ends", status_of(lambda: ask(warm), sys.exit))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print("pool", pool.map_async(ask, [warm] * 2).get(60))
ask(warm)
"""


def test_a_forked_process_predicts_and_ends(tmp_path, budwood_home):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "warm 7",
        "cold 7",
        "loaded after the fork 7",
        "forked twice 7",
        "ends 7",
        "pool [('a', 'b'), ('a', 'b')]",
    ]


def test_a_lock_that_another_thread_held_is_open_in_a_forked_process():
    lock, is_held, done = Lock(), threading.Event(), threading.Event()

    def hold():
        with lock:
            is_held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(5)  # ends the process
        with lock:
            os._exit(7)
    done.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
