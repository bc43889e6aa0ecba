"""What a run says about images that are no frontal chest X-rays."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import FINDINGS, FakeEngine, fake_checkpoint
from jsonschema import Draft202012Validator
from numpy.typing import NDArray
from PIL import Image
from xrays import write_dicom

from tier_cli.findings.vectors import FindingVectors
from tier_cli.imaging.discover import Source
from tier_cli.imaging.preprocess import Preprocessing, prepare
from tier_cli.pipeline.input_checks import undo_each
from tier_cli.pipeline.scorer import Scorer
from tier_cli.pipeline.stream import StreamOptions, classify
from tier_cli.results.record import Result
from tier_cli.results.rows import Layout
from tier_cli.results.writers import CsvWriter
from tier_cli.scoring.input_check import Gaussian, InputCheck, InputCheckKey, write_input_check

KEY = InputCheckKey("a" * 64, "b" * 64)
SCHEMA = Draft202012Validator(
    json.loads((files("tier_cli.results") / "result.schema.json").read_text(encoding="utf-8"))
)
# The quarter of the picture that is bright in a "chest".
CHEST = (0.9, 0.1, 0.1, 0.1)


class QuarterEngine(FakeEngine):
    """Embed an image as the mean grey level of each of its quarters."""

    def encode_images(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        self.batches.append(len(pixels))
        grey = pixels[:, 0] * 0.229 + 0.485
        half = grey.shape[-1] // 2
        parts = [grey[:, :half, :half], grey[:, :half, half:], grey[:, half:, :half], grey[:, half:, half:]]
        return np.stack([part.mean(axis=(1, 2)) for part in parts], axis=1)


@pytest.fixture
def vectors() -> FindingVectors:
    one = np.eye(4, dtype=np.float32)[:2]
    return FindingVectors(one, -one)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a checkpoint with a check that knows upright pictures only."""
    folder = tmp_path / "model"
    folder.mkdir()
    mean = np.array(CHEST) / np.linalg.norm(CHEST)
    chests = Gaussian(mean, np.eye(4) * 10)
    check = InputCheck(chests, Gaussian(np.full(4, 0.5), np.eye(4)), distance=4.0, ratio=1e6)
    write_input_check(folder, check, KEY, {})
    return folder


@pytest.fixture
def run(model: Path, vectors: FindingVectors) -> Any:
    def start(*paths: Path, engine: Any = None, folder: Path = model, **options: Any) -> list[Result]:
        wanted = StreamOptions(**{"workers": 0, "input_check": "note", **options})
        checkpoint = fake_checkpoint(path=folder)
        member = Scorer(checkpoint, engine or QuarterEngine(), vectors)
        return list(classify([Source(str(path)) for path in paths], [member], FINDINGS, wanted))

    return start


def write(path: Path, turns: int = 0, inverted: bool = False, quarters: Any = CHEST) -> Path:
    """Write a picture of four quarters, turned by `turns` times 90 degrees to the left."""
    noise = np.random.default_rng(0).normal(0, 6, (64, 64))
    levels = np.kron(np.array(quarters).reshape(2, 2), np.ones((32, 32))) * 255 + noise
    levels = np.rot90(255 - levels if inverted else levels, turns)
    Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch", "pad_first"])
@pytest.mark.parametrize(("name", "turns"), [("rotated_90", 3), ("rotated_180", 2), ("rotated_270", 1)])
def test_undoing_a_turn_gives_the_upright_image(name: str, turns: int, fit: Any) -> None:
    spec = Preprocessing(resize_short=36 if fit == "crop" else None, crop=32, fit=fit)
    pixels = np.random.default_rng(1).random((88, 72), dtype=np.float32)
    turned = prepare(np.ascontiguousarray(np.rot90(pixels, turns)), spec).pixels
    np.testing.assert_allclose(undo_each(turned, spec)[name], prepare(pixels, spec).pixels, atol=1e-5)


def test_undoing_an_inversion_gives_the_image() -> None:
    spec = Preprocessing(resize_short=36, crop=32)
    pixels = np.random.default_rng(1).random((88, 72), dtype=np.float32)
    inverted = prepare(1 - pixels, spec).pixels
    np.testing.assert_allclose(undo_each(inverted, spec)["inverted"], prepare(pixels, spec).pixels, atol=1e-5)


