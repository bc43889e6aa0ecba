"""The example images match their program, and the example scripts work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_checkpoint

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
IMAGES = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in (".dcm", ".png"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    command = [sys.executable, str(EXAMPLES / "make_examples.py"), str(folder)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


def test_the_program_draws_the_committed_images(drawn: Path) -> None:
    from tier_cli.imaging.read import read_radiograph

    assert sorted(path.name for path in drawn.iterdir()) == sorted([*IMAGES, "manifest.csv"])
    assert (drawn / "manifest.csv").read_text() == (EXAMPLES / "manifest.csv").read_text()
    for name in IMAGES:
        there, here = (read_radiograph(str(folder / name)) for folder in (EXAMPLES, drawn))
        # Another processor may round the last bit of a sine differently.
        np.testing.assert_allclose(there.pixels, here.pixels, atol=2 / 255)
        assert np.abs(there.pixels - here.pixels).mean() < 1e-4


def test_every_dicom_says_that_it_is_synthetic() -> None:
    import pydicom

    files = [EXAMPLES / name for name in IMAGES if name.endswith(".dcm")]
    assert len(files) == 4
    for file in files:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        assert str(dataset.PatientName) == "SYNTHETIC^PHANTOM"
        assert "SYNTHETIC" in dataset.SeriesDescription


def test_the_examples_are_small() -> None:
    assert sum((EXAMPLES / name).stat().st_size for name in IMAGES) < 3_000_000


def test_findings_and_manifest_fit_together() -> None:
    from tier_cli.datasets.manifest import read_manifest
    from tier_cli.findings.load import load_findings

    findings = load_findings(str(EXAMPLES / "findings.toml"))
    manifest = read_manifest(EXAMPLES / "manifest.csv")
    assert len(manifest.label_columns(findings)) == 5
    assert manifest.ignored_columns(findings) == []
    assert all(Path(path).is_file() for path in manifest.paths)


def _script(name: str, *arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the examples, with this checkout's `tier` first on the PATH."""
    if os.name != "posix" or shutil.which("bash") is None:
        pytest.skip("needs bash")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    (bin_folder / "python").symlink_to(sys.executable)
    tier = bin_folder / "tier"
    code = "from tier_cli.app import main; raise SystemExit(main())"
    tier.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    tier.chmod(0o755)
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(EXAMPLES / name), *arguments],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("01-healthy.dcm", "03-pneumothorax.dcm"):
        (folder / name).write_bytes((EXAMPLES / name).read_bytes())
    return folder


def test_folder_script_continues_after_a_broken_file(tmp_path: Path, pictures: Path, model: str) -> None:
    import pandas as pd

    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    done = _script(
        "folder.sh", str(pictures), str(tmp_path / "table.csv"), "--model", model, "--wide", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "some files have no scores" in done.stderr
    assert len(pd.read_csv(tmp_path / "table.csv")) == 3


def test_list_script_prints_the_highest_score_of_each(tmp_path: Path, pictures: Path, model: str) -> None:
    done = _script("list.sh", str(pictures), "--model", model, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [Path(row[0]).name for row in rows] == ["01-healthy.dcm", "03-pneumothorax.dcm"]
    assert all(-2 <= float(row[2]) <= 2 for row in rows)


def test_readme_names_every_file() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES.iterdir():
        assert path.is_dir() or path.name == "README.md" or path.name in text
