"""The views of tables agree with the views of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tier_cli.datasets.manifest import read_manifest
from tier_cli.datasets.views import lateral_rows, projection


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


@pytest.mark.parametrize(
    ("view", "told"),
    [
        *((view, "PA") for view in ("PA", "pa", "PA supine")),
        *((view, "AP") for view in ("AP", "AP_horizontal", "AP AXIAL")),
        *((view, "Frontal") for view in ("FRONTAL", "PA/AP")),
        *((view, "Lateral") for view in ("L", "LL", "RL", "LATERAL", "XTABLE LATERAL", "LLAT", "SWIMMERS")),
        *((view, "Oblique") for view in ("LAO", "RAO", "AP oblique", "LPO")),
        *((view, "Decubitus") for view in ("AP LLD", "PA RLD", "LATERAL DECUBITUS")),
        *((view, "") for view in ("", "COSTAL", "unknown")),
    ],
)
def test_captions_call_a_view_what_it_is(view: str, told: str) -> None:
    assert projection(view) == told