def test_a_chest_passes_and_costs_no_second_embedding(run: Any, tmp_path: Path) -> None:
    engine = QuarterEngine()
    (result,) = run(write(tmp_path / "a.png"), engine=engine)
    assert result.input_check.verdict == "pass"
    assert result.input_check.looks_like == ""
    assert 0 <= result.input_check.score <= 1
    assert engine.batches == [1]
    assert not any("chest" in note for note in result.notes)
    SCHEMA.validate(result.to_dict())


@pytest.mark.parametrize(
    ("how", "looks_like", "remedy"),
    [
        ({"turns": 3}, "rotated_90", "turned right by 90 degrees: turn it back"),
        ({"turns": 2}, "rotated_180", "upside down: turn it by 180 degrees"),
        ({"turns": 1}, "rotated_270", "turned left by 90 degrees: turn it back"),
        ({"inverted": True}, "inverted", "black and white swapped: invert it"),
        ({"quarters": (0.5, 0.5, 0.5, 0.9)}, "other", "look at the image before you use its scores"),
    ],
)
def test_a_suspicious_image_is_scored_with_a_note(
    run: Any, tmp_path: Path, how: dict[str, Any], looks_like: str, remedy: str
) -> None:
    (result,) = run(write(tmp_path / "a.png", **how))
    assert (result.input_check.verdict, result.input_check.looks_like) == ("suspicious", looks_like)
    assert result.input_check.score > 1
    assert result.findings
    (note,) = (note for note in result.notes if "does not look like a frontal chest X-ray" in note)
    assert remedy in note
    SCHEMA.validate(result.to_dict())


def test_refuse_gives_an_error_and_no_score(run: Any, tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.png", turns=2), write(tmp_path / "b.png")]
    turned, upright = run(*paths, input_check="refuse")
    assert turned.error.kind == "input_check"
    assert "turn it by 180 degrees" in turned.error.message
    assert turned.findings == ()
    assert upright.error is None
    SCHEMA.validate(turned.to_dict())


def test_off_and_no_check_say_nothing(run: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", turns=2)
    (off,) = run(path, input_check="off")
    empty = tmp_path / "empty"
    empty.mkdir()
    (without,) = run(path, folder=empty)
    for result in (off, without):
        assert result.input_check is None
        assert "input_check" not in result.to_dict()
        assert not any("input check" in note or "chest X-ray" in note for note in result.notes)
    assert off.scores == without.scores


def test_the_check_does_not_change_scores(run: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", turns=1)
    assert run(path)[0].scores == run(path, input_check="off")[0].scores


def test_a_check_of_other_weights_leaves_a_note(run: Any, model: Path, tmp_path: Path) -> None:
    check = InputCheck(Gaussian(np.zeros(4), np.eye(4)), Gaussian(np.zeros(4), np.eye(4)), 1.0, 1.0)
    write_input_check(model, check, InputCheckKey("c" * 64, "b" * 64), {})
    (result,) = run(write(tmp_path / "a.png"))
    assert result.input_check is None
    assert "images are not checked: the input check was fitted for other weights" in result.notes


def test_a_study_has_the_check_of_its_most_suspicious_image(run: Any, tmp_path: Path) -> None:
    paths = [write_dicom(tmp_path / f"{n}.dcm", n, "1.2.3", InstanceNumber=str(n)) for n in range(2)]
    images = run(*paths)
    (study,) = run(*paths, by="study")
    assert study.input_check == max((image.input_check for image in images), key=lambda check: check.score)


def rows(results: list[Result], **layout: Any) -> Iterator[dict[str, str]]:
    text = StringIO()
    writer = CsvWriter(text, Layout(("bright", "dark"), **layout))
    for result in results:
        writer.write(result)
    text.seek(0)
    return csv.DictReader(text)


@pytest.mark.parametrize("wide", [False, True])
def test_tables_have_the_columns_of_the_check(run: Any, tmp_path: Path, wide: bool) -> None:
    results = run(write(tmp_path / "a.png", turns=2))
    row = next(rows(results, wide=wide, checked=True))
    assert float(row["input_check_score"]) > 1
    assert (row["input_check_verdict"], row["input_check_looks_like"]) == ("suspicious", "rotated_180")
    assert len(row["input_check_hash"]) == 64
    assert not [name for name in next(rows(results, wide=wide)) if name.startswith("input_check")]
