"""`tier model map-scale`: a copy whose maps share one scale and whose scores are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_checkpoint
from xrays import write_png

from tier_cli.commands.model_map_scale import report
from tier_cli.fitting.map_scale import Gathered
from tier_cli.maps.scale import MAP_SCALE, read_map_scale
from tier_cli.model.checkpoint import open_checkpoint, write_checksums
from tier_cli.model.trained_on import describe_run, write_trained_on
from tier_cli.model.verify import verify

Tier = Callable[..., tuple[int, str, str]]
COUNT, BOXED, BROKEN = 48, 22, 47
BOX = json.dumps([{"finding": "Cardiomegaly", "box": [20, 30, 60, 70]}]).replace('"', '""')


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cardiomegaly in boxes, edema absent, and the other findings of the set without labels."""
    folder = tmp_path_factory.mktemp("maps")
    rows = ["path,patient,split,Cardiomegaly,Edema,boxes"]
    for number in range(COUNT):
        write_png(folder / f"{number:03}.png", number)
        box = f'1,0,"{BOX}"' if number < BOXED else "0,0,"
        rows.append(f"{number:03}.png,p{number // 2},valid,{box}")
    (folder / f"{BROKEN:03}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    path = folder / "manifest.csv"
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="session")
def scaled(tmp_path_factory: pytest.TempPathFactory, manifest: Path, model: str) -> Path:
    from tier_cli.app import main

    output = tmp_path_factory.mktemp("scaled") / "copy"
    arguments = ["model", "map-scale", model, "--data", str(manifest), "--output", str(output)]
    assert main([*arguments, "--workers", "0"]) == 3, "one image cannot be read"
    return output


def test_the_copy_is_intact_and_its_scale_is_read(scaled: Path) -> None:
    assert verify(scaled) == []
    assert MAP_SCALE in (scaled / "checksums.json").read_text(encoding="utf-8")
    checkpoint = open_checkpoint(scaled)
    scale = read_map_scale(checkpoint, checkpoint.findings)
    assert scale.note == ""
    low, high = scale.ranges["difference"]
    assert -2 < low == -high < 0
    assert set(scale.thresholds) == {"cardiomegaly", "edema"}


def test_how_it_was_fitted_is_recorded(tier: Tier, scaled: Path) -> None:
    code, out, _ = tier("model", "info", scaled)
    facts = json.loads(out)["map_scale"]
    assert code == 0
    (entries,) = facts["thresholds"].values()
    assert (entries["cardiomegaly"]["chosen_by"], entries["cardiomegaly"]["n"]) == ("dice", BOXED)
    assert entries["cardiomegaly"]["patients"] == BOXED // 2
    assert (entries["edema"]["chosen_by"], entries["edema"]["n"]) == ("images_without", COUNT - 1)
    assert set(facts["left_out"]) == {"atelectasis", "consolidation", "pleural_effusion"}
    fitted = facts["fitted_on"]
    assert (fitted["data"], fitted["split"], fitted["images"]) == ("manifest.csv", "valid", COUNT - 1)
    assert fitted["unreadable"] == 1
    card = (scaled / "README.md").read_text(encoding="utf-8")
    assert "## Scale of maps" in card
    assert f"| cardiomegaly | {entries['cardiomegaly']['threshold']:+.4f} | Dice | {BOXED} | 11 |" in card
    assert "- atelectasis: no threshold" in card


def test_ranges_are_those_of_all_patches_and_findings(scaled: Path, manifest: Path) -> None:
    """Against numpy's quantiles of everything at once, computed from the model's own patches."""
    from tier_cli.pipeline.encode import patch_maps
    from tier_cli.pipeline.scoring_job import open_job
    from tier_cli.pipeline.stream import stream_options

    (member,) = open_job(str(scaled), None, "torch", "cpu").members
    paths = [str(manifest.parent / f"{number:03}.png") for number in range(COUNT - 1)]
    every = []
    for seen in patch_maps(paths, member, stream_options(workers=0)):
        patches = seen.patches / np.linalg.norm(seen.patches, axis=1, keepdims=True)  # type: ignore[union-attr]
        every.append(patches @ (member.vectors.positive - member.vectors.negative).T)
    low, high = np.quantile(np.concatenate(every), [0.005, 0.995])
    scale = read_map_scale(member.checkpoint, member.checkpoint.findings)
    assert scale.ranges["difference"][1] == pytest.approx(max(-low, high), abs=2e-3)


def test_scores_stay_the_same(tier: Tier, scaled: Path, model: str, manifest: Path) -> None:
    image = manifest.parent / "000.png"
    (before, after) = (
        json.loads(tier("classify", image, "--model", one, "--workers", "0")[1]) for one in (model, scaled)
    )
    assert before["findings"] == after["findings"]


def test_images_that_the_model_was_trained_on_are_refused(tier: Tier, manifest: Path, tmp_path: Path) -> None:
    """Its maps fit them too well: a scale from them would be wrong for all other images."""
    trained = tiny_checkpoint(tmp_path / "trained")
    keys = [{f"csv:p{number // 2}"} for number in range(COUNT)]
    write_trained_on(trained, [describe_run("trained", ["csv"], "salt", keys, keys)])
    write_checksums(trained)
    code, _, err = tier("model", "map-scale", trained, "--data", manifest, "--output", tmp_path / "copy")
    assert code == 2
    assert "that the model was trained on" in err
    assert not (tmp_path / "copy").exists()


def test_the_folder_must_be_new(tier: Tier, manifest: Path, model: str, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "mine.txt").write_text("mine")
    code, _, err = tier("model", "map-scale", model, "--data", manifest, "--output", tmp_path / "copy")
    assert code == 2
    assert "copy" in err
    assert (tmp_path / "copy" / "mine.txt").read_text() == "mine"


def test_a_threshold_that_marks_much_of_other_images_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"threshold": -0.4463, "chosen_by": "dice", "share_without": 0.9458}
    content = {
        "ranges": {"difference": [-1.0, 1.0]},
        "similarity": "difference",
        "thresholds": {"set": {"pneumothorax": entry, "edema": {**entry, "share_without": 0.01}}},
        "left_out": {},
        "fitted_on": {"images": 9},
    }
    report(content, Gathered(), Path("copy"))
    err = " ".join(capsys.readouterr().err.split())
    assert "The threshold of pneumothorax, -0.4463, also marks 95% of the patches of images without it" in err
    assert "threshold of edema" not in err
