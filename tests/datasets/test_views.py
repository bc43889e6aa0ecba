"""What counts as frontal in a table must be what counts as frontal in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tier_cli.datasets.manifest import read_manifest
from tier_cli.datasets.views import lateral_rows


@pytest.mark.parametrize(
    ("view", "beside"),
    [
        *((view, False) for view in ("PA", "AP", "", "AP_horizontal", "AP AXIAL", "FRONTAL", "PA supine")),
        *((view, True) for view in ("L", "LL", "LATERAL", "XTABLE LATERAL", "Lateral", "LLAT")),
        *((view, True) for view in ("LAO", "RAO", "AP LLD", "PA RLD", "SWIMMERS", "AP oblique")),
    ],
)
def test_views_of_the_data_sets(tmp_path: Path, view: str, beside: bool) -> None:
    (tmp_path / "m.csv").write_text(f"path,view\na.png,{view}\n")
    assert lateral_rows(read_manifest(tmp_path / "m.csv")).tolist() == [beside]
