"""Read labels, cells and paths of a manifest in plain Python types."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tier_cli.datasets.manifest import Manifest
from tier_cli.findings.load import builtin


def labels_of(manifest: Manifest, findings: str, *names: str) -> list[list[float | None]]:
    """Return labels of findings, one list per row, None = blank."""
    fs = builtin(findings)
    table = manifest.labels(fs)[:, [fs.ids.index(name) for name in names]]
    return [[None if np.isnan(value) else value for value in row] for row in table.tolist()]


def cells(manifest: Manifest, name: str) -> list[str]:
    return [str(cell) for cell in manifest.column(name)]


def files(manifest: Manifest, root: Path) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path in manifest.paths]
