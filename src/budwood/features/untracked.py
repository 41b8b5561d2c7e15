"""OpenVINO without its telemetry, for all of Budwood.

`import openvino` alone reports to its maker over the network and writes to `~/intel`; where the
package that does so is missing it goes without.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """While this lasts, importing a module fails as if it were not installed."""
    modules = cast(dict[str, ModuleType | None], sys.modules)
    known = modules.get(name)
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]
        if known is not None:
            modules[name] = known


with _absent("openvino_telemetry"):
    import openvino as ov


def pytorch_frontend() -> tuple[Any, Any]:
    """OpenVINO's manager of frontends and its decoder of traced networks; this imports torch."""
    with _absent("openvino_telemetry"):
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    return FrontEndManager, TorchScriptPythonDecoder


__all__ = ["ov", "pytorch_frontend"]
