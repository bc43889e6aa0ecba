"""Name the versions of everything that results depend on."""

from __future__ import annotations

import platform

from tier_cli import __version__
from tier_cli.packages import installed_versions

# Packages that read, prepare or score images; another version may give other numbers.
_PACKAGES = (
    *("numpy", "pillow", "pydicom", "onnxruntime", "torch", "simplejpeg", "imagecodecs"),
    *("pyjpegls", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "python-gdcm"),
)


def result_versions() -> dict[str, str]:
    """Return the versions of this package and of those below it, and the kind of processor."""
    return {"tier": __version__, "machine": platform.machine()} | installed_versions(*_PACKAGES)
