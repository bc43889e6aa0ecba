"""`tier eval` from the command line, on phantoms and a tiny checkpoint with random weights."""

from __future__ import annotations

import csv
import json
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import typer
from sklearn.metrics import roc_auc_score
from tiny import tiny_checkpoint
from typer.testing import CliRunner, Result

from tier_cli.commands.evaluate.command import evaluate
from tier_cli.errors import ManifestError, UsageError
from tier_cli.phantom.image_files import write_dicom, write_png
from tier_cli.phantom.render import make_phantom

IMAGES = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of phantoms: PNG and DICOM, blanks, one uncertain label."""
    folder = tmp_path_factory.mktemp("data")
    rows = ["path,patient,source,split,contradicted,Pleural Effusion,Cardiomegaly,scanner"]
    for number in range(IMAGES):
        sick = number % 3 == 0
        phantom = make_phantom(number, ["effusion"] if sick else [], (72, 72))
        name = f"{number:02}.{'dcm' if number % 2 else 'png'}"
        (write_dicom if number % 2 else write_png)(folder / name, phantom)
        cardiomegaly = "-1" if number == 1 else ""
        rows.append(
            f"{name},p{number // 2},{'ab'[number % 2]},test,{int(number == 3)},{int(sick)},{cardiomegaly},x"
        )
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


def _run(*arguments: str | Path) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(evaluate)
    options = ["--replicates", "20", "--workers", "0", "--device", "cpu"]
    return CliRunner().invoke(app, [*map(str, arguments), *options])


def _done(result: Result, code: int = 0) -> dict:  # type: ignore[type-arg]
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout) if result.stdout else {}


def _scores_from_classify(model: str, data: Path, file: Path) -> dict[str, float]:
    """Return and write the pleural effusion scores of `tier classify`'s pipeline, by file name."""
    from tier_cli.imaging.discover import Source
    from tier_cli.pipeline.scoring_job import open_job
    from tier_cli.pipeline.stream import StreamOptions

    job = open_job(model, None, "auto", "cpu")
    paths = sorted(str(path) for path in data.parent.iterdir() if path.suffix in (".png", ".dcm"))
    results = job.classify((Source(path) for path in paths), StreamOptions(workers=0))
    scores = {
        Path(result.paths[0]).name: next(s.score for s in result.findings if s.finding == "pleural_effusion")
        for result in results
    }
    rows = "".join(f"{name},{score!r}\n" for name, score in scores.items())
    file.write_text("path,pleural_effusion\n" + rows)
    return scores


def test_numbers_are_those_of_classify(model: str, data: Path, tmp_path: Path) -> None:
    document = _done(_run("--data", data, "--model", model, "--by", "source"))
    scores = _scores_from_classify(model, data, tmp_path / "scores.csv")
    labels = [number % 3 == 0 for number in range(IMAGES)]
    expected = roc_auc_score(labels, [scores[name] for name in sorted(scores)])
    finding = next(f for f in document["scores"][0]["findings"] if f["finding"] == "pleural_effusion")
    assert (finding["n"], finding["positives"]) == (12, 4)
    assert finding["auc"]["value"] == pytest.approx(expected, abs=1e-6)
    assert document["scores"][0]["macro"]["findings"] == 1
    assert document["split"] == "test"
    assert document["model"]["name"] == "tiny"
    assert document["scoring"] == "cosine_difference"
    assert [group["scores"][0]["n"] for group in document["groups"]] == [6, 6]


def test_same_command_same_numbers(model: str, data: Path) -> None:
    one, two = (_done(_run("--data", data, "--model", model, "--seed", "3")) for _ in range(2))
    assert one == two


