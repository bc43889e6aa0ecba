"""The section `grounding` for files and a manifest with boxes, with a model that finds bright spots."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.display.grounding_table import show_grounding
from tier_cli.errors import CheckpointError, ManifestError
from tier_cli.evaluation.fitted_on import images_of
from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.sections.grounding import grounding_section
from tier_cli.evaluation.sections.grounding_protocols import PROTOCOLS
from tier_cli.evaluation.selection import select
from tier_cli.evaluation.truth import Labelled
from tier_cli.findings.schema import Finding, FindingSet
from tier_cli.findings.vectors import FindingVectors
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.maps.scale import MAP_SCALE, write_map_scale
from tier_cli.pipeline.scorer import Scorer
from tier_cli.pipeline.scoring_job import ScoringJob
from tier_cli.pipeline.stream import StreamOptions
from tier_cli.progress import no_progress

FINDINGS = FindingSet(
    "two", tuple(Finding(name, name, (f"{name} spot",), (name,), ("no",)) for name in ("bright", "dark"))
)
BRIGHT, DARK = np.array([1, 0], np.float32), np.array([0, 1], np.float32)


class Eye:
    """A model whose 4 x 4 patches are (brightness, darkness); the phrase `shadow` means dark."""

    device = "cpu"

    def patches(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Return patches (N, 16, 2)."""
        cells = pixels[:, 0].reshape(len(pixels), 4, 8, 4, 8).mean(axis=(2, 4)).reshape(len(pixels), 16)
        return np.stack([cells, 1 - cells], axis=2), (4, 4)

    def embed_texts(self, texts: Any) -> NDArray[np.float32]:
        """Return one unit vector per text."""
        return np.stack([DARK if text == "shadow" else BRIGHT for text in texts])


def _evaluation(manifest: Manifest, engine: Any = None, patch_note: str = "") -> Any:
    checkpoint = SimpleNamespace(
        preprocessing=Preprocessing(resize_short=None, crop=32, mean=(0, 0, 0), std=(1, 1, 1)),
        scoring="cosine_difference",
        patch_note=patch_note,
    )
    vectors = FindingVectors(np.stack([BRIGHT, DARK]), np.stack([DARK, BRIGHT]))
    job = ScoringJob((Scorer(checkpoint, engine or Eye(), vectors),), FINDINGS)  # type: ignore[arg-type]
    return SimpleNamespace(
        job=job,
        selection=SimpleNamespace(manifest=manifest),
        options=StreamOptions(workers=0),
        protocol=SimpleNamespace(resampling=Resampling(30)),
        progress=no_progress,
    )


def _manifest(folder: Path, rows: list[tuple[str, list[dict[str, Any]]]]) -> Manifest:
    """Write rows of (name, boxes); each name is the position of a bright square of 16 px in 64 x 128."""
    lines = ["path\tpatient\tboxes"]
    for number, (name, boxes) in enumerate(rows):
        x, y = map(int, name.split("-"))
        # Not one grey level, and no stripes: such pictures would be refused. Every patch has the same mean.
        pixels = (np.add.outer(3 * np.arange(64), 5 * np.arange(128)) % 16 * 2 + 45).astype(np.uint8)
        pixels[y : y + 16, x : x + 16] = 255
        Image.fromarray(pixels).save(folder / f"{number}.png")
        cell = json.dumps(boxes).replace('"', '""') if boxes else ""
        lines.append(f'{number}.png\tp{number // 2}\t"{cell}"')
    (folder / "manifest.csv").write_text("\n".join(lines))
    return read_manifest(folder / "manifest.csv")


def _box(finding: str, x: int, y: int, **more: Any) -> dict[str, Any]:
    return {"finding": finding, "box": [x, y, x + 16, y + 16], **more}


def _made(evaluation: Any, protocols: tuple[str, ...] = ()) -> dict[str, Any]:
    content = grounding_section(protocols).measure(evaluation)
    assert content is not None
    json.dumps(content, allow_nan=False)
    return content


PLACES = [(32, 0), (48, 16), (80, 48), (64, 32)]


def test_a_model_that_looks_at_the_right_place_hits_it_every_time(tmp_path: Path) -> None:
    rows = [(f"{x}-{y}", [_box("Bright spot", x, y)]) for x, y in PLACES]
    content = _made(_evaluation(_manifest(tmp_path, rows)))
    (row,) = content["findings"]
    assert (row["finding"], row["cases"], row["patients"]) == ("bright", 4, 2)
    assert row["pointing"] == {"value": 1, "low": 1, "high": 1}
    assert row["auc"]["value"] > 0.99
    assert row["iou_best"]["value"] > 0.9
    assert row["pointing_random"]["value"] == pytest.approx(1 / 16)
    assert row["iou_view"]["value"] == pytest.approx(1 / 16)
    assert row["pointing_over_random"]["low"] > 0
    assert row["pointing_usual"]["value"] == 0, "each patient has it elsewhere"
    assert row["dice"]["value"] > 0.9
    assert row["dice_usual"]["value"] < 0.3, "no place is usual"
    assert row["dice_view"]["value"] == pytest.approx(2 / 17)
    assert row["threshold_chosen_by"] == "other_half"
    assert "other half" in content["threshold_source"]


