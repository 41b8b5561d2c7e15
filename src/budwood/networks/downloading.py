"""How a file gets here over the network: whole, checked and resumable, or not at all."""

import hashlib
import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from filelock import FileLock

from budwood.errors import WeightsError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and, where the server tells it, the bytes there are."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as lost."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each new attempt; attempts that brought bytes do not count."""

LOST = (URLError, ConnectionError, TimeoutError, http.client.HTTPException)
"""What opening a connection raises when the other side cannot be reached or goes away."""

_BLOCK = 1 << 18


class _LostConnectionError(Exception):
    """The other side went away; what has arrived is kept."""


def fetch(
    url: str,
    *,
    sha256: str | None,
    folder: Path,
    name: str | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """The file of that URL in `folder`: from there if it is, else downloaded, checked and kept.

    A download that is interrupted leaves a `.NAME.partial` file and is taken up again by the next
    call, provided that the server still has the same file (its ETag or date tells) and sends
    parts. Two processes that want the same file at once download it once.

    Args:
        sha256: What the file must hash to, in full or the first digits; None checks nothing.
        name: What it is called in `folder`; default the last part of the URL.

    Raises:
        WeightsError: If the server cannot be reached or refuses, the hash is another, or the URL
            is not https.
    """
    target = folder / (name or urlsplit(url).path.rsplit("/", 1)[-1])
    if target.exists():
        return target
    _check_scheme(url)
    with _writing(target):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{target.name}.lock"):
        if not target.exists():
            partial = _Partial(url, folder / f".{target.name}.partial")
            _download(partial, target, on_progress)
            _check_hash(partial, target, sha256)
            os.replace(partial.file, target)
            partial.note.unlink(missing_ok=True)
    return target


class _Partial:
    """The part of a file that has arrived, and which version on the server it is a part of."""

    def __init__(self, url: str, file: Path) -> None:
        self.url = url
        self.file = file
        self.note = file.with_name(f"{file.name}.json")

    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def version(self) -> str | None:
        """The ETag or date of what is here; None if it cannot be told, and must be started over."""
        try:
            note = json.loads(self.note.read_text("utf-8"))
        except (FileNotFoundError, ValueError):  # none, or cut short by a power cut
            return None
        return note.get("version") if note.get("url") == self.url else None

    def start(self, response: http.client.HTTPResponse) -> None:
        """Forget what is here and begin the version that this response brings."""
        self.file.unlink(missing_ok=True)
        etag = response.headers.get("ETag", "")
        strong = etag if etag and not etag.startswith("W/") else None
        version = strong or response.headers.get("Last-Modified")
        self.note.write_text(json.dumps({"url": self.url, "version": version}), "utf-8")

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _download(partial: _Partial, target: Path, on_progress: Progress | None) -> None:
    failures = 0
    while True:
        before = partial.size()
        try:
            for have, total in _attempt(partial, target):
                if on_progress is not None:
                    on_progress(have, total)
            return
        except _LostConnectionError as lost:
            failures = 0 if partial.size() > before else failures + 1
            if failures > len(PAUSES):
                raise unreachable(partial.url, target, lost) from None
        time.sleep(PAUSES[max(0, failures - 1)])


def _attempt(partial: _Partial, target: Path) -> Iterator[tuple[int, int | None]]:
    """Download over one connection; yields the bytes that are here and those there are."""
    response = _opened(partial, target)
    if response is None:
        return
    with response, _writing(target):
        if response.status != 206:
            partial.start(response)
        have = partial.size()
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with partial.file.open("ab", buffering=0) as file:
            for block in _blocks(response):
                have += _write_all(file, block)
                yield have, total
    if total is not None and have != total:
        raise _LostConnectionError(f"{have} of {total} bytes arrived")


def _opened(partial: _Partial, target: Path) -> http.client.HTTPResponse | None:
    """The response that brings what is missing; None if nothing is."""
    have, version = partial.size(), partial.version()
    request = Request(partial.url, headers={"User-Agent": "budwood", "Accept-Encoding": "identity"})
    if have and version:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version)
    try:
        opener = build_opener(_EncryptedRedirects)
        response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
            return None
        if error.code == 416:
            partial.remove()
        elif error.code < 500:
            raise _refused(partial.url, target, error) from None
        raise _LostConnectionError(f"{error.code} {error.reason}") from None
    except LOST as error:
        if not have and isinstance(getattr(error, "reason", None), socket.gaierror):
            raise unreachable(partial.url, target, error) from None  # offline: waiting is no help
        raise _LostConnectionError(_reason(error)) from None
    given = response.headers.get("Content-Range", "")
    if response.status == 206 and not given.startswith(f"bytes {have}-"):
        response.close()
        partial.remove()
        raise _LostConnectionError("the server sent another part than was asked for")
    return response


def _blocks(response: IO[bytes]) -> Iterator[bytes]:
    """What the response brings, with errors of the network told apart from those of the disk."""
    while True:
        try:
            block = response.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _LostConnectionError(_reason(error)) from None
        if not block:
            return
        yield block


def _write_all(file: IO[bytes], block: bytes) -> int:
    written = 0
    while written < len(block):
        written += file.write(block[written:])
    return written


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WeightsError(
            f"{target} cannot be written: {error.strerror or error}.",
            next="Make room there, or set BUDWOOD_HOME to a folder on another disk.",
            file=target,
        ) from None


def _check_hash(partial: _Partial, target: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    actual = sha256_of(partial.file)
    if actual.startswith(sha256.lower()):
        return
    partial.remove()
    raise WeightsError(
        f"The file from {partial.url} is not the one that was asked for: its SHA-256 is {actual}.",
        expected=f"It must be {sha256}{'' if len(sha256) == 64 else '...'}.",
        next="It was removed. Try again, or download it elsewhere and pass --weights PATH.",
        file=target,
    )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unreachable(url: str, target: Path, error: Exception) -> WeightsError:
    """The error for a server that cannot be reached; names how to go on without it."""
    return WeightsError(
        f"{url} cannot be downloaded to {target}: {_reason(error)}.",
        next="Try again when online, or download it elsewhere and pass --weights PATH.",
        file=target,
    )


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason) or type(reason).__name__


def _refused(url: str, target: Path, error: HTTPError) -> WeightsError:
    return WeightsError(
        f"The server refuses {url}: {error.code} {error.reason}.",
        next="Look in a browser whether it asks for a login or has moved, download it there and "
        "pass --weights PATH.",
        file=target,
    )


def _check_scheme(url: str) -> None:
    parts = urlsplit(url)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "https" or (parts.scheme == "http" and here):
        return
    raise WeightsError(
        f"{url} would be downloaded without encryption.",
        expected="The address must begin with https://.",
        next="Download it yourself and pass --weights PATH.",
    )


class _EncryptedRedirects(HTTPRedirectHandler):
    """Follows redirects, but never to where a file could be changed on its way."""

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Request | None:
        _check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
