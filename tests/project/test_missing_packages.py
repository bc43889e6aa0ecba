"""A package that is not installed is named with the line that installs it, by whatever command needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_checkpoint
from xrays import write_dicom, write_png

HIDE = (
    "import sys, json\n"
    "hidden, arguments = json.loads(sys.argv[1])\n"
    "sys.modules[hidden] = None\n"
    "from tier_cli.app import main\n"
    "sys.exit(main(arguments))\n"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a manifest, a model, scores and embeddings."""
    from tier_cli.app import main

    folder = tmp_path_factory.mktemp("place")
    tiny_checkpoint(folder / "tiny")
    rows = ["path,patient,split,text,Pleural Effusion"]
    for number in range(8):
        write_png(folder / f"{number}.png", number)
        rows.append(f"{number}.png,p{number},{'train' if number < 4 else 'valid'},clear,{number % 2}")
    (folder / "m.csv").write_text("\n".join(rows))
    write_dicom(folder / "a.dcm")
    for ending in ("parquet", "npz"):
        images = [str(folder / f"{number}.png") for number in range(2)]
        output = str(folder / f"index.{ending}")
        assert main(["embed", *images, "--model", str(folder / "tiny"), "-o", output]) == 0
    scores = str(folder / "scores.parquet")
    assert main(["classify", str(folder / "0.png"), "--model", str(folder / "tiny"), "-o", scores]) == 0
    return folder


MODEL = ("--model", "tiny")
CASES = [
    ("pyarrow", "'tier-cli[parquet]'", ("classify", "0.png", *MODEL, "-o", "x.parquet")),
    ("highdicom", "'tier-cli[dicom]'", ("classify", "a.dcm", *MODEL, "--sr", "sr")),
    ("pyarrow", "'tier-cli[parquet]'", ("embed", "0.png", *MODEL, "-o", "x.parquet")),
    (
        "pyarrow",
        "'tier-cli[parquet]'",
        ("eval", "--data", "m.csv", "--scores", "scores.parquet", "--findings", "nih14"),
    ),
    ("pyarrow", "'tier-cli[parquet]'", ("search", "effusion", "--index", "index.parquet", *MODEL)),
    ("faiss", "'tier-cli[search]'", ("search", "x", "--index", "index.npz", *MODEL, "--approximate")),
    ("pynetdicom", "'tier-cli[pacs]'", ("listen", "--allow-any", "-o", "received", *MODEL)),
    ("dicomweb_client", "'tier-cli[pacs]'", ("classify", "dicomweb://127.0.0.1:1/studies/1.2", *MODEL)),
    # TensorBoard: tests/training/run/test_work_folder.py.
    ("jinja2", "jinja2", ("eval", "--data", "m.csv", *MODEL, "--split", "all", "--report", "x.html")),
    ("pandas", "'tier-cli[eval]'", ("data", "inspect", "m.csv")),
    ("pydicom", "pydicom", ("doctor",)),
    ("onnxruntime", "onnxruntime", ("classify", "0.png", *MODEL, "--engine", "onnx")),
    ("torch", "'tier-cli[torch]'", ("classify", "0.png", *MODEL, "--engine", "torch")),
    ("transformers", "'tier-cli[torch]'", ("classify", "0.png", *MODEL, "--engine", "torch")),
]


@pytest.mark.parametrize(("package", "install", "arguments"), CASES)
def test_the_remedy_is_one_line(place: Path, package: str, install: str, arguments: tuple[str, ...]) -> None:
    done = _without(package, arguments, place)
    assert done.returncode == 2, done.stderr
    assert f"pip install {install}" in done.stderr
    assert "a bug" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("Error: ") == 1


def test_a_reader_s_package_is_named_in_the_row_of_each_file(place: Path) -> None:
    done = _without("pydicom", ("classify", "a.dcm", "0.png", *MODEL, "--workers", "0"), place)
    assert done.returncode == 3, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert "pip install pydicom" in first["error"]["message"]
    assert second["error"] is None


def _without(package: str, arguments: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-c", HIDE, json.dumps([package, arguments])],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root, "TIER_CACHE_DIR": str(folder / "cache")},
        check=False,
    )