@pytest.mark.parametrize("shift", [(-32, 0), (16, 0), (0, 16)])
def test_a_model_that_looks_elsewhere_misses(tmp_path: Path, shift: tuple[int, int]) -> None:
    """Boxes off by a patch, and by the cropped width: an affine that ignored the crop would hit these."""
    places = [(48, 0), (64, 16), (64, 32)]
    rows = [(f"{x}-{y}", [_box("bright", x + shift[0], y + shift[1])]) for x, y in places]
    (row,) = _made(_evaluation(_manifest(tmp_path, rows)))["findings"]
    assert row["pointing"]["value"] == 0


def test_a_region_that_is_cropped_away_is_counted_and_missed(tmp_path: Path) -> None:
    rows = [("48-16", [_box("bright", 48, 16)]), ("64-16", [_box("bright", 0, 16)])]
    content = _made(_evaluation(_manifest(tmp_path, rows)))
    assert content["outside_view"] == 1
    assert content["findings"][0]["pointing"]["value"] == 0.5
    assert content["findings"][0]["auc"]["value"] > 0.99, "of the region that can be seen"


def test_boxes_of_one_finding_are_one_case_and_phrases_are_their_own(tmp_path: Path) -> None:
    boxes = [
        _box("bright", 48, 16),
        _box("bright", 64, 32),
        _box("dark", 48, 16, text="shadow"),
        _box("bright", 48, 16, text="a spot"),
    ]
    content = _made(_evaluation(_manifest(tmp_path, [("48-16", boxes)])))
    rows = {(row["finding"], row["similarity"]): row for row in content["findings"]}
    assert set(rows) == {("bright", "difference"), ("bright", "phrase"), ("dark", "phrase")}
    assert rows["bright", "difference"]["pointing_random"]["value"] == pytest.approx(2 / 16)
    assert rows["bright", "phrase"]["pointing"]["value"] == 1
    assert rows["dark", "phrase"]["auc"]["value"] < 0.01, "the phrase is looked for, not the finding"
    assert content["fixed_thresholds"] == {"difference": [0.0], "phrase": [0.1, 0.2, 0.3, 0.4, 0.5]}
    assert rows["bright", "difference"]["iou_best"]["value"] is None, "one patient cannot be halved"


def test_boxes_may_refer_to_another_size(tmp_path: Path) -> None:
    box = {"finding": "bright", "box": [480, 160, 640, 320], "size": [640, 1280]}
    (row,) = _made(_evaluation(_manifest(tmp_path, [("48-16", [box])])))["findings"]
    assert row["pointing"]["value"] == 1
    assert row["auc"]["value"] > 0.99


def test_unusable_regions_are_counted_and_noted(tmp_path: Path) -> None:
    rows = [("48-16", [_box("bright", 48, 16)]), ("48-16", [_box("bright", 48, 16), _box("fracture", 0, 0)])]
    manifest = _manifest(tmp_path, rows)
    (tmp_path / "1.png").unlink()
    content = _made(_evaluation(manifest))
    assert content["cases"] == 1
    assert content["notes"] == [
        "1 regions of fracture left out: not a finding of the set",
        "1 left out: missing",
    ]


@pytest.mark.parametrize("exif_orientation", range(1, 9))
def test_regions_are_found_in_files_that_are_displayed_turned(tmp_path: Path, exif_orientation: int) -> None:
    """Boxes are in the file's pixels; on the turned picture they would be misplaced."""
    manifest = _manifest(tmp_path, [("80-0", [_box("bright", 80, 0)]), ("32-48", [_box("bright", 32, 48)])])
    for name in ("0.png", "1.png"):
        with Image.open(tmp_path / name) as picture:
            exif = picture.getexif()
            exif[0x0112] = exif_orientation
            picture.save(tmp_path / name, exif=exif)
    content = _made(_evaluation(manifest))
    assert (content["cases"], content["notes"], content["outside_view"]) == (2, [], 0)
    assert content["findings"][0]["pointing"]["value"] == 1


def test_numbers_of_patches_that_were_not_trained_for_it_say_so(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, [("48-16", [_box("bright", 48, 16)])])
    content = _made(_evaluation(manifest, patch_note="patches were not trained for maps"))
    assert content["notes"] == ["patches were not trained for maps"]


def test_without_regions_or_patches_the_other_numbers_are_not_lost(tmp_path: Path) -> None:
    class Blind(Eye):
        def patches(self, pixels: NDArray[np.float32]) -> Any:
            raise CheckpointError("its image tower has no grid of patches")

    bare = _made(_evaluation(_manifest(tmp_path, [("48-16", [])])))
    blind = _made(_evaluation(_manifest(tmp_path, [("48-16", [_box("bright", 48, 16)])]), Blind()))
    for content, message in ((bare, "nothing to measure"), (blind, "no grid of patches")):
        text = io.StringIO()
        show_grounding(content, Console(file=text, width=80))
        assert content["findings"] == []
        assert message in text.getvalue()


