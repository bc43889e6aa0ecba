"""Maps point at the place in the file where a lesion is, whatever its polarity, size and orientation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from bright_eye import bright_model, open_eye, trained_model
from dicom_maker import write
from numpy.typing import NDArray
from PIL import Image

from tier_cli.imaging.discover import Source
from tier_cli.maps.similarity import finding_directions
from tier_cli.phantom.cohort import cases
from tier_cli.phantom.render import make_phantom
from tier_cli.pipeline.explain import explain
from tier_cli.pipeline.scoring_job import ScoringJob
from tier_cli.pipeline.stream import StreamOptions

Grey = NDArray[np.float32]

# The lesion's centre in shares of the short side from the middle of the image: right, down.
QUADRANTS = [(-0.25, -0.25), (-0.25, 0.25), (0.25, -0.25), (0.25, 0.25)]
RADIUS = 0.13
OPPOSITE = {"L": "R", "R": "L", "H": "F", "F": "H"}
PORTRAIT, LANDSCAPE = (440, 372), (372, 440)
ORIENTATIONS = list(itertools.product(range(4), (False, True)))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> ScoringJob:
    return open_eye(tmp_path_factory.mktemp("models") / "eye", bright_model())


@cache
def chest(shape: tuple[int, int]) -> Grey:
    """Return a healthy chest (H, W), dimmed so that nothing is as bright as a lesion."""
    return make_phantom(3, shape=shape).pixels * np.float32(0.6)


def with_lesion(chest: Grey, quadrant: tuple[float, float]) -> tuple[Grey, tuple[float, float]]:
    """Paint a white disc into an image as it is stored; also return its centre (x, y)."""
    height, width = chest.shape
    short = min(height, width)
    x, y = width / 2 + quadrant[0] * short, height / 2 + quadrant[1] * short
    down, across = np.ogrid[:height, :width]
    disc = np.hypot(across + 0.5 - x, down + 0.5 - y) <= RADIUS * short
    return np.where(disc, np.float32(1), chest), (x, y)


def check_peaks(
    job: ScoringJob,
    files: Sequence[tuple[str, tuple[float, float]]],
    short: int,
    near: float = RADIUS,
) -> None:
    """Check that the map of each file peaks at its lesion: in the file, and in the picture that is shown.

    Parameters
    ----------
    job
        The model.
    files
        Paths, and the centre (x, y) of the lesion in the pixels of the file.
    short, near
        The short side, and how far from the lesion the peak may be as a share of it.
    """
    directions = finding_directions(job.vectors, "cosine_difference")
    sources = [Source(path) for path, _ in files]
    for seen, (_, (x, y)) in zip(
        explain(sources, job, StreamOptions(workers=0), picture=4096), files, strict=True
    ):
        assert seen.patches is not None, seen.error
        assert seen.picture is not None
        grid, (values,) = seen.patches.grid, seen.patches.similarities(directions)
        row, column = np.unravel_index(values.argmax(), values.shape)
        box = grid.box(int(row), int(column))
        x0, y0, x1, y1 = grid.stored_box(box)
        assert np.hypot((x0 + x1) / 2 - x, (y0 + y1) / 2 - y) < near * short
        # The affine to the file leads there too.
        patch = grid.side / grid.rows
        place = np.array([(column + 0.5) * patch - 0.5, (row + 0.5) * patch - 0.5, 1])
        np.testing.assert_allclose(np.array(grid.stored_affine) @ place + 0.5, [(x0 + x1) / 2, (y0 + y1) / 2])
        if near > RADIUS:
            continue
        # Its shape can differ from that of the source image.
        down, across = np.array(seen.picture.shape) / grid.size
        assert seen.picture[int((box[1] + box[3]) / 2 * down), int((box[0] + box[2]) / 2 * across)] > 240


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("turns", "mirrored"), ORIENTATIONS)
def test_in_dicom_files(
    tmp_path: Path, job: ScoringJob, turns: int, mirrored: bool, photometric: str
) -> None:
    for shape in (PORTRAIT, LANDSCAPE):
        files = _turned(tmp_path, chest(shape), turns, mirrored, photometric)
        check_peaks(job, files, min(shape))


def _turned(
    folder: Path, hung: Grey, turns: int, mirrored: bool, photometric: str
) -> list[tuple[str, tuple[float, float]]]:
    """Write a chest turned, with a lesion in each quadrant of the file; its header says how it is turned."""
    across, down = "L", "F"
    if mirrored:
        across = OPPOSITE[across]
    for _ in range(turns):
        across, down = down, OPPOSITE[across]
    stored = np.rot90(hung[:, ::-1] if mirrored else hung, turns)
    return [
        _dicom(folder / f"{number}.dcm", stored, quadrant, photometric, (across, down))
        for number, quadrant in enumerate(QUADRANTS)
    ]


def _dicom(
    path: Path,
    stored: Grey,
    quadrant: tuple[float, float],
    photometric: str = "MONOCHROME2",
    orientation: Sequence[str] = ("L", "F"),
) -> tuple[str, tuple[float, float]]:
    grey, centre = with_lesion(stored, quadrant)
    codes = np.rint(grey * 4095).astype(np.uint16)
    if photometric == "MONOCHROME1":
        codes = 4095 - codes
    written = write(
        path,
        pixels=codes,
        PhotometricInterpretation=photometric,
        PatientOrientation=list(orientation),
    )
    return written, centre


@pytest.mark.parametrize("shape", [(3000, 2400), (2400, 3000), (1000, 440)])
def test_in_large_and_long_files(tmp_path: Path, job: ScoringJob, shape: tuple[int, int]) -> None:
    small = chest((shape[0] // 4, shape[1] // 4))
    hung = np.kron(small, np.ones((4, 4), np.float32))
    # Sideways and mirrored, the case with most to go wrong.
    path, centre = _dicom(tmp_path / "a.dcm", hung.T, QUADRANTS[1], "MONOCHROME1", ("F", "L"))
    check_peaks(job, [(path, centre)], min(shape))


def test_in_files_whose_pixels_are_not_square(tmp_path: Path, job: ScoringJob) -> None:
    hung = chest((440, 440))[:, ::2]
    files = []
    for number, quadrant in enumerate(QUADRANTS):
        grey, centre = with_lesion(hung, quadrant)
        path = write(
            tmp_path / f"{number}.dcm",
            pixels=np.rint(grey.T * 4095).astype(np.uint16),
            PatientOrientation=["F", "R"],
            ImagerPixelSpacing=[1.0, 0.5],
        )
        files.append((path, centre[::-1]))
    check_peaks(job, files, 220)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("exif_orientation", range(1, 9))
def test_in_pictures(tmp_path: Path, job: ScoringJob, exif_orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = exif_orientation
    files = []
    for number, quadrant in enumerate(QUADRANTS):
        grey, centre = with_lesion(chest(PORTRAIT), quadrant)
        path = tmp_path / f"{number}.{suffix}"
        Image.fromarray(np.rint(grey * 255).astype(np.uint8)).save(path, exif=exif)
        files.append((str(path), centre))
    check_peaks(job, files, min(PORTRAIT))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ScoringJob:
    """A model that learned on phantoms whether there is a lesion, not where."""
    rng = np.random.default_rng(0)
    pictures, labels = [], []
    for number, case in enumerate(cases(160, 0, 96)):
        healthy = case.render().pixels
        x, y = rng.uniform(-0.33, 0.33, 2).tolist()
        pictures.append(with_lesion(healthy, (x, y))[0] if number % 2 else healthy)
        labels.append(number % 2)
    model = trained_model(pictures, labels, epochs=30)
    return open_eye(tmp_path_factory.mktemp("models") / "trained", model)


@pytest.mark.slow
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("turns", "mirrored"), ORIENTATIONS)
@pytest.mark.parametrize("shape", [PORTRAIT, LANDSCAPE])
def test_with_a_model_that_learned_on_phantoms(
    tmp_path: Path, trained: ScoringJob, shape: tuple[int, int], turns: int, mirrored: bool, photometric: str
) -> None:
    files = _turned(tmp_path, make_phantom(3, shape=shape).pixels, turns, mirrored, photometric)
    # Nothing in the training says where a lesion is: the patch next to it may know it as well.
    check_peaks(trained, files, min(shape), near=1.5 / 7)
