"""Not more is decoded at once than there is room for."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from budwood.images import decode as decoding_module
from budwood.images.decode import LARGE_FILE, PIXELS, ROOM, Gate, decoding, pixel_bytes, turn_of
from budwood.images.formats import Header


def test_what_is_held_at_once_stays_within_the_room():
    gate, most, held, lock = Gate(100), [0], [0], threading.Lock()

    def work(size):
        with gate.hold(size):
            with lock:
                held[0] += min(size, 100)
                most[0] = max(most[0], held[0])
            time.sleep(0.001)
            with lock:
                held[0] -= min(size, 100)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [10, 70, 1000, 30, 55, 5] * 10))
    assert 55 < most[0] <= 100
    assert gate.free == 100


def test_a_large_one_is_not_overtaken_for_ever():
    gate, order = Gate(100), []

    def work(name, size):
        with gate.hold(size):
            order.append(name)

    with gate.hold(60):
        large = threading.Thread(target=work, args=("large", 100))
        large.start()
        while not gate._waiting:
            time.sleep(0.001)
        small = threading.Thread(target=work, args=("small", 10))
        small.start()
        time.sleep(0.02)
        assert order == []
    large.join()
    small.join()
    assert order == ["large", "small"]


def test_room_is_given_back_after_an_error():
    gate = Gate(100)
    with pytest.raises(KeyError), gate.hold(100):
        raise KeyError
    assert gate.free == 100


@pytest.mark.parametrize(
    ("header", "reduction", "expected"),
    [
        (Header("png", 10, 20), 1, 800),
        (Header("jpeg", 16, 16), 4, 48),
        (Header("jpeg", 16, 16, is_progressive=True), 4, 48 + 1536),
        (Header("tiff"), 1, 0),
    ],
)
def test_what_a_photo_takes_is_told_by_its_header(header, reduction, expected):
    assert pixel_bytes(header, reduction) == expected


def test_a_photo_is_counted_until_its_pixels_are_used(scene, encoded, monkeypatch):
    gate = Gate(10**9)
    monkeypatch.setattr(decoding_module, "PIXELS", gate)
    with decoding(encoded(scene(), "PNG"), lambda *sides: 1):
        assert gate.free == 10**9 - 4 * 120 * 160
    assert gate.free == 10**9


def test_of_large_files_one_at_a_time_is_read(tmp_path):
    large, small = tmp_path / "large.png", tmp_path / "small.png"
    small.write_bytes(b"x")
    with large.open("wb") as file:
        file.truncate(LARGE_FILE + 1)
    assert turn_of(large) is turn_of(large)
    assert turn_of(small) is not turn_of(large)
    with turn_of(tmp_path / "gone.png"):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_has_all_the_room(scene, encoded):
    """Threads that held it are not there any more."""
    data = encoded(scene(), "PNG")
    with PIXELS.hold(ROOM):
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            with turn_of(Path("x.png")), decoding(data, lambda *sides: 1) as decoded:
                os._exit(0 if decoded.height == 120 else 1)
        assert os.waitpid(child, 0)[1] == 0