def test_the_report_records_its_origin(
    model: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reviewer must be able to tell which files the numbers are of."""
    scores = tmp_path / "scores.csv"
    _scores_from_classify(model, data, scores)
    # What a shell gave; under test nothing did.
    monkeypatch.setattr("sys.argv", ["/bin/tier", "eval", "--data", "my data.csv"])
    origin = _done(_run("--data", data, "--compare", model, scores))["origin"]
    assert origin["files"] == {str(file): sha256(file.read_bytes()).hexdigest() for file in (data, scores)}
    assert origin["command"] == "tier eval --data 'my data.csv'"
    assert origin["versions"]["numpy"] == np.__version__
    assert len(origin["rows_sha256"]) == 64


def test_a_model_that_has_seen_the_images_says_so(model: str, data: Path, tmp_path: Path) -> None:
    """Numbers on training images are marked as such, on the terminal and in JSON."""
    seen = Path(shutil.copytree(model, tmp_path / "seen"))
    record = {"manifest_sha256": sha256(data.read_bytes()).hexdigest(), "split": "as the manifest says"}
    (seen / "training.json").write_text(json.dumps({"data": record}))
    result = _run("--data", data, "--model", seen, "--split", "all")
    told = [note for note in _done(result)["notes"] if note.startswith("seen was trained on rows of")]
    assert len(told) == 1
    assert "seen was trained on rows of manifest.csv" in result.stderr
    assert "trained on" not in _run("--data", data, "--model", seen, "--split", "test").stdout


def test_tables_go_to_stderr_and_a_file_silences_stdout(model: str, data: Path, tmp_path: Path) -> None:
    for name in ("numbers.json", "numbers.csv"):
        result = _run("--data", data, "--model", model, "--output", tmp_path / name)
        _done(result)
        assert result.stdout == ""
        assert "Pleural effusion" in result.stderr
        assert "mean of 1" in result.stderr
    assert json.loads((tmp_path / "numbers.json").read_text())["images"] == 12
    with (tmp_path / "numbers.csv").open() as file:
        assert [row["finding"] for row in csv.DictReader(file)][-1] == "macro"


def test_missing_and_unreadable_images_are_listed_and_not_measured(
    model: str, data: Path, tmp_path: Path
) -> None:
    whole = (data.parent / "01.dcm").read_bytes()
    (data.parent / "broken.dcm").write_bytes(whole[: len(whole) // 2])
    table = data.parent / "with-faults.csv"
    faults = ["absent.png,q1,a,test,0,1,,x", "broken.dcm,q2,a,test,0,0,,x"]
    table.write_text("\n".join([data.read_text(), *faults]))
    try:
        document = _done(_run("--data", table, "--model", model), 3)
    finally:
        (data.parent / "broken.dcm").unlink()
        table.unlink()
    assert document["images"] == 14
    assert [(Path(one["path"]).name, one["kind"]) for one in document["unscored"]] == [
        ("absent.png", "missing"),
        ("broken.dcm", "damaged"),
    ]
    clean = _done(_run("--data", data, "--model", model))
    assert document["scores"] == clean["scores"]


def test_scores_from_elsewhere_and_the_paired_difference(model: str, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "peer.csv"
    _scores_from_classify(model, data, file)
    alone = _done(_run("--data", data, "--scores", file, "--findings", "chexpert5"))
    both = _done(_run("--data", data, "--scores", file, "--model", model))
    assert alone["model"] is None
    assert [one["name"] for one in both["scores"]] == ["tiny", "peer.csv"]
    difference = next(f for f in both["differences"][0]["findings"] if f["finding"] == "pleural_effusion")
    assert difference["auc"] == {
        "value": 0.0,
        "low": 0.0,
        "high": 0.0,
        "replicates": difference["auc"]["replicates"],
        "p": 1.0,
        "p_holm": 1.0,
    }


def test_rows_without_scores_are_counted(data: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{n:02}.{'dcm' if n % 2 else 'png'},{rng.random()}" for n in range(8)]
    (tmp_path / "some.csv").write_text("\n".join(["path,effusion", *rows]))
    document = _done(_run("--data", data, "--scores", tmp_path / "some.csv", "--findings", "chexpert5"), 3)
    assert (document["images"], document["scores"][0]["n"], len(document["unscored"])) == (12, 8, 4)


def test_rows_can_be_excluded(model: str, data: Path) -> None:
    document = _done(_run("--data", data, "--model", model, "--exclude", "contradicted=1"))
    assert document["images"] == 11
    assert document["excluded"] == ["contradicted=1"]


def test_uncertain_labels_count_only_when_asked(model: str, data: Path) -> None:
    def cardiomegaly(uncertain: str) -> tuple[int, int]:
        document = _done(_run("--data", data, "--model", model, "--uncertain", uncertain))
        row = next(f for f in document["scores"][0]["findings"] if f["finding"] == "cardiomegaly")
        return row["n"], row["positives"]

    assert cardiomegaly("ignore") == (0, 0)
    assert cardiomegaly("positive") == (1, 1)
    assert cardiomegaly("negative") == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dataset", "chexpert"), "cannot be used together"),
        (("--dataset", "chexbert"), "unknown data set"),
        (("--exclude", "contradicted"), "is not COLUMN=VALUE"),
        (("--output", "numbers.html"), ".json or .csv"),
        (("--join", "path"), "add --scores"),
        (("--scores", "peer.csv"), "need a finding set"),
        (("--by", "hospital"), "no column 'hospital'"),
        (("--split", "valid"), "no image is in split 'valid'"),
    ],
)
def test_usage_errors_come_before_the_model(data: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises((UsageError, ManifestError), match=message):
        _done(_run("--data", data, *arguments))


def test_eval_module_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, tier_cli.commands.evaluate.command; "
        "print({'torch', 'pandas', 'numpy', 'rich'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "torch" not in shown
    assert "pandas" not in shown


def _finding(document: dict, name: str = "pleural_effusion", place: int = 0) -> dict:  # type: ignore[type-arg]
    return next(f for f in document["scores"][place]["findings"] if f["finding"] == name)


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest without images, of two splits, with two score files, studies, ages and a radiologist."""
    folder = tmp_path_factory.mktemp("peers")
    rng = np.random.default_rng(0)
    rows = ["path,patient,study,split,age,sex,view,Pleural Effusion,Cardiomegaly,reader:anna:effusion"]
    scores = ["path,pleural_effusion,cardiomegaly"]
    others = list(scores)
    for n in range(240):
        effusion, heart = int(rng.random() < 0.4), int(rng.random() < 0.4)
        read = effusion if rng.random() < 0.8 else 1 - effusion
        split, view = ("valid", "test", "test")[n // 2 % 3], ("PA", "AP")[n % 2]
        age, sex = 20 + n % 60, "FM"[n // 2 % 2]
        rows.append(f"{n}.png,p{n // 2},s{n // 2},{split},{age},{sex},{view},{effusion},{heart},{read}")
        for table, strength in ((scores, 0.5), (others, 0.1)):
            a, b = (np.clip(rng.random() * 0.6 + strength * y, 0, 1) for y in (effusion, heart))
            table.append(f"{n}.png,{a:.4f},{b:.4f}")
    for name, table in (("manifest", rows), ("good", scores), ("poor", others)):
        (folder / f"{name}.csv").write_text("\n".join(table))
    return folder


def _peer_run(peers: Path, *arguments: str | Path, code: int = 0) -> dict:  # type: ignore[type-arg]
    table = ("--data", peers / "manifest.csv", "--findings", "pleural effusion,cardiomegaly")
    return _done(_run(*table, *arguments), code)


def test_thresholds_come_from_the_named_split(peers: Path) -> None:
    from sklearn.metrics import matthews_corrcoef, recall_score

    from tier_cli.scoring.operating_points import choose

    document = _peer_run(peers, "--scores", peers / "good.csv", "--select-on", "valid", "--probabilities")
    with (peers / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (peers / "good.csv").open() as file:
        scores = np.array([float(row["pleural_effusion"]) for row in csv.DictReader(file)])
    labels = np.array([int(row["Pleural Effusion"]) for row in rows])
    valid = np.array([row["split"] == "valid" for row in rows])
    threshold = choose(labels[valid], scores[valid], "youden")
    calls = scores[~valid] >= threshold
    row = _finding(document)
    assert row["threshold"] == pytest.approx(threshold, abs=1e-6)
    assert row["sensitivity"]["value"] == pytest.approx(recall_score(labels[~valid], calls), abs=1e-6)
    assert row["mcc"]["value"] == pytest.approx(matthews_corrcoef(labels[~valid], calls), abs=1e-6)
    assert row["brier"]["value"] == pytest.approx(np.mean((scores - labels)[~valid] ** 2), abs=1e-6)
    assert document["selected_on"] == {
        "split": "valid",
        "operating_point": "youden",
        "images": 80,
        "unscored": [],
    }
    assert document["scores"][0]["thresholds"] == {"source": "split valid", "rule": "youden"}
    readers = document["sections"]["readers"]
    assert readers["readers"][0]["name"] == "anna"
    assert set(readers["scores"][0]["minus_readers"]["macro"]) == {"mcc", "f1"}


def test_images_that_thresholds_could_not_be_chosen_on_are_reported(peers: Path, tmp_path: Path) -> None:
    lines = (peers / "good.csv").read_text().splitlines()
    (tmp_path / "gap.csv").write_text("\n".join(lines[:1] + lines[2:]))
    document = _peer_run(peers, "--scores", tmp_path / "gap.csv", "--select-on", "valid", code=3)
    assert document["unscored"] == []
    assert [Path(one["path"]).name for one in document["selected_on"]["unscored"]] == ["0.png"]


def test_findings_that_only_one_side_scores_are_named(peers: Path, tmp_path: Path) -> None:
    with (peers / "good.csv").open() as file:
        rows = [f"{row['path']},{row['cardiomegaly']}" for row in csv.DictReader(file)]
    (tmp_path / "heart.csv").write_text("\n".join(["path,cardiomegaly", *rows]))
    document = _peer_run(peers, "--compare", peers / "good.csv", tmp_path / "heart.csv")
    assert "heart.csv has no scores for pleural_effusion" in document["notes"]
    assert _finding(document)["n"] == 0
    assert _finding(document)["auc"]["value"] is None
    assert document["differences"][0]["macro"]["auc"]["findings"] == 1


def test_studies_are_scored_by_the_mean_and_labelled_by_any(peers: Path) -> None:
    document = _peer_run(peers, "--scores", peers / "good.csv", "--unit", "study", "--by", "view,age")
    with (peers / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    with (peers / "good.csv").open() as file:
        known = {row["path"]: float(row["pleural_effusion"]) for row in csv.DictReader(file)}
    labels = [max(int(row["Pleural Effusion"]) for row in rows[n : n + 2]) for n in range(0, len(rows), 2)]
    scores = [np.mean([known[row["path"]] for row in rows[n : n + 2]]) for n in range(0, len(rows), 2)]
    assert (document["unit"], document["images"], document["scores"][0]["n"]) == ("study", 160, 80)
    assert _finding(document)["auc"]["value"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
    # Every study has a PA and an AP image.
    assert [group["value"] for group in document["groups"] if group["by"] == "view"] == ["mixed"]
    assert [group["value"] for group in document["groups"] if group["by"] == "age"][:2] == ["18-39", "40-59"]


def test_two_files_are_compared_with_p_values(peers: Path, tmp_path: Path) -> None:
    pair = ("--compare", peers / "good.csv", peers / "poor.csv")
    document = _peer_run(peers, *pair, "--select-on", "valid")
    difference = document["differences"][0]
    assert difference["name"] == "good.csv minus poor.csv"
    assert {"auc", "auprc", "mcc", "sensitivity"} <= set(difference["findings"][0])
    auc = difference["findings"][0]["auc"]
    assert auc["low"] > 0
    assert 0 < auc["p"] <= auc["p_holm"] <= 0.2
    assert "p_holm" not in difference["macro"]["auc"]
    result = _run(
        "--data",
        peers / "manifest.csv",
        "--findings",
        "chexpert5",
        *pair,
        "--output",
        tmp_path / "numbers.csv",
    )
    assert result.exit_code == 0
    with (tmp_path / "numbers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["scores"] == "good.csv minus poor.csv"
    assert {len(row) for row in rows} == {len(rows[0])}
    assert rows[-1]["auc_p"]


def test_a_model_is_compared_with_a_file(model: str, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "peer.csv"
    _scores_from_classify(model, data, file)
    document = _done(_run("--data", data, "--compare", file, model))
    assert [one["name"] for one in document["scores"]] == ["peer.csv", "tiny"]
    assert document["scores"][0]["model"] is None
    assert document["scores"][1]["model"]["name"] == "tiny"


def test_tables_fit_80_columns(peers: Path) -> None:
    pair = ("--compare", peers / "good.csv", peers / "poor.csv")
    more = ("--select-on", "valid", "--probabilities", "--by", "sex,age,view", "--exclusive")
    table = ("--data", peers / "manifest.csv", "--findings", "pleural effusion,cardiomegaly")
    result = _run(*table, *pair, *more)
    assert result.exit_code == 0, result.stderr
    lines = result.stderr.splitlines()
    assert max(map(len, lines)) <= 80
    for words in ("p Holm", "calls, thresholds of split valid", "Brier", "AUC gap", "Top-1", "under its ROC"):
        assert any(words in line for line in lines), words


def test_reads_are_checked_before_anything_is_scored(
    peers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[object] = []
    monkeypatch.setattr(
        "tier_cli.evaluation.candidates.Candidate.scores", lambda *given: scored.append(given)
    )
    lines = (peers / "manifest.csv").read_text().splitlines()
    lines[-1] = f"{lines[-1].rsplit(',', 1)[0]},perhaps"
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    arguments = (
        "--data",
        tmp_path / "manifest.csv",
        "--scores",
        peers / "good.csv",
        "--findings",
        "chexpert5",
    )
    with pytest.raises(ManifestError, match="'perhaps' is not a label"):
        _done(_run(*arguments, "--split", "all"))
    assert not scored


def test_values_that_are_not_probabilities_are_refused_before_scoring(peers: Path, tmp_path: Path) -> None:
    (tmp_path / "logits.csv").write_text("path,effusion\n0.png,0.5\n2.png,-3\n")
    arguments = ("--scores", tmp_path / "logits.csv", "--probabilities", "--split", "all")
    with pytest.raises(ManifestError, match="-3 is not a probability"):
        _peer_run(peers, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--operating-point", "youden"), "cannot choose thresholds on the evaluated images"),
        (("--select-on", "valid", "--operating-point", "best"), "is not a rule for an operating point"),
        (("--select-on", "test"), "on the evaluated split"),
        (("--select-on", "all"), "patients who are also in all"),
        (("--compare", "a", "b", "--model", "c"), "--compare"),
        (("--probabilities", "--model", "tier-small"), "add --scores"),
        (("--unit", "study", "--by", "hospital"), "no column 'hospital'"),
        (("--compare", "a.csv", "b.csv"), "need a finding set"),
        (("--scores", "numbers.json", "--findings", "nih14"), "is neither CSV nor Parquet"),
    ],
)
def test_contradictory_options_are_refused(peers: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises((UsageError, ManifestError), match=message):
        _done(_run("--data", peers / "manifest.csv", *arguments))


def test_a_calibrated_model_brings_thresholds_but_not_to_the_images_it_was_fitted_on(
    model: str, tmp_path: Path
) -> None:
    from tier_cli.commands.calibrate import calibrate

    for number in range(60):
        write_png(tmp_path / f"{number}.png", make_phantom(number, [], (72, 72)))
    scores = _scores_from_classify(model, tmp_path / "manifest.csv", tmp_path / "scores.csv")
    # Labels that follow the scores, but for some noise, so that there is something to fit.
    noisy = {name: score + 0.002 * (len(name) % 2) for name, score in scores.items()}
    middle = float(np.median(list(noisy.values())))
    rows = ["path,patient,split,effusion"]
    for number in range(60):
        name = f"{number}.png"
        split = "valid" if number < 44 else "test"
        rows.append(f"{name},p{number},{split},{int(noisy[name] > middle)}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(calibrate)
    table, copy = ["--data", str(tmp_path / "manifest.csv")], str(tmp_path / "calibrated")
    same = ["--model", model, "--output", copy, "--workers", "0", "--device", "cpu"]
    result = CliRunner().invoke(app, [*table, *same])
    assert result.exit_code == 0, result.exception
    document = _done(_run(*table, "--model", copy))
    row = _finding(document)
    assert row["threshold"] is not None
    assert {"sensitivity", "mcc", "brier", "ece"} <= set(row)
    assert document["scores"][0]["thresholds"]["source"].endswith("on manifest.csv, split valid")
    for split in ("valid", "all"):
        fitted = _done(_run(*table, "--model", copy, "--split", split))
        assert "brier" not in _finding(fitted)
        assert any("fitted on the evaluated images" in note for note in fitted["notes"])


def test_several_files_are_compared_with_the_first_on_common_images(data: Path, tmp_path: Path) -> None:
    """All sets are measured on the same images, even if the third lacks one."""
    sick = [number % 3 == 0 for number in range(IMAGES)]
    names = [f"{number:02}.{'dcm' if number % 2 else 'png'}" for number in range(IMAGES)]
    files = []
    for kind, images in (("good", IMAGES), ("poor", IMAGES), ("part", IMAGES - 1)):
        rows = [f"{names[n]},{sick[n] if kind != 'poor' else n:d}" for n in range(images)]
        files.append(tmp_path / f"{kind}.csv")
        files[-1].write_text("\n".join(["path,pleural_effusion", *rows]))
    options = [text for file in files for text in ("--scores", file)]
    document = _done(_run("--data", data, "--findings", "chexpert5", *options), 3)
    assert [one["n"] for one in document["scores"]] == [IMAGES - 1] * 3
    assert [one["name"] for one in document["differences"]] == [
        "good.csv minus poor.csv",
        "good.csv minus part.csv",
    ]
    values = [one["macro"]["auc"]["value"] for one in document["differences"]]
    assert values[0] > 0
    assert values[1] == 0
