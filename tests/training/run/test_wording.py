"""The wording of notes and stages does not affect a run."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tier_cli.app import main
from tier_cli.display import training_progress
from tier_cli.training.data import rows, splits
from tier_cli.training.data.notes import Note

# An undivided part, an image without a label and a lateral view: most notes have something to say.
EXTRA = "0.png,q0,,LATERAL,1\n1.png,q1,train,FRONTAL,\n2.png,q2,,FRONTAL,0\n"
VOLATILE = ("seconds", "command", "identity", "export_difference")


def _train(manifest: Path, output: Path, towers: list[str], *more: str) -> dict[str, Any]:
    """Run, and give all that it leaves but words and times."""
    table = manifest.parent / f"{output.name}.csv"
    text = manifest.read_text().replace(",valid,", ",train,") + EXTRA
    table.write_text(text)
    code = main(["train", "--data", str(table), "--output", str(output), *towers, "--image-size", "64",
                 "--batch-size", "16", "--freeze-text-layers", "0", "--freeze-image-blocks", "1",
                 "--views", "frontal", "--epochs", "2", "--keep-epochs", "1", *more])  # fmt: skip
    assert code == 0
    record = json.loads((output / "training.json").read_text())
    table.unlink()
    # Words for people, and the name of the table.
    for name in ("split", "name"):
        del record["data"][name]
    return {
        "weights": sha256((output / "model.safetensors").read_bytes()).hexdigest(),
        "kept": sha256(next(output.glob("epochs/*/model.safetensors")).read_bytes()).hexdigest(),
        "validation": json.loads((output / "validation.json").read_text()),
        "log": [
            {name: value for name, value in json.loads(line).items() if name != "images_per_second"}
            for line in (output / "metrics.jsonl").read_text().splitlines()
        ],
        **{name: value for name, value in record.items() if name not in VOLATILE},
    }


def test_other_wording_changes_no_result(
    manifest: Path,
    towers: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_graphs: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usual = _train(manifest, tmp_path / "usual", towers)
    told = capsys.readouterr().err
    monkeypatch.setattr(Note, "text", lambda note, **values: f"epoch test valid {note.name}")
    for module in (splits, rows):
        monkeypatch.setattr(module, "describe", lambda division: "rows of split test train; epoch")
    for stage in training_progress.TITLES:
        monkeypatch.setitem(training_progress.TITLES, stage, f"epoch of {stage.name}")
    other = _train(manifest, tmp_path / "other", towers)
    reworded = capsys.readouterr().err
    assert "patients drawn for validation" in told
    assert "reading images" in told
    assert "patients drawn for validation" not in reworded
    assert "epoch of READING_IMAGES" in reworded
    assert other == usual
