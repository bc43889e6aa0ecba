"""Radiographs to compare models on: generated ones, and real ones if available."""

from __future__ import annotations

from pathlib import Path

import pytest
import xrays
from parity import Read

from tier_cli.imaging.radiograph import Radiograph, ReadOptions
from tier_cli.imaging.read import read_radiograph


@pytest.fixture(params=["generated", "real"])
def radiographs(request: pytest.FixtureRequest, tmp_path: Path) -> Read:
    """A function from a rendering to radiographs, larger and smaller than what the models take.

    Generated ones, DICOM and PNG, are of odd sizes and not square.
    """
    if request.param == "real":
        files = real_radiographs(request.getfixturevalue("shared") / "data")
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


def real_radiographs(data: Path) -> list[Path]:
    """Three DICOM files of 1024 pixels and more, two JPEG of 448, and a PNG of 64, to be enlarged."""
    dicom = [data / "dicom" / f"{name}.dcm" for name in ("RG1_J2KI", "cxr_jpeg_mono1", "nih_test1")]
    nih = data / "nih"
    return [
        *dicom,
        *sorted((nih / "images").glob("*.jpg"))[:2],
        *sorted((nih / "images64").glob("*.png"))[:1],
    ]


def _oblong(path: Path) -> Path:
    from PIL import Image

    Image.fromarray(xrays.picture(5, 97, 150)).resize((293, 190), Image.Resampling.BICUBIC).save(path)
    return path
