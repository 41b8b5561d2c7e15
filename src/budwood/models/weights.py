"""Where published weights are, and the file of them on this machine."""

import os
import re
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from budwood.errors import WeightsError
from budwood.files import home
from budwood.models.downloads import LOST, TIMEOUT, Progress, fetch, unreachable

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""What weights are called in a repository of the Hugging Face hub; the first that exists."""


def folder() -> Path:
    """Where downloaded weights are kept."""
    return home() / "weights"


def published(url: str, *, on_progress: Progress | None = None) -> Path:
    """The file of that URL, checked by the first digits of its hash if its name has them."""
    digits = re.search(r"-([0-9a-f]{8,64})\.", urlsplit(url).path.rsplit("/", 1)[-1])
    sha256 = digits[1] if digits else None
    return fetch(url, sha256=sha256, folder=folder(), on_progress=on_progress)


def from_hub(
    repository: str,
    name: str,
    *,
    files: tuple[str, ...] = HUB_FILES,
    on_progress: Progress | None = None,
) -> Path:
    """The weights of a repository of the Hugging Face hub, kept as `NAME.safetensors` or `.bin`.

    `HF_ENDPOINT` names another server; a SHA-256 is checked where the server tells it.
    """
    kept = {file: folder() / f"{name}{Path(file).suffix}" for file in files}
    for path in kept.values():
        if path.exists():
            return path
    server = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    for file, path in kept.items():
        url = f"{server}/{repository}/resolve/main/{file}"
        headers = _headers(url, path)
        if headers is not None:
            digits = headers.get("X-Linked-Etag", "").strip('"')
            sha256 = digits if re.fullmatch("[0-9a-f]{64}", digits) else None
            return fetch(
                url, sha256=sha256, folder=folder(), name=path.name, on_progress=on_progress
            )
    raise WeightsError(
        f"{server}/{repository} does not have {' or '.join(files)}.",
        next="Look there for the weights, download them and pass --weights PATH.",
    )


_MOST_REDIRECTS = 5


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _headers(url: str, target: Path) -> Message | None:
    """What the hub tells about a file; None if it has none of that name.

    The hub answers with a redirect to where the bytes are; the hash is told by the hub, so only
    redirects that stay with the hub (a renamed repository) are followed.
    """
    opener = build_opener(_NoRedirects)
    for _ in range(_MOST_REDIRECTS):
        request = Request(url, method="HEAD", headers={"User-Agent": "budwood"})
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                headers: Message = response.headers
                return headers
        except HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            if error.code not in (301, 302, 303, 307, 308):
                raise unreachable(url, target, error) from None
            goal = urljoin(url, error.headers.get("Location", url))
            told = "X-Linked-Etag" in error.headers
            if told or urlsplit(goal).netloc != urlsplit(url).netloc:
                return error.headers
            url = goal
        except LOST as error:
            raise unreachable(url, target, error) from None
    raise unreachable(url, target, RuntimeError("it redirects in a circle"))
