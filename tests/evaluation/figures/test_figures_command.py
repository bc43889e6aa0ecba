"""`tier figures`: what is drawn is what was measured, whole or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from tiny import tiny_checkpoint
from xrays import write_dicom, write_png

from tier_cli.app import main
from tier_cli.evaluation.figures import run
from tier_cli.evaluation.figures.figure import Figure
from tier_cli.maps.similarity import finding_directions
from tier_cli.pipeline.encode import patch_maps
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.pipeline.stream import StreamOptions

NAMES = ("rank-profile", "relative-importance", "spread", "in-regions", "in-regions-auc", "training")
BOXES = [[(8, 8, 40, 30)], [(30, 20, 70, 60)], [(10, 40, 30, 75), (50, 50, 70, 70)], []]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two checkpoints, one with a log, and a manifest of four images with texts and boxes."""
    folder = tmp_path_factory.mktemp("figures")
    tiny_checkpoint(folder / "one")
    tiny_checkpoint(folder / "two", seed=1)
    steps = [
        {"step": step, "patch_entropy": 2.7, "token_entropy": 1.5, "similarity_hoyer": 0.2}
        for step in (1, 6, 12)
    ]
    lines = [*steps, {"epoch_end": 0, "step": 12, "mean_auc": 0.5}]
    (folder / "one" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = ["path,patient,text,effusion,pneumothorax,boxes"]
    for number, boxes in enumerate(BOXES):
        write_png(folder / f"{number}.png", number)
        cell = json.dumps([{"finding": "effusion", "box": box} for box in boxes]).replace('"', '""')
        text = "effusion is present" if boxes else "the lungs are clear"
        rows.append(f'{number}.png,p{number // 2},{text},{int(bool(boxes))},0,"{cell if boxes else ""}"')
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def figures(folder: Path, output: Path, *more: str) -> int:
    """Run the command on both checkpoints."""
    models = ["--model", str(folder / "one"), "--model", str(folder / "two")]
    data = ["--data", str(folder / "manifest.csv")]
    return main(["figures", *models, *data, "--workers", "0", "--replicates", "50", "-o", str(output), *more])


@pytest.fixture(scope="module")
def made(folder: Path) -> Path:
    """Make the figures once for the tests that only look at them."""
    assert figures(folder, folder / "made") == 0
    return folder / "made"


@pytest.fixture
def tables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write tables without pictures, which take seconds to draw."""

    def write(self: Figure, folder: Path) -> tuple[str, ...]:
        (folder / f"{self.name}.csv").write_text(self.to_csv(), "utf-8", newline="")
        return (f"{self.name}.csv",)

    monkeypatch.setattr(Figure, "write", write)


quickly = pytest.mark.usefixtures("tables_only")


def table(file: Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    return list(csv.DictReader(file.read_text("utf-8").splitlines()))


def test_every_figure_is_a_picture_a_drawing_and_a_table(made: Path) -> None:
    expected = {f"{name}.{suffix}" for name in NAMES for suffix in ("png", "svg", "csv")}
    assert {path.name for path in made.iterdir()} == expected | {"figures.json", "README.md"}
    for name in NAMES:
        with Image.open(made / f"{name}.png") as picture:
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=1)
        drawing = (made / f"{name}.svg").read_text("utf-8")
        assert "<text" in drawing, "letters stay letters that a journal can set anew"
        assert "<dc:date>" not in drawing
    page = (made / "README.md").read_text("utf-8")
    assert all(f"({name}.png)" in page for name in NAMES)
    assert "4 images of 2 patients" in page
    assert "50 resamplings, seed 0" in page


def test_the_record_determines_the_figures(made: Path, folder: Path) -> None:
    """Whoever reads the paper must be able to tell which weights and images were drawn."""
    record = json.loads((made / "figures.json").read_text("utf-8"))
    assert [model["model"]["name"] for model in record["models"]] == ["one", "two"]
    assert all(len(model["model"]["hashes"]["weights"]) == 64 for model in record["models"])
    assert len({model["model"]["hashes"]["weights"] for model in record["models"]}) == 2
    assert str(folder / "manifest.csv") in record["origin"]["files"]
    assert (record["images"], record["patients"], record["split"]) == (4, 2, "all")
    assert record["resampling"] == {"replicates": 50, "seed": 0, "level": 0.95}
    assert record["compared_with"] == {"against": "texts", "about": "the image's report", "blank": 0}


def _maps(folder: Path) -> list[Any]:
    job = open_job(str(folder / "one"))
    paths = [str(folder / f"{number}.png") for number in range(4)]
    return list(patch_maps(paths, job.members[0], StreamOptions(workers=0)))


def test_the_profile_is_that_of_the_sorted_cosines_of_the_whole_text(made: Path, folder: Path) -> None:
    job = open_job(str(folder / "one"))
    texts = ["effusion is present"] * 3 + ["the lungs are clear"]
    cosines = []
    for seen, direction in zip(_maps(folder), job.engine.embed_texts(texts), strict=True):
        units = seen.patches / np.linalg.norm(seen.patches, axis=1, keepdims=True)
        cosines.append(sorted((units @ direction).tolist(), reverse=True))
    drawn = [row for row in table(made / "rank-profile.csv") if row["model"] == "one"]
    assert [int(row["rank"]) for row in drawn] == list(range(1, 17))
    values = [float(row["value"]) for row in drawn]
    np.testing.assert_allclose(values, np.mean(cosines, axis=0), atol=2e-6)
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in drawn)


def test_the_auc_and_the_distribution_are_those_of_pixels(made: Path, folder: Path) -> None:
    """Every pixel has the similarity of its patch: scikit-learn, fed with pixels, gives the same AUC."""
    job = open_job(str(folder / "one"))
    place = job.findings.ids.index("pleural_effusion")
    direction = finding_directions(job.vectors, job.checkpoint.scoring)[place]
    aucs, shares = [], []
    for seen, boxes in zip(_maps(folder), BOXES, strict=True):
        if not boxes:
            continue
        source = seen.grid.to_source(seen.similarities(direction[None])[0])
        mask = np.zeros(source.shape, bool)
        for x0, y0, x1, y1 in boxes:
            mask[y0:y1, x0:x1] = True
        known = np.isfinite(source)
        aucs.append(roc_auc_score(mask[known], source[known]))
        shares.append([(source[known & mask] <= level).mean() for level in (-0.1, 0.0, 0.1)])
    rows = [row for row in table(made / "in-regions-auc.csv") if row["model"] == "one"]
    assert [(row["finding"], row["cases"], row["patients"]) for row in rows] == [
        ("pleural_effusion", "3", "2"),
        ("mean", "3", "2"),
    ]
    # A pixel on the border of two patches counts for both in part, here for one of them: hence the tolerance.
    assert float(rows[0]["value"]) == pytest.approx(np.mean(aucs), abs=0.02)
    drawn = {
        float(row["at_most"]): float(row["value"])
        for row in table(made / "in-regions.csv")
        if row["model"] == "one" and row["place"] == "inside"
    }
    for level, share in zip((-0.1, 0.0, 0.1), np.mean(shares, axis=0), strict=True):
        nearest = drawn.get(level, 0.0 if level < min(drawn) else 1.0)
        assert nearest == pytest.approx(share, abs=0.03)


def test_the_same_auc_as_the_evaluation(made: Path, folder: Path) -> None:
    """Two commands that gave different numbers for one thing would both be doubted."""
    report = folder / "eval.json"
    arguments = ["eval", "--data", str(folder / "manifest.csv"), "--model", str(folder / "one")]
    main([*arguments, "--grounding", "--workers", "0", "--replicates", "50", "-o", str(report)])
    (expected,) = json.loads(report.read_text())["sections"]["grounding"]["findings"]
    row = table(made / "in-regions-auc.csv")[0]
    found = {name: float(row[name]) for name in ("value", "low", "high")}
    assert found == pytest.approx(expected["auc"], abs=1e-6)


def test_the_log_is_drawn_as_it_was_written(made: Path) -> None:
    rows = table(made / "training.csv")
    assert {row["model"] for row in rows} == {"one"}, "the other has no log"
    assert [(row["step"], row["value"]) for row in rows if row["measure"] == "patch_entropy"] == [
        ("1", "2.7"),
        ("6", "2.7"),
        ("12", "2.7"),
    ]


@quickly
def test_the_same_command_gives_the_same_numbers(made: Path, folder: Path, tmp_path: Path) -> None:
    assert figures(folder, tmp_path / "again") == 0
    for name in (*(f"{name}.csv" for name in NAMES), "README.md"):
        assert (made / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


@quickly
def test_findings_can_be_asked_instead_of_texts(folder: Path, tmp_path: Path) -> None:
    assert figures(folder, tmp_path / "out", "--against", "findings") == 0
    record = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert [model["pairs"] for model in record["models"]] == [3, 3]
    assert record["compared_with"]["blank"] == 1
    measures = {row["measure"] for row in table(tmp_path / "out" / "spread.csv")}
    of_patches = {"patch_entropy", "hoyer", "share_above_0.1", "hoyer_above_median"}
    assert measures == of_patches, "there are no tokens"


@quickly
def test_labels_give_captions_where_there_is_no_text(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "manifest.csv").read_text().splitlines()
    cut = [",".join([*line.split(",")[:2], *line.split(",")[3:5]]) for line in lines]
    (folder / "labels.csv").write_text("\n".join(cut))
    arguments = ["--data", str(folder / "labels.csv"), "--workers", "0", "--replicates", "5"]
    model = ["--model", str(folder / "one"), "--against", "texts"]
    assert main(["figures", *arguments, *model, "-o", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert record["compared_with"]["about"] == "a caption written from the image's labels"
    assert record["models"][0]["pairs"] == 4


@quickly
def test_without_boxes_one_line_says_which_figure_is_missing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (folder / "manifest.csv").read_text().splitlines()
    (folder / "plain.csv").write_text("\n".join(",".join(line.split(",")[:5]) for line in lines))
    arguments = ["--data", str(folder / "plain.csv"), "--workers", "0", "--replicates", "5"]
    model = ["--model", str(folder / "two")]
    assert main(["figures", *arguments, *model, "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert said.count("no figure of regions") == 1
    assert said.count("no figure of the training") == 1
    assert not (tmp_path / "out" / "in-regions.csv").exists()


@quickly
def test_a_file_that_cannot_be_read_is_counted_and_the_exit_code_says_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    lines = (folder / "manifest.csv").read_text() + "\nbroken.png,p9,effusion,1,0,"
    (folder / "one_broken.csv").write_text(lines)
    arguments = ["--data", str(folder / "one_broken.csv"), "--workers", "0", "--replicates", "5"]
    assert main(["figures", *arguments, "--model", str(folder / "two"), "-o", str(tmp_path / "out")]) == 3
    assert "two: 1 image left out" in capsys.readouterr().err
    record = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert (record["models"][0]["images"], record["images"]) == (4, 5)


def test_an_existing_folder_is_kept(folder: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (made / "figures.json").read_bytes()
    assert figures(folder, made) == 2
    assert "already exists" in capsys.readouterr().err
    assert (made / "figures.json").read_bytes() == before


@quickly
def test_an_interrupted_run_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> str:
        raise KeyboardInterrupt

    # After all figures were written.
    monkeypatch.setattr(run, "_captions", stop)
    assert figures(folder, tmp_path / "out") == 130
    assert list(tmp_path.iterdir()) == []
    assert "nothing was written" in capsys.readouterr().err


def test_a_model_without_patches_is_refused_before_any_image_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tier_cli.model.engine import no_patches
    from tier_cli.model.onnx_engine import OnnxEngine

    def none(self: Any, pixels: Any) -> Any:
        raise no_patches(self._checkpoint)

    monkeypatch.setattr(OnnxEngine, "patches", none)
    assert figures(folder, tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "no grid of patches" in line


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--model", "two"], "given twice"),
        ([word for _ in range(7) for word in ("--model", "x")], "at most 7 models"),
    ],
)
def test_models_that_cannot_be_told_apart_are_refused(
    folder: Path,
    tmp_path: Path,
    more: list[str],
    part: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    again = [word if word.startswith("--") or word == "x" else str(folder / word) for word in more]
    assert figures(folder, tmp_path / "out", *again) == 2
    assert part in capsys.readouterr().err


@quickly
def test_images_of_a_dicom_folder_show_no_patient(folder: Path, tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm")
    (tmp_path / "m.csv").write_text("path,patient,text\na.dcm,k1,effusion\n")
    arguments = ["--data", str(tmp_path / "m.csv"), "--workers", "0", "--replicates", "5"]
    assert main(["figures", *arguments, "--model", str(folder / "one"), "-o", str(tmp_path / "out")]) == 0
    for file in (tmp_path / "out").iterdir():
        assert b"Doe" not in file.read_bytes()
        assert b"k1" not in file.read_bytes()
