"""A calibration is not evaluated on the images it was fitted on, however the two runs selected them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tier_cli.datasets.manifest import read_manifest
from tier_cli.evaluation.fitted_on import Images, Overlap, images_of
from tier_cli.evaluation.selection import select
from tier_cli.evaluation.truth import labelled
from tier_cli.findings.load import load_findings

ROWS = "".join(f"{n}.png,p{n},{['valid', 'test'][n % 2]},{n % 5},{n % 3 // 2},{n % 2}\n" for n in range(20))


def _images(folder: Path, split: str = "all", exclude: tuple[str, str] | None = None, **more: str) -> Images:
    text = "path,patient,split,fold,pneumothorax,hernia\n" + more.pop("rows", ROWS)
    (folder / "manifest.csv").write_text(text)
    manifest = read_manifest(folder / "manifest.csv")
    findings = load_findings(more.pop("findings", "pneumothorax"))
    chosen = select(manifest, split, [exclude] if exclude else [], True)
    chosen, truth = labelled(chosen, findings, "ignore")
    dataset = more.pop("dataset", "csv")
    data = folder / "manifest.csv" if dataset == "csv" else None
    return images_of(chosen, truth.by_image, data, dataset)


@pytest.mark.parametrize(
    ("fitted", "judged", "overlap"),
    [
        ({"split": "valid"}, {"split": "test"}, Overlap.NONE),
        ({"split": "test"}, {"split": "test"}, Overlap.SURE),
        ({"split": "all"}, {"split": "test"}, Overlap.SURE),
        ({"split": "Test"}, {"split": "test", "findings": "hernia"}, Overlap.SURE),
        ({"exclude": ("fold", "1")}, {"exclude": ("fold", "2")}, Overlap.POSSIBLE),
        ({}, {"rows": ROWS.replace(".png", ".dcm")}, Overlap.NONE),
    ],
)
def test_rows_of_one_table(tmp_path: Path, fitted: dict, judged: dict, overlap: Overlap) -> None:  # type: ignore[type-arg]
    known = _images(tmp_path, **fitted).to_dict()
    assert _images(tmp_path, **judged).overlap(known) is overlap


def test_a_public_data_set_is_known_by_its_name_whatever_part_of_it_was_read(tmp_path: Path) -> None:
    fitted = _images(tmp_path, "valid", dataset="nih14", rows=ROWS.replace("test", "valid")).to_dict()
    fitted["table_sha256"] = "of other rows"
    judged = _images(tmp_path, "test", dataset="nih14")
    assert judged.overlap(fitted | {"split": "test"}) is Overlap.SURE
    assert judged.overlap(fitted | {"split": "train"}) is Overlap.NONE
    assert judged.overlap({**fitted, "split": "test", "dataset": "vindr"}) is Overlap.NONE


def test_the_record_in_a_checkpoint_names_no_folder_and_no_patient(tmp_path: Path) -> None:
    text = str(_images(tmp_path).to_dict())
    assert str(tmp_path) not in text
    assert "p1" not in text
