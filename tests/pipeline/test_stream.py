"""The streaming run, with a fake model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import FINDINGS, FakeEngine, fake_checkpoint
from numpy.typing import NDArray
from xrays import write_dicom, write_png

from tier_cli.decoding import pool, prefetch
from tier_cli.decoding.decode import Decoded, Settings, decode
from tier_cli.errors import CheckpointError, InputError, UsageError
from tier_cli.findings.vectors import FindingVectors
from tier_cli.imaging.discover import PAUSE, Source, discover
from tier_cli.pipeline.scorer import Scorer
from tier_cli.pipeline.stream import StreamOptions, classify
from tier_cli.results.record import Result

ERROR = InputError("it is broken", remedy="mend it", kind="unreadable")


@pytest.fixture
def run(vectors: FindingVectors) -> Any:
    """Run over sources; options and the checkpoint's fields by name."""

    def start(
        sources: Any, engine: Any = None, calibration: Any = None, tick: Any = lambda: None, **options: Any
    ):
        checkpoint = fake_checkpoint(calibration=calibration)
        wanted = StreamOptions(**{"workers": 0, **options})
        member = Scorer(checkpoint, engine or FakeEngine(), vectors)
        return classify(sources, [member], FINDINGS, wanted, tick)

    return start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven images, the third and fourth broken."""
    for number in range(7):
        path = write_png(tmp_path / f"{number}.png", number)
        if number in (2, 3):
            path.write_bytes(path.read_bytes()[:60])
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_results_in_the_order_of_the_sources(run: Any, folder: Path, workers: int, batch_size: int) -> None:
    results = list(run(discover([str(folder)]), workers=workers, batch_size=batch_size))
    assert [Path(result.paths[0]).name for result in results] == [f"{n}.png" for n in range(7)]
    assert [result.error is None for result in results] == [True, True, False, False, True, True, True]
    assert results[2].error is not None
    assert results[2].error.kind == "damaged"
    assert str(folder) not in results[2].error.message
    assert len({result.findings for result in results if not result.error}) == 5


def test_batches_do_not_change_scores(run: Any, folder: Path) -> None:
    one, many = (list(run(discover([str(folder)]), batch_size=size)) for size in (1, 100))
    for a, b in zip(one, many, strict=True):
        assert [f.score for f in a.findings] == pytest.approx([f.score for f in b.findings], abs=1e-6)


def test_score_is_that_of_the_image(run: Any, folder: Path) -> None:
    path = str(folder / "0.png")
    (result,) = run([Source(path)])
    checkpoint = fake_checkpoint()
    image = decode(path, Settings(StreamOptions().read, checkpoint.preprocessing))
    assert isinstance(image, Decoded)
    mean = float(image.pixels.mean())
    expected = [2 * mean / np.hypot(mean, 1), 2 / np.hypot(mean, 1)]
    assert [f.score for f in result.findings] == pytest.approx(expected, abs=1e-6)
    assert result.model.findings == FINDINGS.hash
    assert (result.model.name, result.model.weights) == ("fake", "a" * 64)


def test_batches_are_full_and_the_same_every_time(run: Any, folder: Path) -> None:
    engines = [FakeEngine(), FakeEngine()]
    for engine in engines:
        list(run(discover([str(folder)]), engine, batch_size=2, workers=2))
    assert engines[0].batches == engines[1].batches == [2, 2, 1]


def test_default_batch_size_depends_on_the_device(run: Any, tmp_path: Path) -> None:
    sources = [Source(str(write_png(tmp_path / "a.png")))] * 40
    cpu, gpu = FakeEngine(), FakeEngine(device="cuda")
    list(run(sources, cpu))
    list(run(sources, gpu))
    # The last batch is filled up: digits of an accelerator may depend on the size of the batch.
    assert (cpu.batches, gpu.batches) == ([8] * 5, [32, 32])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("count", [1, 9])
def test_what_has_arrived_is_scored_before_the_next_file_comes(
    run: Any, tmp_path: Path, workers: int, count: int
) -> None:
    """Whoever feeds `classify -` slowly gets each result at once, whatever the batch size."""
    path = str(write_png(tmp_path / "a.png"))
    done: list[Result] = []

    def slow() -> Iterator[Source]:
        for round_ in range(1, 3):
            yield from [Source(path)] * count
            yield PAUSE
            assert len(done) == round_ * count
        yield Source("x", ERROR)

    for result in run(slow(), workers=workers, batch_size=32):
        done.append(result)
    assert [result.error is None for result in done] == [True] * 2 * count + [False]


def _endless(path: Path, taken: list[int]) -> Iterator[Source]:
    while True:
        taken.append(1)
        yield Source(str(path))


@pytest.mark.parametrize("workers", [0, 2])
def test_sources_are_taken_a_bounded_number_ahead(run: Any, tmp_path: Path, workers: int) -> None:
    taken: list[int] = []
    with closing(
        run(_endless(write_png(tmp_path / "a.png"), taken), workers=workers, batch_size=4)
    ) as results:
        for done in range(1, 30):
            next(results)
            assert len(taken) <= done + 2 * 4 + 2 * workers + 1


def test_many_errors_are_yielded_as_they_occur(run: Any) -> None:
    endless = (Source(str(number), ERROR) for number in iter(int, 1))
    with closing(run(endless)) as results:
        assert next(results).error.message == "it is broken; mend it"


def test_one_waiting_image_does_not_delay_errors_forever(run: Any, tmp_path: Path) -> None:
    def sources() -> Iterator[Source]:
        yield Source(str(write_png(tmp_path / "a.png")))
        while True:
            yield Source("x", ERROR)

    with closing(run(sources(), batch_size=2)) as results:
        assert next(results).error is None


@pytest.mark.parametrize("count", [1, prefetch.INLINE_FILES])
def test_few_files_start_no_process(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(pool, "DecodeProcess", None)
    sources = [Source(str(write_png(tmp_path / "a.png")))] * count
    assert len(list(run(sources, workers=2))) == count
    with pytest.raises(TypeError):
        list(run([sources[0]] * (prefetch.INLINE_FILES + 1), workers=2))


def test_missing_file_is_a_row(run: Any, tmp_path: Path) -> None:
    (result,) = run(discover([str(tmp_path / "none.dcm")]))
    assert result.error.kind == "missing"


def test_bug_in_a_reader_costs_its_file_only(run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: str, options: Any, least: Any) -> None:
        raise ZeroDivisionError(f"Doe^Jane in {path}")

    monkeypatch.setattr("tier_cli.decoding.decode.read_radiograph", broken)
    (result,) = run([Source(str(folder / "0.png"))])
    assert result.error.kind == "crashed"
    assert "ZeroDivisionError" in result.error.message
    assert "Doe" not in result.error.message


def test_fail_fast_ends_with_the_first_failure(run: Any, folder: Path) -> None:
    results = list(run(discover([str(folder)]), fail_fast=True))
    assert [result.error is None for result in results] == [True, True, False]


def test_progress_ticks_once_per_file(run: Any, folder: Path) -> None:
    ticks: list[int] = []
    list(run(discover([str(folder)]), by="study", tick=lambda: ticks.append(1)))
    assert len(ticks) == 7


class _Broken(FakeEngine):
    def encode_images(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full((len(pixels), 2), np.nan, np.float32)


class _Full(FakeEngine):
    def encode_images(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")


def test_a_score_that_is_not_a_number_is_an_error(run: Any, tmp_path: Path) -> None:
    (result,) = run([Source(str(write_png(tmp_path / "a.png")))], _Broken())
    assert result.error.kind == "not_finite"
    assert result.findings == ()


def test_too_large_a_batch_names_the_remedy(run: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--batch-size"):
        list(run([Source(str(write_png(tmp_path / "a.png")))], _Full()))


def test_unknown_scoring_is_refused(vectors: FindingVectors) -> None:
    with pytest.raises(CheckpointError, match="'dot'"):
        next(classify([], [Scorer(fake_checkpoint(scoring="dot"), FakeEngine(), vectors)], FINDINGS))


def _calibration(unit: str) -> dict[str, Any]:
    key = {"weights": "a" * 64, "rendering": "voi", "prompts": FINDINGS.hash, "unit": unit}
    return {"key": key, "findings": {"bright": {"method": "platt", "a": 2.0, "b": 0.5, "threshold": 0.5}}}


@pytest.mark.parametrize("by", ["image", "study"])
def test_calibration_of_the_right_unit_only(run: Any, tmp_path: Path, by: str) -> None:
    sources = [Source(str(write_dicom(tmp_path / "a.dcm")))]
    (matched,) = run(sources, calibration=_calibration(by), by=by)
    bright, dark = matched.findings
    assert bright.probability == pytest.approx(1 / (1 + np.exp(-(2 * bright.score + 0.5))))
    assert (bright.call, dark.probability) == (bright.score >= 0.5, None)
    assert not any("probability" in note for note in matched.notes)
    (other,) = run(sources, calibration=_calibration("study" if by == "image" else "image"), by=by)
    assert other.findings[0].probability is None
    assert any("unit" in note for note in other.notes)


@pytest.fixture
def studies(tmp_path: Path) -> list[Source]:
    """Two studies and a picture, their files mixed, one of them broken."""
    files = [
        write_dicom(tmp_path / "0.dcm", 0, "1.1"),
        write_dicom(tmp_path / "1.dcm", 1, "2.2"),
        write_dicom(tmp_path / "2.dcm", 2, "1.1", Modality="CT"),
        write_png(tmp_path / "3.png", 3),
        write_dicom(tmp_path / "4.dcm", 4, "1.1"),
    ]
    return [Source(str(file)) for file in files]


def _names(results: list[Result]) -> list[list[str]]:
    return [[Path(path).name for path in result.paths] for result in results]


def test_by_study(run: Any, studies: list[Source]) -> None:
    images = {result.paths[0]: result for result in run(studies)}
    results = list(run(studies, by="study"))
    assert _names(results) == [["2.dcm"], ["0.dcm", "4.dcm"], ["1.dcm"], ["3.png"]]
    assert [result.error is None for result in results] == [False, True, True, True]
    assert {result.unit for result in results} == {"study"}
    pair = [images[studies[number].path] for number in (0, 4)]
    for number, finding in enumerate(results[1].findings):
        assert finding.score == pytest.approx(np.mean([image.findings[number].score for image in pair]))


def test_by_study_fail_fast_says_that_images_may_be_missing(run: Any, studies: list[Source]) -> None:
    results = list(run(studies, by="study", fail_fast=True))
    assert _names(results) == [["2.dcm"], ["0.dcm"], ["1.dcm"]]
    assert all("may be missing" in " ".join(result.notes) for result in results[1:])


def _interrupted(sources: list[Source], after: int) -> Iterator[Source]:
    yield from sources[:after]
    raise KeyboardInterrupt


def _collect(results: Iterator[Result], seen: list[Result]) -> None:
    for result in results:
        seen.append(result)


@pytest.mark.parametrize("thrown", [False, True])
def test_an_interruption_still_yields_the_studies_so_far(
    run: Any, studies: list[Source], thrown: bool
) -> None:
    sources = studies if thrown else _interrupted([*studies, *studies], 6)
    results = run(sources, by="study", batch_size=1)
    seen = [next(results)]
    if thrown:
        seen.append(results.throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        _collect(results, seen)
    assert _names(seen)[1][0] == "0.dcm"
    assert all("may be missing" in " ".join(result.notes) for result in seen[1:])


def test_patient_data_only_on_request(run: Any, tmp_path: Path) -> None:
    sources = [Source(str(write_dicom(tmp_path / "a.dcm")))]
    (result,) = run(sources)
    assert result.phi == {}
    assert "Doe" not in str(result)
    (result,) = run(sources, read=replace(StreamOptions().read, include_phi=True))
    assert result.phi["patient_name"] == "Doe^Jane"


def test_rendering_is_the_checkpoints(run: Any, vectors: FindingVectors, tmp_path: Path) -> None:
    plain = fake_checkpoint().preprocessing
    sources = [Source(str(write_dicom(tmp_path / "a.dcm", WindowCenter="128", WindowWidth="250")))]
    scores = []
    for rendering in ("voi", "minmax"):
        checkpoint = fake_checkpoint(preprocessing=replace(plain, rendering=rendering))
        (result,) = classify(sources, [Scorer(checkpoint, FakeEngine(), vectors)], FINDINGS)
        scores.append(result.findings[0].score)
    assert scores[0] != scores[1]
