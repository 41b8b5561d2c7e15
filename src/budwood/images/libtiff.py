"""What libtiff complains of while Pillow decodes a TIFF.

It says it on the process's stderr, from C and without a file's name, and often goes on all the same
with rows that it made up. Here its complaints are handed to the thread that decodes. That is
possible where Pillow brings libtiff as a library of its own (its wheels for Linux and macOS do);
elsewhere libtiff speaks as before.
"""

import ctypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import PIL

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


class _OfThread(threading.local):
    heard: list[str] | None = None


_of_thread = _OfThread()


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What libtiff complains of within, in this thread: each the module and its sentence, in which
    numbers are left out."""
    _listen()
    heard: list[str] = []
    _of_thread.heard = heard
    try:
        yield heard
    finally:
        _of_thread.heard = None


@cache
def _listen() -> tuple[Any, ...]:
    """Both handlers of libtiff are ours from now on; what is returned must be kept."""
    root = Path(PIL.__file__).parent
    places = [*root.parent.glob("pillow.libs/libtiff*"), *root.glob(".dylibs/libtiff*")]
    if not places:
        return ()
    library = ctypes.CDLL(str(places[0]))
    on_error, on_warning = _Handler(_on_error), _Handler(_on_warning)
    for name, handler in (("Error", on_error), ("Warning", on_warning)):
        setter = getattr(library, f"TIFFSet{name}Handler")
        setter.restype = ctypes.c_void_p
        setter(handler)
    return library, on_error, on_warning


def _on_error(module: bytes | None, format: bytes | None, values: int | None) -> None:
    if _of_thread.heard is not None:
        where, what = ((words or b"").decode(errors="replace") for words in (module, format))
        _of_thread.heard.append(f"{where}: {re.sub('%[a-z]+', '...', what)}")


def _on_warning(module: bytes | None, format: bytes | None, values: int | None) -> None:
    """Unknown tags are no damage; rows of a fax that are too short are."""
    if (module or b"").startswith(b"Fax"):
        _on_error(module, format, values)
