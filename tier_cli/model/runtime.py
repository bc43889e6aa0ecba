"""Import onnxruntime without its telemetry."""

from __future__ import annotations

import os
from typing import Any


def onnxruntime_module() -> Any:
    """Import onnxruntime. Its telemetry opens sockets and writes a device id unless this is set before."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime
