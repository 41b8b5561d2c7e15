"""Extraction leaves no trace but in BUDWOOD_HOME, and speaks to nobody."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import socket, sys
from pathlib import Path

def no_socket(*_, **__):
    raise AssertionError("a socket was opened")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = no_socket

from budwood.reporter import SILENT
import budwood
from budwood.features.gathering import Extraction, FeatureExtractor
from budwood.models.prepared import Prepared

network = budwood.build("efficientnet_lite0", classes=["a", "b"])
budwood.unfreeze(budwood.freeze(network, "*"), "classifier")
pixels = budwood.info(network).preprocessing
cut = budwood.cut(Prepared(network, pixels).eval())
gatherer = FeatureExtractor(cut, pixels, Extraction(precision="fp32"), SILENT)
gathered = gatherer.gather(sorted(Path(sys.argv[1]).iterdir()))
assert gathered.engine.library == "openvino"
assert gathered.misses == 3
"""


@pytest.mark.slow
def test_nothing_is_written_outside_the_home_and_no_socket_is_opened(draw, tmp_path, budwood_home):
    images = draw(3)[0].parent
    places = {name: tmp_path / name for name in ("user", "work", "temporary")}
    for place in places.values():
        place.mkdir()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("XDG_")},
        "HOME": str(places["user"]),
        "USERPROFILE": str(places["user"]),
        "TMPDIR": str(places["temporary"]),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, images],
        env=environment,
        cwd=places["work"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [list(place.rglob("*")) for place in places.values()] == [[], [], []]
    assert sorted(path.name for path in budwood_home.iterdir()) == ["store", "trunks"]
