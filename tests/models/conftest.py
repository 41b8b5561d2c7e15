"""A web server on this machine that can misbehave."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@dataclass
class Site:
    """What the server has and how it behaves; requests are logged as `(method, path, range)`."""

    address: str = ""
    content: bytes = CONTENT
    etag: str | None = '"one"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    """After how many bytes each of the next responses breaks off."""
    errors: list[int] = field(default_factory=list)
    """Status of each of the next responses."""
    shifts: list[int] = field(default_factory=list)
    """How far each of the next parts begins from where it was asked to."""
    redirects: dict[str, str] = field(default_factory=dict)
    linked_etag: str | None = None
    absent: set[str] = field(default_factory=set)
    log: list[tuple[str, str, str | None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.address}/weights.pth"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def asked(self) -> list[str | None]:
        """The ranges that GET requests asked for."""
        return [part for method, _, part in self.log if method == "GET"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        site = self.site
        asked = self.headers.get("Range")
        site.log.append((self.command, self.path, asked))
        self.close_connection = True
        name = self.path.rsplit("/", 1)[-1]
        if name in site.absent or site.errors:
            return self._head(404 if name in site.absent else site.errors.pop(0), 0)
        if self.path in site.redirects:
            return self._head(302, 0, {"Location": site.redirects[self.path]})
        content, status, extra = site.content, 200, {}
        same = self.headers.get("If-Range") == site.etag
        if asked and site.ranges and same:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            start += site.shifts.pop(0) if site.shifts else 0
            if start >= len(content):
                return self._head(416, 0, {"Content-Range": f"bytes */{len(content)}"})
            extra["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content, status = content[start:], 206
        self._head(status, len(content), extra)
        if body:
            self.wfile.write(content[: site.cuts.pop(0)] if site.cuts else content)

    def _head(self, status: int, length: int, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if self.site.etag:
            self.send_header("ETag", self.site.etag)
        if self.site.linked_etag:
            self.send_header("X-Linked-Etag", self.site.linked_etag)
        for key, value in (extra or {}).items():
            self.send_header(key, value)
        self.end_headers()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A running server; the pauses before new attempts are taken out."""
    monkeypatch.setattr("budwood.models.downloads.PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    site = Site()
    handler = type("SiteHandler", (Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()
