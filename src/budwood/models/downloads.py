"""How a file gets here over the network, and out of an archive: checked and whole, or not."""

import gzip
import hashlib
import http.client
import json
import os
import secrets
import socket
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from filelock import FileLock

from budwood.errors import BudwoodError, DataError, WeightsError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and, where the server tells it, the bytes there are."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as lost."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each new attempt; attempts that brought bytes do not count."""

LOST = (URLError, ConnectionError, TimeoutError, http.client.HTTPException)
"""What opening a connection raises when the other side cannot be reached or goes away."""

_BLOCK = 1 << 18
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError)
"""What reading a damaged archive raises."""


@dataclass(frozen=True)
class Purpose:
    """What a file is wanted for: how its lack is told, and how it can be given instead."""

    error: type[BudwoodError]
    option: str


WEIGHTS = Purpose(WeightsError, "--weights PATH")
ARCHIVE = Purpose(DataError, "--archive FILE")


class _LostConnectionError(Exception):
    """The other side went away; what has arrived is kept."""


def fetch(
    url: str,
    *,
    sha256: str | None,
    folder: Path,
    name: str | None = None,
    purpose: Purpose = WEIGHTS,
    on_progress: Progress | None = None,
) -> Path:
    """The file of that URL in `folder`, downloaded and checked if it is not there yet.

    An interrupted download leaves a `.NAME.partial` file, which the next call takes up if the
    server still has the same version. Two processes download a file once. `sha256` may be its first
    digits, or None where nobody tells it.
    """
    target = folder / (name or urlsplit(url).path.rsplit("/", 1)[-1])
    if target.exists():
        return target
    _check_scheme(url, purpose)
    with _writing(target, purpose):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{target.name}.lock"):
        if not target.exists():
            partial = _Partial(url, target, purpose)
            _download(partial, on_progress)
            _check_hash(partial, sha256)
            os.replace(partial.file, target)
            partial.note.unlink(missing_ok=True)
    return target


class _Partial:
    """The part of a file that has arrived, and which version on the server it is a part of."""

    def __init__(self, url: str, target: Path, purpose: Purpose) -> None:
        self.url = url
        self.target = target
        self.purpose = purpose
        self.file = target.with_name(f".{target.name}.partial")
        self.note = self.file.with_name(f"{self.file.name}.json")

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


def _download(partial: _Partial, on_progress: Progress | None) -> None:
    failures = 0
    while True:
        before = partial.size()
        try:
            for have, total in _attempt(partial):
                if on_progress is not None:
                    on_progress(have, total)
            return
        except _LostConnectionError as lost:
            failures = 0 if partial.size() > before else failures + 1
            if failures > len(PAUSES):
                raise unreachable(partial.url, partial.target, lost, partial.purpose) from None
        time.sleep(PAUSES[max(0, failures - 1)])


def _attempt(partial: _Partial) -> Iterator[tuple[int, int | None]]:
    """Download over one connection; yields the bytes that are here and those there are."""
    response = _opened(partial)
    if response is None:
        return
    with response, _writing(partial.target, partial.purpose):
        if response.status != 206:
            partial.start(response)
        have = partial.size()
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with partial.file.open("ab") as file:
            for block in _blocks(response):
                have += file.write(block)
                yield have, total
    if total is not None and have != total:
        raise _LostConnectionError(f"{have} of {total} bytes arrived")


def _opened(partial: _Partial) -> http.client.HTTPResponse | None:
    """The response that brings what is missing; None if nothing is."""
    have, version = partial.size(), partial.version()
    request = Request(partial.url, headers={"User-Agent": "budwood", "Accept-Encoding": "identity"})
    if have and version:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version)
    try:
        opener = build_opener(_EncryptedRedirects(partial.purpose))
        response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
            return None
        if error.code == 416:
            partial.remove()
        elif error.code < 500:
            raise _refused(partial, error) from None
        raise _LostConnectionError(f"{error.code} {error.reason}") from None
    except LOST as error:
        if not have and isinstance(getattr(error, "reason", None), socket.gaierror):
            # Offline: waiting is no help.
            raise unreachable(partial.url, partial.target, error, partial.purpose) from None
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


@contextmanager
def _writing(target: Path, purpose: Purpose) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise purpose.error(
            f"{target} cannot be written: {error.strerror or error}.",
            next="Make room there, or set BUDWOOD_HOME to a folder on another disk.",
            file=target,
        ) from None


def _check_hash(partial: _Partial, sha256: str | None) -> None:
    if sha256 is None:
        return
    actual = sha256_of(partial.file)
    if actual.startswith(sha256.lower()):
        return
    partial.remove()
    raise partial.purpose.error(
        f"The file from {partial.url} is not the one that was asked for: its SHA-256 is {actual}.",
        expected=f"It must be {sha256}{'' if len(sha256) == 64 else '...'}.",
        next="It was removed. Try again, or download it elsewhere and pass "
        f"{partial.purpose.option}.",
        file=partial.target,
    )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unreachable(
    url: str, target: Path, error: Exception, purpose: Purpose = WEIGHTS
) -> BudwoodError:
    """The error for a server that cannot be reached; names how to go on without it."""
    return purpose.error(
        f"{url} cannot be downloaded to {target}: {_reason(error)}.",
        next=f"Try again when online, or download it elsewhere and pass {purpose.option}.",
        file=target,
    )


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason) or type(reason).__name__


def _refused(partial: _Partial, error: HTTPError) -> BudwoodError:
    return partial.purpose.error(
        f"The server refuses {partial.url}: {error.code} {error.reason}.",
        next="Look in a browser whether it asks for a login or has moved, download it there and "
        f"pass {partial.purpose.option}.",
        file=partial.target,
    )


def _check_scheme(url: str, purpose: Purpose) -> None:
    parts = urlsplit(url)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "https" or (parts.scheme == "http" and here):
        return
    raise purpose.error(
        f"{url} would be downloaded without encryption.",
        expected="The address must begin with https://.",
        next=f"Download it yourself and pass {purpose.option}.",
    )


class _EncryptedRedirects(HTTPRedirectHandler):
    """Follows redirects, but never to where a file could be changed on its way."""

    def __init__(self, purpose: Purpose) -> None:
        self._purpose = purpose

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Request | None:
        _check_scheme(newurl, self._purpose)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def unpack(archive: Path, folder: Path) -> None:
    """Put the files of a .tar.gz or .zip archive, whose hash is known, into an empty folder.

    If the archive holds one folder and nothing beside it, that level is left out.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                file.extractall(folder)
        else:
            with tarfile.open(archive, "r:gz") as tar:
                tar.extractall(folder, filter="data")
    except _DAMAGE as problem:
        raise DataError(
            f"{archive} is damaged, or no .tar.gz or .zip archive: {problem}.",
            next="Download it again.",
            file=archive,
        ) from None
    first, *more = folder.iterdir()
    if first.is_dir() and not more:
        around = first.rename(folder / f".{secrets.token_hex(8)}")
        for each in around.iterdir():
            each.rename(folder / each.name)
        around.rmdir()
