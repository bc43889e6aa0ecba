"""The selection of rows, their labels, and the report."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.display.evaluation_table import show, show_notes
from tier_cli.errors import ManifestError, UsageError
from tier_cli.evaluation.build import _smallest_p, build_report
from tier_cli.evaluation.context import Evaluation
from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.protocol import Protocol
from tier_cli.evaluation.report import Report, check_output, write_report
from tier_cli.evaluation.scores import Scores, Unscored
from tier_cli.evaluation.selection import Selection, select
from tier_cli.evaluation.truth import labelled
from tier_cli.evaluation.unit_scores import combine_scores
from tier_cli.findings.load import builtin, load_findings
from tier_cli.findings.schema import FindingSet
from tier_cli.pipeline.stream import StreamOptions

FINDINGS = load_findings("pneumothorax,pleural effusion,hernia")


def _manifest(folder: Path, text: str) -> Manifest:
    path = folder / "manifest.csv"
    path.write_text(text)
    return read_manifest(path)


def _report(folder: Path, sets: int = 1) -> Report:
    rng = np.random.default_rng(0)
    lines = ["path,patient,source,pneumothorax,effusion"]
    lines += [
        f"{n}.png,p{n // 2},{'ab'[n % 2]},{int(rng.integers(2))},{['', '-1', '0', '1'][n % 4]}"
        for n in range(40)
    ]
    selection = select(_manifest(folder, "\n".join(lines)), None, [], True, ["source"])
    values = rng.normal(size=(sets, 40, 3))
    values[0, 0] = np.nan
    scores = [
        Scores(
            f"set{number}", FINDINGS.ids, one, (Unscored("0.png", "missing", "no such file"),) * (not number)
        )
        for number, one in enumerate(values)
    ]
    return _built(selection, scores, 20, ["source"])


def _built(
    selection: Selection,
    scores: list[Scores],
    replicates: int,
    by: list[str],
    findings: FindingSet = FINDINGS,
) -> Report:
    selection, truth = labelled(selection, findings, "ignore")
    protocol = Protocol(
        data="m.csv",
        dataset="csv",
        split="all",
        images=len(selection.manifest),
        views="frontal",
        excluded=(),
        uncertain="ignore",
        finding_set={},
        models=(None,) * len(scores),
        scoring="",
        resampling=Resampling(replicates),
    )
    evaluation = Evaluation(
        findings=findings,
        selection=selection,
        truth=truth.by_image,
        scores=tuple(scores),
        units=truth.units,
        by_unit=truth.by_unit,
        unit_scores=tuple(combine_scores(one, truth)[0] for one in scores),
        protocol=protocol,
        job=None,
        options=StreamOptions(),
    )
    return build_report(evaluation, by)


@pytest.mark.parametrize(
    ("splits", "chosen", "rows"),
    [(("train", "valid", "test"), "test", 1), (("train", "Valid", ""), "valid", 1), (("", "", ""), "all", 3)],
)
def test_default_split(tmp_path: Path, splits: tuple[str, ...], chosen: str, rows: int) -> None:
    text = "path,split\n" + "".join(f"{n}.png,{split}\n" for n, split in enumerate(splits))
    selection = select(_manifest(tmp_path, text), None, [], True)
    assert (selection.split, len(selection.manifest)) == (chosen, rows)
    assert len(select(_manifest(tmp_path, text), "all", [], True).manifest) == 3


def test_rows_are_excluded_and_laterals_left_out_with_a_note(tmp_path: Path) -> None:
    manifest = _manifest(
        tmp_path,
        "path,patient,view,contradicted\na.png,1,PA,1\nb.png,1,AP,0\nc.png,2,LATERAL,0\nd.png,2,,\n",
    )
    selection = select(manifest, None, [("contradicted", "1")], True)
    assert [Path(path).name for path in selection.manifest.paths] == ["b.png", "d.png"]
    assert selection.notes == (
        "images excluded by contradicted=1: 1 of 4",
        "lateral and oblique images left out: 1; include them with --views all",
    )
    assert len(select(manifest, None, [], False).manifest) == 4


def test_patients_are_counted_among_the_rows_that_are_measured(tmp_path: Path) -> None:
    """Rows without a patient are counted among the evaluated rows, not in the whole table."""
    text = "path,patient,split\na.png,,train\nb.png,,train\nc.png,1,test\nd.png,2,test\ne.png,,valid\n"
    manifest = _manifest(tmp_path, text)
    assert select(manifest, None, [], True).notes == ()
    assert select(manifest, "valid", [], True).notes[0].startswith("1 of 1 images have no patient")
    assert select(manifest, "all", [], True).notes[0].startswith("3 of 5 images have no patient")


def test_measuring_training_rows_is_noted(tmp_path: Path) -> None:
    """If no split is called test, the default includes training images, whose numbers are too high."""
    manifest = _manifest(
        tmp_path, "path,patient,split\na.png,1,Train\nb.png,2,train\nc.png,3,holdout\nd.png,4,\n"
    )
    assert select(manifest, None, [], True).notes == (
        "no split is called test or valid, so all rows were evaluated, including 2 of split train; "
        "choose a split with --split, e.g. holdout",
    )
    assert select(manifest, "all", [], True).notes == ()
    assert select(manifest, "holdout", [], True).notes == ()
    assert select(manifest, None, [("split", "train")], True).notes[-1].startswith("images excluded by split")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\na.png\na.png\n", "appear in more than one row"),
        ("path,view\na.png,LATERAL\n", "no image is left"),
        ("path,site\n" + "".join(f"{n}.png,{n}\n" for n in range(40)), "40 different values"),
    ],
)
def test_invalid_selections_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        select(_manifest(tmp_path, text), None, [], True, ["site"] if "site" in text else [])


def test_findings_without_a_column_are_named_and_left_out(tmp_path: Path) -> None:
    report = _report(tmp_path)
    assert [row.finding for row in report.measured[0].rows] == ["pneumothorax", "pleural_effusion"]
    assert "no label column for hernia" in report.notes
    assert "uncertain labels (-1) left out: 10" in report.notes


def test_no_label_at_all_is_an_error(tmp_path: Path) -> None:
    selection = select(_manifest(tmp_path, "path,fracture\na.png,1\n"), None, [], True)
    with pytest.raises(ManifestError, match="no column is a finding"):
        labelled(selection, FINDINGS, "ignore")


def test_images_without_any_label_are_left_out(tmp_path: Path) -> None:
    text = "path,hernia,effusion\na.png,1,\nb.png,,\nc.png,-1,\nd.png,0,-1\n"
    selection, truth = labelled(select(_manifest(tmp_path, text), None, [], True), FINDINGS, "ignore")
    assert [Path(path).name for path in selection.manifest.paths] == ["a.png", "d.png"]
    assert len(truth.by_unit.patients) == 2
    assert "images without labels left out: 2" in selection.notes
    blank = select(_manifest(tmp_path, "path,hernia\na.png,\nb.png,-1\n"), None, [], True)
    with pytest.raises(ManifestError, match="every label of split all is blank"):
        labelled(blank, FINDINGS, "ignore")


def test_blanks_and_uncertain_labels_are_never_negatives(tmp_path: Path) -> None:
    report = _report(tmp_path)
    effusion = report.measured[0].rows[1]
    # Ten rows each of blank, -1, 0 and 1; the first, which is blank, has no score.
    assert (effusion.n, effusion.positives) == (20, 10)


def test_documents_hold_the_same_numbers(tmp_path: Path) -> None:
    report = _report(tmp_path, sets=2)
    document = json.loads(report.to_json())
    assert [one["name"] for one in document["scores"]] == ["set0", "set1"]
    assert document["differences"][0]["name"] == "set0 minus set1"
    assert document["unscored"] == [{"path": "0.png", "kind": "missing", "message": "no such file"}]
    assert document["interval"]["replicates"] == 20
    assert {(group["by"], group["value"]) for group in document["groups"]} == {
        ("source", "a"),
        ("source", "b"),
    }
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    first = document["scores"][0]["findings"][0]
    assert rows[0]["finding"] == first["finding"]
    assert float(rows[0]["auc_low"]) == first["auc"]["low"]
    assert len(rows) == 3 * 3 + 2 * 2 * 3
    difference = document["differences"][0]["findings"][0]["auc"]["value"]
    values = [one["findings"][0]["auc"]["value"] for one in document["scores"]]
    assert difference == pytest.approx(values[0] - values[1], abs=2e-6)


def test_the_mean_without_labels_that_are_not_findings_is_also_given(tmp_path: Path) -> None:
    """The mean over PadChest's labels is reported with and without `normal` and `unchanged`."""
    from rich.console import Console

    findings = load_findings("nodule,bullas,normal", builtin("padchest57"))
    rng = np.random.default_rng(0)
    lines = [f"{n}.png,{int(rng.integers(2))},{n % 2},{int(n > 9)}" for n in range(20)]
    selection = select(_manifest(tmp_path, "\n".join(["path,nodule,bullas,normal", *lines])), None, [], True)
    scores = [Scores(name, findings.ids, rng.normal(size=(20, 3))) for name in ("one", "two")]
    report = _built(selection, scores, 20, [], findings)
    first = json.loads(report.to_json())["scores"][0]
    assert (first["macro"]["findings"], first["macro_without"]["auc"]["findings"]) == (3, 2)
    assert first["macro_without"]["left_out"] == ["normal"]
    areas = [row["auc"]["value"] for row in first["findings"]]
    assert first["macro_without"]["auc"]["value"] == pytest.approx(np.mean(areas[:2]), abs=2e-6)
    text = io.StringIO()
    show(report, {}, Console(file=text, width=120))
    # Of either score set, and of the difference in AUC and in AUPRC.
    assert text.getvalue().count("mean of 2, without normal") == 4