def test_a_cell_that_is_no_list_of_boxes_is_an_error(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, [("48-16", [{"finding": "bright", "box": [1, 2]}])])
    with pytest.raises(ManifestError, match=r"column 'boxes', image .*0\.png"):
        _made(_evaluation(manifest))


def test_published_protocols_agree_that_a_perfect_map_is_perfect(tmp_path: Path) -> None:
    rows = [(f"{x}-{y}", [_box("bright", x, y)]) for x, y in PLACES]
    content = _made(_evaluation(_manifest(tmp_path, rows)), tuple(PROTOCOLS))
    assert [one["name"] for one in content["protocols"]] == list(PROTOCOLS)
    radzero, carzero, chexlocalize = (one["findings"][0] for one in content["protocols"])
    for hits in (radzero["pointing"], carzero["pointing"], chexlocalize["hit_rate"]):
        assert hits == {"value": 1, "low": 1, "high": 1}
    assert [one["pooled"] for one in content["protocols"]] == [
        {name: one["findings"][0][name] for name in one["measures"]} for one in content["protocols"]
    ], "there is one finding"
    # A bilinear peak above a square of one patch.
    assert chexlocalize["miou_otsu"]["value"] > 0.4
    assert radzero["dice"]["value"] > 0.7
    assert chexlocalize["thresholds"]["miou_tuned"] == [pytest.approx(0.5, abs=0.2)] * 2
    assert "protocols" not in _made(_evaluation(_manifest(tmp_path, rows)))


class TestStoredThresholds:
    """A checkpoint with a scale of maps is measured at its thresholds, unless they saw these images."""

    @staticmethod
    def _evaluation(folder: Path, manifest: Manifest, fitted_on: dict[str, Any]) -> Any:
        evaluation = _evaluation(manifest)
        checkpoint = evaluation.job.members[0].checkpoint
        checkpoint.path, checkpoint.hashes = folder, {"weights": "w", "preprocessing": "p"}
        known = {"bright": {"threshold": 0.75, "chosen_by": "images_without"}}
        ranges = {kind: [-1, 1] for kind in ("difference", "positive", "phrase")}
        content = {"ranges": ranges, "thresholds": {FINDINGS.hash: known}, "fitted_on": fitted_on}
        write_map_scale(folder, checkpoint, content)
        evaluation.selection = select(manifest, "all", (), frontal_only=False)
        evaluation.truth = Labelled((), np.zeros((len(manifest), 0)), manifest.patients())
        evaluation.protocol.dataset = "csv"
        return evaluation

    def test_they_are_used_and_named(self, tmp_path: Path) -> None:
        rows = [(f"{x}-{y}", [_box("bright", x, y), _box("dark", 0, 0)]) for x, y in PLACES]
        fitted_on = {"data": "other.csv", "split": "valid"}
        content = _made(self._evaluation(tmp_path, _manifest(tmp_path, rows), fitted_on))
        bright, dark = content["findings"]
        assert (bright["thresholds"], bright["threshold_chosen_by"]) == ([0.75], "images_without")
        assert bright["dice"]["value"] > 0.9
        assert dark["threshold_chosen_by"] == "other_half", "none is stored"
        assert content["threshold_source"].startswith("the checkpoint's own, from other.csv, split valid; ")

    def test_they_are_not_used_on_the_images_that_they_were_chosen_on(self, tmp_path: Path) -> None:
        rows = [(f"{x}-{y}", [_box("bright", x, y)]) for x, y in PLACES]
        manifest = _manifest(tmp_path, rows)
        selection = select(manifest, "all", (), frontal_only=False)
        truth = Labelled((), np.zeros((len(manifest), 0)), manifest.patients())
        fitted_on = images_of(selection, truth, None, "csv").to_dict()
        content = _made(self._evaluation(tmp_path, manifest, {**fitted_on, "data": "these.csv"}))
        assert content["findings"][0]["threshold_chosen_by"] == "other_half"
        assert any("chosen on the evaluated images (these.csv" in note for note in content["notes"])

    def test_a_file_that_is_not_valid_does_not_lose_the_numbers(self, tmp_path: Path) -> None:
        manifest = _manifest(tmp_path, [(f"{x}-{y}", [_box("bright", x, y)]) for x, y in PLACES])
        evaluation = self._evaluation(tmp_path, manifest, {})
        path = tmp_path / MAP_SCALE
        path.write_text(path.read_text(encoding="utf-8").replace("0.75", '"high"'), encoding="utf-8")
        content = _made(evaluation)
        assert content["findings"][0]["dice"]["value"] > 0.9
        assert any("not a valid scale of maps" in note for note in content["notes"])


def test_tables_fit_a_terminal(tmp_path: Path) -> None:
    rows = [(f"{x}-{y}", [_box("bright", x, y), _box("dark", 0, 0)]) for x, y in PLACES]
    text = io.StringIO()
    content = _made(_evaluation(_manifest(tmp_path, rows)), tuple(PROTOCOLS))
    show_grounding(content, Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("As published by") for line in lines) == 3
    assert any("cropped away, counted as misses: 4" in line for line in lines)
    assert not any("…" in line for line in lines)
