"""Finer maps: the mean over shifted crops, and larger inputs, with the scores of the usual crop."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bright_eye import PREPROCESSING, bright_model, open_eye
from dicom_maker import write

from tier_cli.errors import UsageError
from tier_cli.imaging.discover import Source
from tier_cli.imaging.preprocess import Preprocessing, prepare, prepare_shifted
from tier_cli.maps.overlap import OverlappingPatches, overlap_shifts
from tier_cli.maps.patch_grid import PatchGrid
from tier_cli.maps.similarity import PatchMap, finding_directions
from tier_cli.pipeline.explain import AS_IT_IS, Finer, ImagePatches, crops_of, explain
from tier_cli.pipeline.scoring_job import ScoringJob
from tier_cli.pipeline.stream import StreamOptions

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> ScoringJob:
    return open_eye(tmp_path_factory.mktemp("models") / "eye", bright_model())


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, tuple[float, float]]:
    """A file that stores a bright spot lying on its side, and where in the file the spot is."""
    down, across = np.ogrid[:256, :300]
    shade = 600 + 2 * down + across + RNG.normal(0, 20, (256, 300))
    codes = np.where(np.hypot(across - 120, down - 90) < 22, 4095, shade).astype(np.uint16)
    path = tmp_path_factory.mktemp("files") / "a.dcm"
    return write(path, pixels=codes, PatientOrientation=["F", "L"]), (120.5, 90.5)


def run(job: ScoringJob, path: str, finer: Finer, workers: int = 0) -> ImagePatches:
    (seen,) = explain([Source(path)], job, StreamOptions(workers=workers), 64, finer=finer)
    return seen


def values_of(seen: ImagePatches, job: ScoringJob) -> Any:
    assert seen.patches is not None, seen.error
    return seen.patches.similarities(finding_directions(job.vectors, "cosine_difference"))[0]


@pytest.mark.parametrize("finer", [AS_IT_IS, Finer(2), Finer(3), Finer(4), Finer(size=112), Finer(2, 112)])
def test_the_peak_is_at_the_spot_and_the_scores_do_not_change(
    job: ScoringJob, spot: tuple[str, tuple[float, float]], finer: Finer
) -> None:
    path, (x, y) = spot
    usual, seen = run(job, path, AS_IT_IS), run(job, path, finer)
    assert seen.result == usual.result
    assert seen.patches is not None
    assert usual.patches is not None
    grid, times = seen.patches.grid, finer.overlap * (finer.size or 56) // 56
    assert (grid.rows, grid.columns) == (7 * times, 7 * times)
    # Crops begin at whole pixels of the resized image, each 4 pixels of this file wide.
    np.testing.assert_allclose(grid.view, usual.patches.grid.view, atol=2 if finer.size else 1e-6)
    values = values_of(seen, job)
    row, column = np.unravel_index(values.argmax(), values.shape)
    x0, y0, x1, y1 = grid.stored_box(grid.box(int(row), int(column)))
    assert np.hypot((x0 + x1) / 2 - x, (y0 + y1) / 2 - y) < 22


def test_crops_reach_other_processes_and_come_back(
    job: ScoringJob, spot: tuple[str, tuple[float, float]]
) -> None:
    here, there = (run(job, spot[0], Finer(2, 112), workers) for workers in (0, 1))
    np.testing.assert_array_equal(values_of(here, job), values_of(there, job))
    assert here.patches is not None
    assert there.patches is not None
    assert here.patches.grid == there.patches.grid


@pytest.mark.parametrize("shift", [(0, 0), (4, -3), (-4, 4)])
def test_a_shifted_crop_is_that_part_of_the_image(shift: tuple[int, int]) -> None:
    # 64 pixels stay 64: nothing is resampled, and the crop has a margin of 4.
    image = RNG.random((64, 64)).astype(np.float32)
    (made,) = prepare_shifted(image, PREPROCESSING, [shift])
    down, right = shift
    expected = image[4 + down : 60 + down, 4 + right : 60 + right]
    np.testing.assert_allclose(made.pixels[0], expected, atol=1e-6)
    np.testing.assert_allclose(made.affine @ (0, 0, 1), (4 + right, 4 + down))


@pytest.mark.parametrize("spec", [
    Preprocessing(resize_short=None, crop=32),
    Preprocessing(fit="pad", resize_short=None, crop=32),
    Preprocessing(fit="pad_first", resize_short=None, crop=32),
    Preprocessing(fit="stretch", resize_short=None, crop=32),
    Preprocessing(fit="pad", resize_short=None, crop=32, square=48),
])  # fmt: skip
def test_a_shifted_crop_overlaps_with_the_usual_one(spec: Preprocessing) -> None:
    """Whatever the checkpoint's fit, so that both maps can be laid over the image."""
    image = RNG.random((80, 70)).astype(np.float32)
    usual, shifted = prepare_shifted(image, spec, [(0, 0), (6, 4)])
    np.testing.assert_array_equal(usual.pixels, prepare(image, spec).pixels)
    np.testing.assert_allclose(shifted.affine @ (3, 5, 1), usual.affine @ (3 + 4, 5 + 6, 1), atol=1e-9)
    # Away from the edges, where a second resampling cannot see what the other crop cuts off.
    np.testing.assert_allclose(shifted.pixels[:, 4:20, 4:20], usual.pixels[:, 10:26, 8:24], atol=1e-5)


def test_the_mean_is_over_the_crops_that_see_a_place() -> None:
    side, shifts = 8, [(0, 2), (2, 0), (2, 2)]
    grid = PatchGrid(2, 2, side, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), (8, 8))
    first, others = RNG.random((4, 3)).astype(np.float32), RNG.random((3, 4, 3)).astype(np.float32)
    found = OverlappingPatches(PatchMap(first, grid), others, shifts, 2).similarities(np.eye(3)[:1])
    assert found.shape == (1, 4, 4)
    for row, column in np.ndindex(4, 4):
        seen = []
        for patches, (down, right) in zip([first, *others], [(0, 0), *shifts], strict=True):
            y, x = 2 * row + 1 - down, 2 * column + 1 - right
            if y >= 0 and x >= 0:
                patch = patches[y // 4 * 2 + x // 4]
                seen.append(patch[0] / np.linalg.norm(patch))
        assert found[0, row, column] == pytest.approx(np.mean(seen))


def test_shifts_divide_a_patch_and_never_leave_its_neighbours() -> None:
    assert overlap_shifts(224, 7, 1) == [0]
    assert overlap_shifts(224, 7, 3) == [0, 11, -11]
    assert overlap_shifts(224, 14, 2) == [0, 8]


@pytest.mark.parametrize(
    ("finer", "said"),
    [
        (Finer(0), "--overlap: is 0; give a whole number from 1 to 4"),
        (Finer(5), "--overlap: is 5"),
        (Finer(size=113), "--size 113: is no multiple of a patch's 8 pixels from 56 to 224; try --size 112"),
        (Finer(size=48), "--size 48: is no multiple"),
        (Finer(size=448), "--size 448: is no multiple"),
    ],
)
def test_what_cannot_be_computed_is_refused(job: ScoringJob, finer: Finer, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        crops_of(job, finer)


def test_a_graph_of_one_size_is_not_run_at_another(job: ScoringJob) -> None:
    engine: Any = SimpleNamespace(name="onnx", patches=job.engine.patches)
    fixed = ScoringJob((replace(job.members[0], engine=engine),), job.findings)
    with pytest.raises(UsageError, match="takes images of 56 pixels only; add --engine torch"):
        crops_of(fixed, Finer(size=112))
    assert crops_of(fixed, Finer(2)) is not None
