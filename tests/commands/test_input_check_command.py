"""`tier model input-check`, and classifying with the copy it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from xrays import write_png

from tier_cli.model.verify import verify

Tier = Callable[..., tuple[int, str, str]]
COUNT = 130


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chests")
    rows = ["path,patient,split"]
    for number in range(COUNT):
        write_png(folder / f"{number:03}.png", number)
        rows.append(f"{number:03}.png,p{number},{'train' if number < 75 else 'valid'}")
    path = folder / "manifest.csv"
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="session")
def checked(tmp_path_factory: pytest.TempPathFactory, manifest: Path, model: str) -> Path:
    from tier_cli.app import main

    output = tmp_path_factory.mktemp("checked") / "copy"
    arguments = ["model", "input-check", model, "--data", str(manifest), "--output", str(output)]
    assert main([*arguments, "--workers", "0"]) == 0
    return output


def test_the_copy_is_intact_and_says_what_was_fitted(tier: Tier, checked: Path) -> None:
    assert verify(checked) == []
    assert "input_check.safetensors" in (checked / "checksums.json").read_text(encoding="utf-8")
    assert "## Input check" in (checked / "README.md").read_text(encoding="utf-8")
    code, out, _ = tier("model", "info", checked)
    facts = json.loads(out)["input_check"]
    assert code == 0
    assert (facts["fitted_on"]["images"], facts["limit_on"]["images"]) == (75, COUNT - 75)
    assert facts["passing"] >= 0.95


def test_images_like_those_fitted_on_pass_and_another_picture_is_named(
    tier: Tier, checked: Path, tmp_path: Path
) -> None:
    write_png(tmp_path / "a.png", 1000)
    checks = np.indices((80, 80)).sum(axis=0) // 8 % 2 * 200
    Image.fromarray((checks + 20).astype(np.uint8)).save(tmp_path / "b.png")
    common = ("classify", tmp_path, "--model", checked, "--accept-any", "--workers", "0")
    code, out, _ = tier(*common)
    assert code == 0
    chest, other = map(json.loads, out.splitlines())
    assert chest["input_check"]["verdict"] == "pass"
    assert other["input_check"]["verdict"] == "suspicious"
    assert other["findings"]
    code, out, err = tier(*common, "--input-check", "refuse")
    assert code == 3
    assert [json.loads(line)["error"] is None for line in out.splitlines()] == [True, False]
    assert "not a frontal chest X-ray by the input check" in err
    code, out, _ = tier(*common, "--input-check", "off")
    assert code == 0
    assert not any("input_check" in json.loads(line) for line in out.splitlines())


def test_the_limit_needs_other_patients(tier: Tier, manifest: Path, model: str, tmp_path: Path) -> None:
    text = manifest.read_text().replace("p80,", "p3,")
    both = manifest.parent / "both.csv"
    both.write_text(text)
    code, _, err = tier("model", "input-check", model, "--data", both, "--output", tmp_path / "copy")
    assert code == 2
    assert "1 patients are in both splits" in err
    code, _, err = tier(
        "model",
        "input-check",
        model,
        "--data",
        manifest,
        "--limit-on",
        "train",
        "--output",
        tmp_path / "copy",
    )
    assert code == 2
    assert "the limit needs other images than the fit" in err
    assert not (tmp_path / "copy").exists()
