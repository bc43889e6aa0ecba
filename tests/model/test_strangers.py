"""A checkpoint folder that someone else made scores as it says, or is refused: it never crashes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import SIZE, tiny_checkpoint

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import open_checkpoint, write_checksums
from tier_cli.model.open_engine import open_engine
from tier_cli.pipeline.image_scorer import ImageScorer, calibration_keys
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.results.record import Result

PIXELS = np.random.default_rng(0).normal(size=(2, 3, SIZE, SIZE)).astype(np.float32)
DEEP: Any = json.loads("[" * 100 + "]" * 100)
# Wrong types, negative, huge, not numbers, nested deep; each is wrong in almost every field.
WRONG: tuple[Any, ...] = ("text", -1, 10**400, 1e308, math.nan, math.inf, [], {}, [-1, "x"], DEEP, "\ud800")
# A vocabulary that the text tower has no embeddings for.
BEYOND = {
    "type": "WordPiece",
    "unk_token": "[UNK]",
    "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100,
    "vocab": {"[PAD]": 0, "[UNK]": 10**6, "[CLS]": 1, "[SEP]": 2},
}
FILES = ("config.json", "preprocessor_config.json", "calibration.json")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a calibration that fits, which the tests change and restore."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("models") / "strangers")
    job = open_job(str(folder), None, "onnx", "cpu")
    curve = {"method": "platt", "a": 2.0, "b": -1.0, "threshold": 0.1, "ordinary_range": [-0.1, 0.3]}
    knots = {"method": "isotonic", "scores": [-0.1, 0.2], "probabilities": [0.1, 0.9], "threshold": 0.0}
    findings = dict.fromkeys(job.findings.ids, curve) | {job.findings.ids[0]: knots}
    key = vars(calibration_keys(job.members, job.findings, "image")[0])
    (folder / "calibration.json").write_text(json.dumps({"key": key, "findings": findings}))
    write_checksums(folder)
    return folder


def scores(folder: Path) -> NDArray[np.float64]:
    """Score two fixed inputs as `tier classify` does, calibration included."""
    job = open_job(str(folder), None, "onnx", "cpu")
    scorer = ImageScorer(job.members, job.findings, "image")
    values = job.members[0].score(PIXELS)
    for row in values:
        result = Result(("x",), job.stamp, job.scoring, unit="image")
        assert next(scorer.finish.results([result])).error is None
        assert np.isfinite(row).all()
    return np.asarray(values)


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every field, nested ones too."""
    parts = content.items() if isinstance(content, dict) else enumerate(content)
    for name, value in parts:
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from places(value, (*path, name))


def changed(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy with another value at a place."""
    copy = json.loads(json.dumps(content))
    reduce(lambda part, name: part[name], path[:-1], copy)[path[-1]] = value
    return copy


@pytest.mark.parametrize("name", FILES)
def test_a_senseless_field_is_refused_or_without_effect(strangers: Path, name: str) -> None:
    """A run must never end with "a bug", and a score must never change, because of a wrong field."""
    file, expected = strangers / name, scores(strangers)
    before = file.read_text()
    content, refused, problems = json.loads(before), 0, []
    try:
        for path in places(content):
            for value in WRONG:
                file.write_text(json.dumps(changed(content, path, value)))
                write_checksums(strangers)
                try:
                    found = scores(strangers)
                except CheckpointError as error:
                    refused += 1
                    if error.where is None or name not in error.where:
                        problems.append(f"{path} {value!r:.20}: without its place: {error}")
                except Exception as error:  # noqa: BLE001 - what a user would be shown as a bug
                    problems.append(f"{path} {value!r:.20}: {type(error).__name__} {error!s:.80}")
                else:
                    if not np.allclose(found, expected, atol=1e-6):
                        problems.append(f"{path} {value!r:.20}: another score")
    finally:
        file.write_text(before)
        write_checksums(strangers)
    assert problems == []
    assert refused > 10


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        # 13.8 GB of memory for one image.
        ("preprocessor_config.json", "crop", 30_000),
        ("preprocessor_config.json", "resize_short", 10**6),
        ("preprocessor_config.json", "std", [0.2, 0, 0.2]),
        ("config.json", "max_tokens", 10**7),
        ("config.json", "projection_dim", True),
        ("config.json", "strip", None),
        ("config.json", "scoring", ["cosine_difference"]),
    ],
)
def test_the_error_names_file_and_field(tiny_copy: Path, name: str, field: str, value: Any) -> None:
    content = json.loads((tiny_copy / name).read_text())
    (tiny_copy / name).write_text(json.dumps({**content, field: value}))
    write_checksums(tiny_copy)
    with pytest.raises(CheckpointError, match=f"^{tiny_copy / name}: {field} is "):
        open_checkpoint(tiny_copy)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("num_hidden_layers", 10**6), ("hidden_size", -16), ("hidden_size", "wide")),
        # The weights of this width would fill the memory before anything compared them with the file.
        *(("hidden_size", 1 << 20), ("num_attention_heads", 0), ("hidden_act", {}), ("model_type", ["bert"])),
    ],
)
def test_a_senseless_tower_is_refused_by_torch(tiny_copy: Path, field: str, value: Any) -> None:
    path = tiny_copy / "config.json"
    content = json.loads(path.read_text())
    content["text_tower"][field] = value
    path.write_text(json.dumps(content))
    write_checksums(tiny_copy)
    with pytest.raises(CheckpointError):
        open_job(str(tiny_copy), None, "torch", "cpu")


@pytest.mark.parametrize(
    "text",
    [
        *("", "= 1", "findings = 1", "[findings.x]\npositive = 1", "a = " + "[" * 3000),
        "".join(f'[findings.f{n}]\npositive = ["F{n}."]\nnegative = ["No f{n}."]\n' for n in range(5001)),
    ],
)
def test_a_senseless_finding_set_is_refused_with_its_file(tiny_copy: Path, text: str) -> None:
    (tiny_copy / "findings.toml").write_text(text)
    write_checksums(tiny_copy)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tiny_copy)
    assert str(caught.value.where).startswith(str(tiny_copy / "findings.toml"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tokenizer_config.json", {"pad_token": 5}),
        ("tokenizer_config.json", {"pad_token": {"content": []}}),
        ("tokenizer_config.json", {"pad_token": "no such token"}),
        ("tokenizer.json", {"model": None}),
        ("tokenizer.json", {"model": {"type": "WordPiece", "vocab": {"[PAD]": -1}}}),
        ("tokenizer.json", {"post_processor": {"type": "TemplateProcessing", "single": 1}}),
        ("tokenizer.json", {"truncation": {"max_length": -5}}),
        ("tokenizer.json", {"model": BEYOND}),
    ],
)
def test_a_senseless_tokenizer_is_refused(
    tiny_copy: Path, name: str, change: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    path = tiny_copy / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    write_checksums(tiny_copy)
    engine = open_engine(open_checkpoint(tiny_copy), "onnx", "cpu")
    with pytest.raises(CheckpointError) as caught:
        engine.embed_texts(["effusion", "is present"])
    assert str(tiny_copy) in str(caught.value.where)
    # onnxruntime would print the same in colours.
    assert "\x1b" not in capfd.readouterr().err