def test_two_score_sets_are_measured_on_the_same_images(tmp_path: Path) -> None:
    report = _report(tmp_path, sets=2)
    assert [one.n for one in report.measured] == [39, 39]


def test_resamplings_too_few_for_a_corrected_p_value_are_reported(tmp_path: Path) -> None:
    report = _report(tmp_path, sets=2)
    assert not any("corrected p value" in note for note in report.notes)
    (difference,) = report.differences
    counted = replace(difference, macro={**difference.macro, "mcc": difference.macro["auc"]})
    (note,) = _smallest_p(counted, Resampling(20))
    assert note.endswith("no corrected p value of MCC can be below 0.19; use --replicates 80 or more")
    assert _smallest_p(counted, Resampling(80)) == []


def test_one_class_is_null_not_zero(tmp_path: Path) -> None:
    selection = select(_manifest(tmp_path, "path,hernia\na.png,0\nb.png,0\n"), None, [], True)
    report = _built(selection, [Scores("s", FINDINGS.ids, np.ones((2, 3)))], 5, [])
    document = json.loads(report.to_json())["scores"][0]
    assert document["findings"][0]["auc"] == {"value": None, "low": None, "high": None, "replicates": 0}
    assert document["macro"]["findings"] == 0


def test_tables_list_missing_scores_and_escape_markup(tmp_path: Path) -> None:
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, width=100)
    report = _report(tmp_path, sets=2)
    show(report, {"pneumothorax": "[red]Pneumothorax"}, console)
    show_notes(report, console)
    shown = text.getvalue()
    assert "[red]Pneumothorax" in shown
    assert "set0 minus set1: 39 images of 20 patients" in shown
    assert "set0: by source" in shown
    assert "? = group too small" in shown
    assert "mean of 2" in shown
    assert "1 of 40 images have no scores and do not count" in shown
    assert "0.png: no such file" in shown


@pytest.mark.parametrize("name", ["report.html", "absent/report.json", "folder.json"])
def test_outputs_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(UsageError):
        check_output(str(tmp_path / name))


def test_output_is_complete_or_absent(tmp_path: Path) -> None:
    report = _report(tmp_path)
    for name in ("report.json", "report.csv"):
        write_report(report, str(tmp_path / name))
    assert json.loads((tmp_path / "report.json").read_text()) == report.to_dict()
    assert (tmp_path / "report.csv").read_text() == report.to_csv()
    assert not list(tmp_path.glob(".*partial"))
