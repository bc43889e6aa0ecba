"""Record how a report came about: command, versions and hashes, so that it can be judged and repeated."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tier_cli.packages import installed_versions

_PACKAGES = ("numpy", "torch", "onnxruntime", "transformers", "pillow", "pydicom", "matplotlib")


@dataclass(frozen=True)
class Origin:
    """How a report came about.

    Parameters
    ----------
    command
        The command line; empty if there was none.
    versions
        Versions of the packages involved.
    files
        SHA-256 by file name: the manifest and files of scores.
    rows_sha256
        Hash of the images' paths and labels.
    """

    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    rows_sha256: str = ""


def record_origin(command: str, files: Iterable[Path], rows_sha256: str) -> Origin:
    """Record a command, the hashes of its input files, and the versions of the packages involved."""
    from tier_cli.files.hashes import file_hash

    hashes = {str(file): file_hash(file) for file in files if file.is_file()}
    return Origin(command, _versions(), hashes, rows_sha256)


def _versions() -> dict[str, str]:
    from tier_cli import __version__

    here = {"tier-cli": __version__, "Python": platform.python_version()}
    return here | installed_versions(*_PACKAGES)
