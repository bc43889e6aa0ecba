"""ChestX-Det10: labels that follow from boxes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import region_layouts as layouts
from manifest_cells import cells, files, labels_of

from tier_cli.datasets.opening import read_dataset
from tier_cli.datasets.regions import regions
from tier_cli.errors import ManifestError


def test_chestx_det10_labels_follow_from_boxes(tmp_path: Path) -> None:
    root = layouts.chestx_det10(
        tmp_path,
        [
            {"file_name": "36200.png", "syms": ["Mass", "Mass"], "boxes": [[9, 0, 0, 8], [512, 0, 1024, 9]]},
            {"file_name": "00000042_006.png", "syms": ["Fracture"], "boxes": [[5, 5, 5, 9]]},
        ],
    )
    manifest = read_dataset("chestx-det10", root, "test")
    assert files(manifest, root) == ["test_data/test_data/36200.png", "test_data/00000042_006.png"]
    assert cells(manifest, "patient") == ["", "00000042"]
    assert labels_of(manifest, "chestxdet10", "mass", "fracture", "nodule") == [[1, 0, 0], [0, 1, 0]]
    first, second = regions(manifest)
    assert [region.box for region in first] == [(0, 0, 9, 8), (512, 0, 1024, 9)]
    assert first[1].mask(512, 512)[:4, 256:].all()
    assert second == ()
    assert "boxes without an area, left out: 1" in manifest.notes
    assert cells(read_dataset("chestx-det10", root, None), "split") == ["train", "test", "test"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"file_name": "1.png", "syms": ["Mass"], "boxes": []}, "image 1: cannot be understood"),
        ({"file_name": "1.png", "syms": ["Cold"], "boxes": [[1, 2, 3, 4]]}, "'Cold' is not one of the 10"),
        ({"syms": [], "boxes": []}, "file_name"),
        ("1.png", "not an object"),
    ],
)
def test_chestx_det10_names_a_broken_entry(tmp_path: Path, entry: object, message: str) -> None:
    (tmp_path / "test.json").write_text(json.dumps([entry]))
    with pytest.raises(ManifestError, match=message):
        read_dataset("chestx-det10", tmp_path, "test")
