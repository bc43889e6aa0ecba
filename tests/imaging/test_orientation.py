"""PatientOrientation: every orientation is turned upright."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from dicom_maker import codes_of, write
from PIL import Image, ImageOps

from tier_cli.imaging.orientation import Orientation, orientation_of_exif, orientation_of_patient
from tier_cli.imaging.read import read_radiograph

UPRIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)
OPPOSITE = {"L": "R", "R": "L", "H": "F", "F": "H", "A": "P", "P": "A"}


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_and_mirrored(turns: int, mirrored: bool) -> None:
    # Turn the image and, with it, the directions of its rows and columns.
    image, (across, down) = UPRIGHT, ("L", "F")
    if mirrored:
        image, across = image[:, ::-1], OPPOSITE[across]
    for _ in range(turns):
        # A quarter turn against the clock: columns now run as rows did, rows against the columns.
        image, (across, down) = np.rot90(image), (down, OPPOSITE[across])
    notes: list[str] = []
    found = orientation_of_patient((across, down), notes)
    np.testing.assert_array_equal(found.upright(image), UPRIGHT)
    assert len(notes) == (turns > 0 or mirrored)


@pytest.mark.parametrize(
    ("orientation", "note"),
    [
        (("L", "F"), None),
        (("LF", "FL"), None),
        ((), None),
        (("", ""), None),
        (("P", "F"), None),
        (("A", "F"), None),
        (("R", "F"), "mirrored left to right according to PatientOrientation R/F"),
        (("L", "H"), "flipped top to bottom according to PatientOrientation L/H"),
        (("R", "H"), "rotated by 180 degrees according to PatientOrientation R/H"),
        (("F", "R"), "rotated by 90 degrees according to PatientOrientation F/R"),
        (("H", "L"), "rotated by 90 degrees according to PatientOrientation H/L"),
        (("F", "L"), "rotated by 90 degrees and mirrored according to PatientOrientation F/L"),
        (("P", "H"), "flipped top to bottom according to PatientOrientation P/H"),
        (("L", "P"), "PatientOrientation ignored: not valid for a chest radiograph"),
        (("L",), "PatientOrientation ignored: not valid for a chest radiograph"),
        (("X", "F"), "PatientOrientation ignored: not valid for a chest radiograph"),
    ],
)
def test_notes(orientation: tuple[str, ...], note: str | None) -> None:
    notes: list[str] = []
    found = orientation_of_patient(orientation, notes)
    assert found.turned == (note is not None and "ignored" not in note)
    assert notes == ([note] if note else [])


ALL = [Orientation(*flags) for flags in itertools.product([False, True], repeat=3)]


@pytest.mark.parametrize("orientation", ALL)
def test_every_upright_pixel_leads_back_to_where_the_file_stores_it(orientation: Orientation) -> None:
    stored = UPRIGHT
    shown = orientation.upright(stored)
    back = orientation.to_stored(shown.shape)
    for y, x in np.ndindex(shown.shape):
        column, row = back @ (x, y, 1)
        assert stored[int(row), int(column)] == shown[y, x]
    assert orientation.swapped(shown.shape) == stored.shape
    assert orientation.turned == (not np.array_equal(shown, stored))


@pytest.mark.parametrize("value", [None, *range(10), "6"])
def test_exif_means_what_pillow_takes_it_to_mean(value: object) -> None:
    picture = Image.fromarray(UPRIGHT)
    if value is not None:
        picture.getexif()[0x0112] = value
    expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(orientation_of_exif(value).upright(UPRIGHT), expected)


def test_in_a_file(tmp_path: Path) -> None:
    pixels = codes_of(8, signed=False)
    found = read_radiograph(write(tmp_path / "x", 8, pixels=pixels, PatientOrientation=["R", "F"]))
    np.testing.assert_allclose(found.pixels, pixels[:, ::-1] / 255, atol=1e-6)
