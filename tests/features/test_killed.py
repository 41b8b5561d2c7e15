"""Extraction that is killed, interrupted, or done twice at once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from budwood.features.shards import is_intact
from budwood.features.store import RowStore, stored_makers

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")]

IMAGES, BATCH = 80, 2


@dataclass
class Server:
    """The process that forks those that are killed."""

    process: subprocess.Popen

    def ask(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def server():
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("extracting.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Server(process)
        process.stdin.close()


@pytest.fixture
def job(draw, tmp_path, budwood_home):
    images = draw(IMAGES)[0].parent

    def make(name, home=budwood_home, seconds=0.02):
        out = tmp_path / f"{name}.npz"
        paths = {"home": str(home), "photos": str(images), "out": str(out)}
        return {**paths, "seconds": seconds, "batch": BATCH}

    return make


@pytest.fixture
def undisturbed(server, job, tmp_path):
    order = job("undisturbed", home=tmp_path / "other home", seconds=0)
    assert server.ask(server.ask(order)) == 0
    return np.load(order["out"])


def stored(shards):
    return BATCH * len(shards())


def wait_for_rows(shards, count, seconds=60):
    for _ in range(seconds * 200):
        if stored(shards) >= count:
            return
        time.sleep(0.005)
    raise AssertionError(f"only {stored(shards)} of {count} rows after {seconds} s")


def all_rows_are_whole(shards):
    (maker,) = stored_makers()
    store = RowStore(maker.name, {})
    return all(map(is_intact, shards())) and not store.damaged and len(store) == IMAGES


def test_each_run_goes_on_where_the_killed_one_was(server, job, undisturbed, shards):
    moments = random.Random(7)
    before = 0
    for run in range(5):
        child = server.ask(job(f"killed {run}"))
        wait_for_rows(shards, before + moments.randint(1, 3) * BATCH)
        time.sleep(moments.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        assert server.ask(child) == -signal.SIGKILL
        assert before < stored(shards) < IMAGES
        before = stored(shards)
    order = job("last", seconds=0)
    assert server.ask(server.ask(order)) == 0
    last = np.load(order["out"])
    assert (last["hits"], last["misses"]) == (before, IMAGES - before)
    np.testing.assert_array_equal(last["rows"], undisturbed["rows"])
    assert all_rows_are_whole(shards)


def test_two_processes_extract_the_same_folder_at_once(server, job, undisturbed, shards):
    orders = [job("one"), job("two")]
    children = [server.ask(order) for order in orders]
    assert [server.ask(child) for child in children] == [0, 0]
    for order in orders:
        np.testing.assert_array_equal(np.load(order["out"])["rows"], undisturbed["rows"])
    assert all_rows_are_whole(shards)


def test_an_interrupt_ends_it_before_the_pass_is_over_and_keeps_rows(server, job, shards):
    child = server.ask(job("interrupted", seconds=0.2))
    wait_for_rows(shards, 4)
    os.kill(child, signal.SIGINT)
    assert server.ask(child) == 130
    assert 4 <= stored(shards) < IMAGES
    assert all(map(is_intact, shards()))
