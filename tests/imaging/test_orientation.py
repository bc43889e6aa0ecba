"""PatientOrientation: every way an image can lie, brought back to hang as it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_maker import codes_of, write

from tier_cli.imaging.orientation import hang
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
    np.testing.assert_array_equal(hang(image, (across, down), notes), UPRIGHT)
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
        (("R", "F"), "mirrored left to right, as PatientOrientation R/F says"),
        (("L", "H"), "flipped top to bottom, as PatientOrientation L/H says"),
        (("R", "H"), "turned upside down, as PatientOrientation R/H says"),
        (("F", "R"), "turned a quarter, as PatientOrientation F/R says"),
        (("H", "L"), "turned a quarter, as PatientOrientation H/L says"),
        (("F", "L"), "turned a quarter and mirrored, as PatientOrientation F/L says"),
        (("P", "H"), "flipped top to bottom, as PatientOrientation P/H says"),
        (("L", "P"), "PatientOrientation ignored: it is not that of a chest"),
        (("L",), "PatientOrientation ignored: it is not that of a chest"),
        (("X", "F"), "PatientOrientation ignored: it is not that of a chest"),
    ],
)
def test_notes(orientation: tuple[str, ...], note: str | None) -> None:
    notes: list[str] = []
    hang(UPRIGHT, orientation, notes)
    assert notes == ([note] if note else [])


def test_in_a_file(tmp_path: Path) -> None:
    pixels = codes_of(8, signed=False)
    found = read_radiograph(write(tmp_path / "x", 8, pixels=pixels, PatientOrientation=["R", "F"]))
    np.testing.assert_allclose(found.pixels, pixels[:, ::-1] / 255, atol=1e-6)
