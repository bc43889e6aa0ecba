"""Images whose pixels are not square get their true proportions, and positions in the file stay right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_maker import write
from numpy.typing import NDArray

from tier_cli.decoding.decode import Decoded, Settings, decode
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph


def smooth(height: int, width: int) -> NDArray[np.uint16]:
    """Return a smooth image with one bright spot."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    spot = np.exp(-((x - 0.3) ** 2 + (y - 0.7) ** 2) * 200)
    image: NDArray[np.uint16] = np.rint((0.3 * x + 0.3 * y + 0.4 * spot) * 4000).astype(np.uint16)
    return image


SQUARE = smooth(128, 128)


@pytest.mark.parametrize(
    ("pixels", "attributes"),
    [
        (smooth(64, 128), {"PixelAspectRatio": [2, 1]}),
        (smooth(128, 64), {"PixelAspectRatio": [1, 2]}),
        (smooth(64, 128), {"ImagerPixelSpacing": [0.4, 0.2]}),
        (smooth(128, 64), {"PixelSpacing": [0.2, 0.4]}),
    ],
)
@pytest.mark.parametrize("orientation", [["L", "F"], ["F", "L"]])
def test_pixels_are_made_square(
    tmp_path: Path, pixels: NDArray[Any], attributes: dict[str, Any], orientation: list[str]
) -> None:
    more: dict[str, Any] = {"WindowCenter": 2000, "WindowWidth": 4001, "PatientOrientation": orientation}
    found = read_radiograph(write(tmp_path / "x", pixels=pixels, **attributes, **more))
    expected = read_radiograph(write(tmp_path / "y", pixels=SQUARE, **more))
    np.testing.assert_allclose(found.pixels, expected.pixels, atol=0.03)
    (keyword,) = attributes
    assert any(note.endswith(f"128 x 128 square pixels according to {keyword}") for note in found.notes)
    assert sorted(found.source_size) == [64, 128]
    assert (found.source_size[0] == 128) == ((pixels.shape[0] == 128) == (orientation[0] == "L"))


@pytest.mark.parametrize("shape", [(64, 128), (128, 64), (128, 128)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_the_affine_leads_back_to_the_pixels_of_the_file(
    tmp_path: Path, shape: tuple[int, int], fit: Any
) -> None:
    path = write(tmp_path / "x", pixels=smooth(*shape), PixelAspectRatio=[128 // shape[0], 128 // shape[1]])
    spec = Preprocessing(fit=fit, resize_short=72 if fit == "crop" else None, crop=64)
    found = decode(path, Settings(ReadOptions(), spec))
    assert isinstance(found, Decoded)
    assert found.size == shape
    y, x = np.unravel_index(found.pixels[0].argmax(), (64, 64))
    source_x, source_y = np.array(found.affine) @ [x, y, 1]
    row, column = np.unravel_index(smooth(*shape).argmax(), shape)
    assert abs(source_x - column) <= 2 * shape[1] / 128 + 0.5
    assert abs(source_y - row) <= 2 * shape[0] / 128 + 0.5


@pytest.mark.parametrize(
    "attributes",
    [
        {"PixelAspectRatio": [1, 1]},
        {"PixelSpacing": [0.0, 0.0]},
        {"ImagerPixelSpacing": [0.143, 0.144]},
        {"PixelSpacing": [0.15, 0.15], "ImagerPixelSpacing": [0.17, 0.17]},
    ],
)
def test_square_pixels_stay_as_they_are(tmp_path: Path, attributes: dict[str, Any]) -> None:
    found = read_radiograph(write(tmp_path / "x", pixels=SQUARE, **attributes))
    plain = read_radiograph(write(tmp_path / "y", pixels=SQUARE))
    np.testing.assert_array_equal(found.pixels, plain.pixels)
    assert (found.notes, found.stretched_from) == ((), None)


def test_proportions_that_cannot_be_or_contradict_are_noted(tmp_path: Path) -> None:
    found = read_radiograph(write(tmp_path / "x", pixels=SQUARE, PixelAspectRatio=[1, 300]))
    assert found.pixels.shape == (128, 128)
    assert found.notes == ("PixelAspectRatio ignored: pixels 300 times as long as wide are an error",)
    found = read_radiograph(
        write(tmp_path / "y", pixels=SQUARE, PixelAspectRatio=[1, 2], PixelSpacing=[0.2, 0.2])
    )
    assert found.pixels.shape == (128, 128)
    assert found.notes == ("the proportions of the pixels differ between attributes: PixelSpacing was used",)
