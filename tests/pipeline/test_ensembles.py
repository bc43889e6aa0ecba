"""Several models in one run: each image read once, scores averaged, the ensemble named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import FINDINGS, FakeEngine, fake_checkpoint
from tiny import tiny_checkpoint
from xrays import write_dicom, write_png

from tier_cli.errors import UsageError
from tier_cli.findings.vectors import FindingVectors
from tier_cli.imaging.discover import Source
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.read import read_radiograph
from tier_cli.model.checkpoint import write_checksums
from tier_cli.pipeline.scorer import Scorer, run_stamp
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.pipeline.stream import StreamOptions, classify
from tier_cli.results.record import Result
from tier_cli.scoring.adaptation import Adaptation


def _member(vectors: FindingVectors, letter: str, **changes: Any) -> Scorer:
    hashes = {"weights": letter * 64, "preprocessing": changes.pop("spec", "0") * 64}
    return Scorer(fake_checkpoint(name=letter, hashes=hashes, **changes), FakeEngine(), vectors)


def _scores(results: list[Result]) -> np.ndarray:
    return np.array([[f.score for f in result.findings] for result in results])


def _run(members: list[Scorer], files: list[Path], workers: int = 0) -> list[Result]:
    sources = [Source(str(file)) for file in files]
    return list(classify(sources, members, FINDINGS, StreamOptions(workers=workers)))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [write_png(tmp_path / f"{number}.png", number) for number in range(6)]


@pytest.fixture
def other(vectors: FindingVectors) -> FindingVectors:
    turned = np.array([[0.6, 0.8], [-0.8, 0.6]], np.float32)
    return FindingVectors(turned, -turned)


def test_scores_are_the_mean_of_the_members(
    vectors: FindingVectors, other: FindingVectors, files: list[Path]
) -> None:
    one, two = _member(vectors, "a"), _member(other, "b")
    apart = [_scores(_run([member], files)) for member in (one, two)]
    np.testing.assert_allclose(_scores(_run([one, two], files)), np.mean(apart, axis=0), atol=1e-12)


@pytest.mark.parametrize("workers", [0, 2])
def test_members_of_other_sizes_and_renderings_get_their_own_image(
    vectors: FindingVectors, other: FindingVectors, tmp_path: Path, workers: int
) -> None:
    specs = [
        Preprocessing(resize_short=None, crop=32),
        Preprocessing(resize_short=None, crop=48),
        Preprocessing(resize_short=None, crop=48, rendering="minmax"),
    ]
    members = [
        _member(vectors if n % 2 else other, "abc"[n], preprocessing=spec) for n, spec in enumerate(specs)
    ]
    files = [write_dicom(tmp_path / f"{n}.dcm", n, WindowCenter="128", WindowWidth="250") for n in range(6)]
    apart = [_scores(_run([member], files)) for member in members]
    together = _scores(_run(members, files, workers))
    np.testing.assert_allclose(together, np.mean(apart, axis=0), atol=1e-12)
    assert np.abs(apart[0] - apart[2]).max() > 1e-3


def test_a_file_is_read_once_per_rendering(
    vectors: FindingVectors, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, seen = read_radiograph, []

    def counting(path: str, options: Any, least: Any) -> Any:
        seen.append(options.rendering)
        return read(path, options, least)

    monkeypatch.setattr("tier_cli.decoding.decode.read_radiograph", counting)
    plain = Preprocessing(resize_short=None, crop=32)
    members = [
        _member(vectors, "a", preprocessing=plain),
        _member(vectors, "b", preprocessing=plain),
        _member(vectors, "c", preprocessing=replace(plain, crop=48)),
        _member(vectors, "d", preprocessing=replace(plain, rendering="minmax")),
    ]
    _run(members[:3], files[:1])
    assert seen == ["voi"]
    _run(members, files[:1])
    assert seen[1:] == ["voi", "minmax"]


def test_stamp_names_the_members_whatever_their_order(vectors: FindingVectors) -> None:
    a, b = _member(vectors, "a"), _member(vectors, "b", spec="1")
    one, two = run_stamp([a, b], FINDINGS), run_stamp([b, a], FINDINGS)
    assert (one.weights, one.preprocessing) == (two.weights, two.preprocessing)
    assert one.weights not in ("a" * 64, "b" * 64)
    assert [member["name"] for member in one.to_dict()["members"]] == ["a", "b"]
    assert "members" not in run_stamp([a], FINDINGS).to_dict()
    adapted = replace(a, adaptation=Adaptation(np.ones((2, 2)), np.ones(2), np.ones(2), "gda", "f" * 64))
    assert run_stamp([adapted, b], FINDINGS).weights != one.weights
    assert run_stamp([adapted], FINDINGS).to_dict()["hashes"]["adaptation"] == "f" * 64


def test_calibration_of_an_ensemble_holds_for_that_ensemble_only(
    vectors: FindingVectors, files: list[Path]
) -> None:
    ensemble = run_stamp([_member(vectors, "a"), _member(vectors, "b")], FINDINGS).weights
    key = {"weights": "a" * 64, "rendering": "voi", "prompts": FINDINGS.hash, "unit": "image"}
    curve = {"method": "platt", "a": 2.0, "b": 0.0, "threshold": 0.0}
    calibration = {"key": {**key, "ensemble": ensemble}, "findings": {"bright": curve}}
    a = _member(vectors, "a", calibration=calibration)
    b, c = _member(vectors, "b"), _member(vectors, "c")
    for members in ([a, b], [b, a]):
        (result,) = _run(members, files[:1])
        assert result.findings[0].probability is not None
        assert not any("calibration" in note for note in result.notes)
    for members in ([a], [a, c], [c, a]):
        (result,) = _run(members, files[:1])
        assert result.findings[0].probability is None
        assert "ensemble" in result.notes[-1]


def test_incompatible_models_are_refused(tmp_path: Path) -> None:
    one = tiny_checkpoint(tmp_path / "one")
    two = tiny_checkpoint(tmp_path / "two", seed=1)
    with pytest.raises(UsageError, match="twice"):
        open_job([str(one), str(one)], None, "onnx", "cpu")
    job = open_job([str(one), str(two)], "pneumonia,effusion", "onnx", "cpu")
    assert len(job.members) == 2
    (two / "findings.toml").write_text(job.findings.to_toml())
    write_checksums(two)
    with pytest.raises(UsageError, match="--findings"):
        open_job([str(one), str(two)], None, "onnx", "cpu")
    config = (two / "config.json").read_text()
    (two / "config.json").write_text(config.replace("cosine_difference", "softmax_pair"))
    write_checksums(two)
    with pytest.raises(UsageError, match="softmax_pair"):
        open_job([str(one), str(two)], "nih14", "onnx", "cpu")
