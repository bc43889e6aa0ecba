"""`tier classify` from the command line to its output."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator
from xrays import write_dicom, write_png

from tier_cli.commands import options
from tier_cli.decoding.decode import Settings
from tier_cli.errors import InputError
from tier_cli.findings.load import builtin
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.model.engine import DEVICES, ENGINES

Tier = Callable[..., tuple[int, str, str]]
SECRETS = ("Doe", "Jane", "4711", "0815", "19500102", "20010203")


def _lines(out: str) -> list[dict[str, Any]]:
    schema = json.loads((files("tier_cli.results") / "result.schema.json").read_text(encoding="utf-8"))
    documents = [json.loads(line) for line in out.splitlines()]
    for document in documents:
        Draft202012Validator(schema).validate(document)
    return documents


def _kinds(documents: list[dict[str, Any]]) -> list[str | None]:
    return [document["error"] and document["error"]["kind"] for document in documents]


def test_pipe_gets_json_lines_by_the_schema_and_nothing_else(tier: Tier, model: str, folder: Path) -> None:
    code, out, err = tier("classify", folder, "--model", model)
    documents = _lines(out)
    assert code == 3
    assert [Path(document["path"]).name for document in documents] == [
        "a_pa",
        "b_lateral.dcm",
        "c_ct.dcm",
        "d.png",
    ]
    assert _kinds(documents) == [None, "view", "modality", None]
    assert err.splitlines()[:3] == [
        "Scored 2 of 4 files",
        "2 of 4 files could not be scored: other view (1), other modality (1)",
        "Skipped 1 file in folders: not an image (1)",
    ]
    first = documents[0]
    assert (first["study"], first["series"], first["instance"], first["view"]) == (
        "1.1",
        "1.1.1",
        "1.1.1.0",
        "PA",
    )
    assert [entry["finding"] for entry in first["findings"]] == list(builtin("chexpert5").ids)
    assert first["scoring"] == "cosine_difference"
    assert first["model"]["hashes"]["findings"] == builtin("chexpert5").hash
    assert all(entry["probability"] is None and entry["call"] is None for entry in first["findings"])
    assert any("calibration" in note for note in first["notes"])
    assert not [secret for secret in SECRETS if secret in out]


def test_success_prints_only_results_and_exits_with_0(tier: Tier, model: str, folder: Path) -> None:
    code, out, err = tier("classify", folder / "a_pa", "--model", model)
    assert (code, len(_lines(out))) == (0, 1)
    assert err.startswith("Scored 1 of 1 file\n")
    assert tier("classify", folder / "a_pa", "--model", model, "--quiet")[2] == ""


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_engines_agree(tier: Tier, model: str, folder: Path, engine: str) -> None:
    wanted = _lines(tier("classify", folder / "a_pa", "--model", model)[1])[0]
    found = _lines(
        tier("classify", folder / "a_pa", "--model", model, "--engine", engine, "--device", "cpu")[1]
    )[0]
    assert [f["score"] for f in found["findings"]] == pytest.approx(
        [f["score"] for f in wanted["findings"]], abs=1e-4
    )


def test_findings_views_and_accept_any(tier: Tier, model: str, folder: Path) -> None:
    chosen = ("--findings", "pneumothorax,rib fracture", "--views", "all", "--accept-any")
    code, out, _ = tier("classify", folder, "--model", model, *chosen)
    documents = _lines(out)
    assert (code, _kinds(documents)) == (0, [None] * 4)
    assert [entry["finding"] for entry in documents[1]["findings"]] == ["pneumothorax", "rib_fracture"]


def test_by_study_is_the_mean_of_its_images(tier: Tier, model: str, folder: Path) -> None:
    images = _lines(tier("classify", folder, "--model", model, "--views", "all")[1])
    code, out, _ = tier("classify", folder, "--model", model, "--views", "all", "--by", "study")
    documents = _lines(out)
    assert (code, _kinds(documents)) == (3, ["modality", None, None])
    assert [len(document["paths"]) for document in documents] == [1, 2, 1]
    for number, entry in enumerate(documents[1]["findings"]):
        both = [image["findings"][number]["score"] for image in images[:2]]
        assert entry["score"] == pytest.approx(np.mean(both), abs=2e-6)
    assert documents[2]["findings"] == images[3]["findings"]


def test_top(tier: Tier, model: str, folder: Path) -> None:
    every = _lines(tier("classify", folder / "d.png", "--model", model)[1])[0]["findings"]
    top = _lines(tier("classify", folder / "d.png", "--model", model, "--top", 2)[1])[0]["findings"]
    assert top == sorted(every, key=lambda entry: -entry["score"])[:2]


def test_windows_are_counted_from_one(tier: Tier, model: str, tmp_path: Path) -> None:
    windows = {"WindowCenter": ["100", "120"], "WindowWidth": ["200", "220"]}
    both = write_dicom(tmp_path / "both.dcm", **windows)  # type: ignore[arg-type]
    second = write_dicom(tmp_path / "second.dcm", WindowCenter="120", WindowWidth="220")
    picked = _lines(tier("classify", both, "--model", model, "--window", 2)[1])[0]
    assert picked["findings"] == _lines(tier("classify", second, "--model", model)[1])[0]["findings"]
    assert picked["findings"] != _lines(tier("classify", both, "--model", model)[1])[0]["findings"]


def test_list_on_stdin(tier: Tier, model: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.write(write, os.fsencode(folder) + b"/d.png\n" + os.fsencode(folder) + b"/no\xff.png\n")
    os.close(write)
    with open(read, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        code, out, _ = tier("classify", "-", "--model", model)
    assert (code, _kinds(_lines(out))) == (3, [None, "missing"])


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
def test_output_file(tier: Tier, model: str, folder: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    code, out, err = tier("classify", folder, "--model", model, "--output", path)
    assert (code, out) == (3, "")
    assert f"Scored 2 of 4 files; the results are in {path}\n" in err
    assert sorted(os.listdir(tmp_path)) == ["in", path.name]
    wanted = [
        entry["score"]
        for line in _lines(tier("classify", folder, "--model", model)[1])
        for entry in line["findings"]
    ]
    if ending in ("csv", "parquet"):
        table = pd.read_csv(path) if ending == "csv" else pd.read_parquet(path)
        assert table["score"].dropna().tolist() == wanted
        assert table["error_kind"].dropna().tolist() == ["view", "modality"]
        return
    lines = (
        [json.loads(line) for line in path.read_text().splitlines()]
        if ending == "jsonl"
        else json.loads(path.read_text())
    )
    assert [entry["score"] for line in lines for entry in line["findings"]] == wanted


def test_failure_midway_keeps_finished_results_in_the_journal(
    tier: Tier, model: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tier_cli.pipeline.image_scorer import ImageScorer

    score = ImageScorer.score

    def fails_later(self: ImageScorer, images: list[Any], size: int = 0) -> list[Any]:
        if "d.png" in images[0][0]:
            raise ValueError("Doe^Jane")
        return score(self, images, size)

    command = ("classify", folder, "--model", model, "--batch-size", 1, "-o", tmp_path / "x.json")
    with monkeypatch.context() as patch:
        patch.setattr(ImageScorer, "score", fails_later)
        code, out, err = tier(*command)
    assert (code, out) == (1, "")
    assert f"are in {tmp_path / 'x.json.journal'}; --resume goes on" in err
    assert "ValueError" in err
    assert "Doe" not in err
    assert sorted(os.listdir(tmp_path)) == ["in", "x.json.journal"]
    assert "3 files had been scored before" in tier(*command, "--resume")[2]
    assert len(json.loads((tmp_path / "x.json").read_text())) == 4


def test_wide(tier: Tier, model: str, folder: Path, tmp_path: Path) -> None:
    tier("classify", folder, "--model", model, "-o", tmp_path / "x.csv", "--wide")
    table = pd.read_csv(tmp_path / "x.csv")
    assert len(table) == 4
    assert set(builtin("chexpert5").ids) <= set(table.columns)


def test_fail_fast(tier: Tier, model: str, folder: Path) -> None:
    code, out, _ = tier("classify", folder, "--model", model, "--fail-fast")
    assert (code, _kinds(_lines(out))) == (3, [None, "view"])


def test_hashed_ids(tier: Tier, model: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIER_HASH_KEY", "key")
    _, out, _ = tier("classify", folder, "--model", model, "--hash-ids")
    again = tier("classify", folder, "--model", model, "--hash-ids")[1]
    assert out == again
    assert str(folder) not in out
    assert "1.1.1" not in out
    documents = _lines(out)
    assert len(documents[0]["path"]) == len(documents[0]["study"]) == 32
    monkeypatch.delenv("TIER_HASH_KEY")
    other = _lines(tier("classify", folder, "--model", model, "--hash-ids")[1])
    assert other[0]["study"] != documents[0]["study"]
    assert "TIER_HASH_KEY" in other[0]["notes"][-1]


def test_patient_data_only_on_request(tier: Tier, model: str, folder: Path) -> None:
    document = _lines(tier("classify", folder / "a_pa", "--model", model, "--include-phi")[1])[0]
    assert document["phi"]["patient_name"] == "Doe^Jane"
    assert document["phi"]["accession_number"] == "ACC0815"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument"),
        (("x", "--nope"), "--nope"),
        (("x", "--views", "side"), "frontal"),
        (("x", "--batch-size", "0"), "--batch-size"),
        (("x", "--window", "0"), "--window"),
        (("x", "--model", "nope"), "no model 'nope'"),
        (("x", "--output", "x.txt"), ".parquet"),
        (("x", "--output", "nowhere/x.csv"), "folder"),
        (("x", "--wide"), "--output FILE.csv"),
        (("x", "--wide", "--output", "x.json"), "no columns"),
        (("x", "--hash-ids", "--include-phi"), "contradict"),
        (("x", "--engine", "onnx", "--device", "cuda"), "--engine torch"),
        (("x", "--findings", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_wrong_usage(
    tier: Tier,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = arguments if not arguments or "--model" in arguments else (*arguments, "--model", model)
    code, out, err = tier("classify", *given)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == []


def test_no_images_says_what_was_looked_for(tier: Tier, model: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("no image")
    code, out, err = tier("classify", tmp_path, "--model", model)
    assert (code, out) == (2, "")
    assert str(tmp_path) in err
    assert "DICOM, PNG, JPEG or TIFF" in err
    assert err.count("\n") == 1


def test_empty_list_on_stdin(tier: Tier, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    code, out, err = tier("classify", "-", "--model", model)
    assert (code, out, err) == (2, "", "Error: -: the list on stdin is empty; write one path per line\n")


def test_missing_file_is_a_row_and_exit_3(tier: Tier, model: str, tmp_path: Path) -> None:
    code, out, _ = tier("classify", tmp_path / "none.dcm", "--model", model)
    assert (code, _kinds(_lines(out))) == (3, ["missing"])


def test_same_numbers_every_time(tier: Tier, model: str, folder: Path) -> None:
    runs = [
        tier("classify", folder, folder, "--model", model, "--workers", workers)[1] for workers in (0, 1, 2)
    ]
    assert runs[0] == runs[1] == runs[2]


def test_engine_and_device_names_match_the_library() -> None:
    assert tuple(options.EngineName) == ENGINES
    assert tuple(options.DeviceName) == DEVICES
    assert DEFAULT_MODEL == "tier-small"


def test_real_files(tier: Tier, model: str, shared: Path) -> None:
    code, out, _ = tier("classify", shared / "data" / "dicom", "--model", model)
    documents = _lines(out)
    scored = {Path(document["path"]).name for document in documents if document["error"] is None}
    chests = {"RG1_J2KI.dcm", "cxr_jpeg_mono1.dcm", "cxr_jpeg_mono2.dcm"}
    assert code == 3
    assert scored == chests | {f"nih_test{number}.dcm" for number in (1, 2, 3, 6)}
    assert all(document["error"]["message"] for document in documents if document["error"])


def test_tables_in_a_pipe_and_json_lines_on_request(tier: Tier, model: str, folder: Path) -> None:
    _, out, err = tier("classify", folder / "d.png", "--model", model, "--table")
    assert "Pleural effusion" in out
    assert "schema_version" not in out
    assert "--table" not in err
    _, out, err = tier("classify", folder / "d.png", "--model", model, "--output", "-")
    assert len(_lines(out)) == 1
    assert "--table" not in err
    code, _, err = tier("classify", folder / "d.png", "--model", model, "--table", "-o", folder / "x.csv")
    assert (code, "--table" in err) == (2, True)


def test_dry_run_says_what_would_be_done_and_writes_nothing(
    tier: Tier, model: str, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "x.csv"
    code, out, _ = tier("classify", folder, "--model", model, "--dry-run", "--output", output)
    assert code == 0
    assert not output.exists()
    lines = dict(line.split(": ", 1) for line in out.splitlines())
    assert lines["Files to read"] == "4"
    assert lines["Skipped 1 file in folders"] == "not an image (1)"
    assert lines["Model"].startswith("tiny (")
    assert lines["Results"] == str(output)
    assert lines["Time"].startswith("about ")


def test_verbose_names_the_model_and_what_is_passed_over(tier: Tier, model: str, folder: Path) -> None:
    _, _, err = tier("classify", folder, "--model", model, "--verbose")
    assert "Model tiny: " in err
    assert f"{folder / 'notes.txt'}: skipped (not an image)" in err
    _, _, err = tier("classify", folder, "--model", model, "--verbose", "--hash-ids")
    assert str(folder) not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "onx"), "did you mean onnx?"),
        (("--model", "tier-smal"), "did you mean tier-small?"),
        (("--findings", "chexpert-5"), "did you mean chexpert5?"),
    ],
)
def test_names_with_a_slip_get_a_proposal(
    tier: Tier, model: str, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    given = arguments if "--model" in arguments else (*arguments, "--model", model)
    code, out, err = tier("classify", folder, *given)
    assert (code, out) == (2, "")
    assert said in err


def test_a_spreadsheet_runs_no_cell_of_a_table(
    tier: Tier, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths are chosen by others; numbers stay numbers, and our own reader gives the path back."""
    from tier_cli.datasets.csv_file import read_rows

    monkeypatch.chdir(tmp_path)
    names = ["=cmd.png", "+a.png", "@b.png", "plain.png"]
    for number, name in enumerate(names):
        write_png(Path(name), number)
    (tmp_path / "list.txt").write_text("\n".join(names))
    for form in ((), ("--wide",)):
        assert tier("classify", "list.txt", "--model", model, "-o", "x.csv", *form)[0] == 0
        table = pd.read_csv("x.csv", dtype=str)
        assert list(dict.fromkeys(table["path"])) == ["'=cmd.png", "'+a.png", "'@b.png", "plain.png"]
        numbers = table["score"] if not form else table["edema"]
        assert numbers.astype(float).notna().all()
        header, rows = read_rows(Path("x.csv"))
        assert list(dict.fromkeys(row[header.index("path")] for row in rows)) == names


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--output", "{out}")])
def test_a_misspelt_finding_is_said_on_the_screen(
    tier: Tier, model: str, folder: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    given = [one.format(out=tmp_path / "scores.csv") for one in arguments]
    _, out, err = tier("classify", folder, "--model", model, "--findings", "effusoin", *given)
    said = out if "--dry-run" in arguments else err
    assert "Note: 'effusoin' is not a known finding (did you mean Effusion?)" in said


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--memory-per-file", "lots", "500MB or 2GB"),
        ("--memory-per-file", "5MB", "too little"),
        ("--timeout-per-file", "0", "--timeout-per-file"),
    ],
)
def test_limits_that_no_file_could_keep_are_refused(
    tier: Tier, folder: Path, option: str, value: str, words: str
) -> None:
    code, _, err = tier("classify", folder, option, value)
    assert code == 2
    assert words in err


@pytest.mark.parametrize("command", ["classify", "embed"])
def test_limits_reach_the_reader(
    tier: Tier, model: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    seen = []

    def recording(path: str, settings: Settings) -> InputError:
        seen.append((settings.read.timeout, settings.read.memory))
        return InputError("not read")

    monkeypatch.setattr("tier_cli.decoding.prefetch.decode", recording)
    limits = ["--timeout-per-file", "5", "--memory-per-file", "1.5GB", "--workers", "0"]
    tier(
        command,
        folder / "d.png",
        "--model",
        model,
        "--output",
        tmp_path / ("out.csv" if command == "classify" else "out.npz"),
        *limits,
    )
    assert seen == [(5.0, 1_500_000_000)]
