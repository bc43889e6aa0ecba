"""Radiographs to compare models on: generated ones, and real ones where they are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xrays
from parity import Read

from tier_cli.imaging.radiograph import Radiograph, ReadOptions
from tier_cli.imaging.read import read_radiograph


@pytest.fixture(params=["generated", "real"])
def radiographs(request: pytest.FixtureRequest, tmp_path: Path) -> Read:
    """A function from a rendering to radiographs, from DICOM and PNG; their sizes are odd and not square."""
    if request.param == "real":
        data = request.getfixturevalue("shared") / "data"
        dicom = [data / "dicom" / f"{name}.dcm" for name in ("RG1_J2KI", "cxr_jpeg_mono1", "nih_test1")]
        files = [*dicom, *sorted((data / "nih").rglob("*.png"))[:2]]
    else:
        files = [xrays.write_dicom(tmp_path / "a.dcm"), xrays.write_png(tmp_path / "b.png", 1, 131)]
        files.append(_oblong(tmp_path / "c.png"))

    def read(rendering: str) -> list[Radiograph]:
        options = ReadOptions(rendering=rendering, views="all")  # type: ignore[arg-type]
        return [read_radiograph(str(path), options) for path in files]

    return read


@pytest.fixture
def without_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert without tracing graphs, which takes most of the time, where a test is about something else."""
    monkeypatch.setattr("tier_cli.model.export.export_graphs", lambda folder: {})


def _oblong(path: Path) -> Path:
    from PIL import Image

    noise = np.random.default_rng(5).integers(0, 256, (97, 150)).astype(np.uint8)
    Image.fromarray(noise).resize((293, 190), Image.Resampling.BICUBIC).save(path)
    return path
