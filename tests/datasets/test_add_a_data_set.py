"""The worked example of docs/contributing/add-a-data-set.md runs as it is printed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from page_code import blocks, load

from tier_cli.datasets import registry
from tier_cli.datasets.opening import read_dataset

NAME = "tier_cli.datasets.readers.lakeside"


def test_the_worked_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, reader, layout, test = blocks("add-a-data-set.md", "python")
    start = "from tier_cli.datasets.info import DatasetInfo\n"
    info = load(tmp_path / "entry.py", "lakeside_entry", f"{start}ENTRY = (\n{entry})[0]\n").ENTRY
    monkeypatch.setattr(registry, "DATASETS", {**registry.DATASETS, "lakeside": info})
    monkeypatch.setitem(sys.modules, NAME, load(tmp_path / "lakeside.py", NAME, reader))
    layouts = (
        f"import region_layouts\nfrom region_layouts import picture, put\nfrom pathlib import Path\n{layout}"
    )
    monkeypatch.setattr(
        "region_layouts.lakeside", load(tmp_path / "layout.py", "layout", layouts).lakeside, raising=False
    )
    start = "import region_layouts\nfrom manifest_cells import labels_of\nfrom pathlib import Path\n"
    start += "from tier_cli.datasets.opening import read_dataset\n"
    load(tmp_path / "example.py", "example", start + test).test_blank_labels_stay_blank(tmp_path / "a")
    train = read_dataset("lakeside", tmp_path / "a", "train")
    assert Path(train.paths[0]).is_file()
