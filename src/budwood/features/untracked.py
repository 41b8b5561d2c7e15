"""OpenVINO without its telemetry, for all of Budwood.

`import openvino` alone reports to its maker over the network and writes to `~/intel`; where the
package that does so is missing it goes without.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

from budwood.threads import TRACING


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """While this lasts, importing a module fails as if it were not installed."""
    modules = cast(dict[str, ModuleType | None], sys.modules)
    known = {name: modules[name]} if name in modules else {}
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]
        modules.update(known)


@contextmanager
def untracked() -> Iterator[None]:
    """While this lasts, a package that is imported finds nothing to report its use with."""
    with TRACING, _absent("openvino_telemetry"):
        yield


with untracked():
    import openvino as ov


def pytorch_frontend() -> tuple[Any, Any]:
    """OpenVINO's manager of frontends and its decoder of traced networks; this imports torch."""
    with untracked():
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    return FrontEndManager, TorchScriptPythonDecoder


__all__ = ["ov", "pytorch_frontend", "untracked"]
