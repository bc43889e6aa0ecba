"""The greyscale pipeline against the standard's own formulas and published numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_maker import codes_of, dataset_of, lut_item, save, write
from numpy.typing import NDArray
from pydicom.multival import MultiValue
from scipy.special import expit

from tier_cli.imaging.display import Display, Lut, Rescale, Window, domain, grey_table
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.imaging.render import equalised

# https://en.wikipedia.org/wiki/Histogram_equalization: an image and its equalised form.
BEFORE = """52 55 61 59 79 61 76 61  62 59 55 104 94 85 59 71  63 65 66 113 144 104 63 72
64 70 70 126 154 109 71 69  67 73 68 106 122 88 68 68  68 79 60 70 77 66 58 75
69 85 64 58 55 61 65 83  70 87 69 68 65 73 78 90"""
AFTER = """0 12 53 32 190 53 174 53  57 32 12 227 219 202 32 154  65 85 93 239 251 227 65 158
73 146 146 247 255 235 154 130  97 166 117 231 243 210 117 117  117 190 36 146 178 93 20 170
130 202 73 20 12 53 85 194  146 206 130 117 85 166 182 215"""


def grid(text: str) -> NDArray[np.float32]:
    return np.array(text.split(), np.float32).reshape(8, 8)


def no_counts() -> NDArray[np.int64]:
    raise AssertionError("counting pixels costs time and is not needed here")


def test_linear_window_as_in_the_standard() -> None:
    # PS3.3 C.11.2.1.2.1, its example: center 2048, width 4096 of 12 bits shows the whole range.
    grey = Window(2048, 4096)(np.array([0.0, 2047.5, 4095.0]))
    np.testing.assert_allclose(grey, [0, 0.5, 1])
    # The other example: width 1 is a threshold at center - 0.5.
    np.testing.assert_array_equal(Window(2048, 1)(np.array([2047.0, 2048.0])), [0, 1])


def test_linear_exact_and_sigmoid_as_in_the_standard() -> None:
    values = np.linspace(-5000, 5000, 101)
    exact = [min(max((x - 40) / 400 + 0.5, 0), 1) for x in values]
    np.testing.assert_allclose(Window(40, 400, "LINEAR_EXACT")(values), exact)
    np.testing.assert_allclose(Window(40, 400, "SIGMOID")(values), expit(4 * (values - 40) / 400), atol=1e-12)


def test_equalisation_has_the_published_result() -> None:
    np.testing.assert_array_equal(np.rint(equalised(grid(BEFORE) / np.float32(255)) * 255), grid(AFTER))


def test_equalising_twice_changes_nothing() -> None:
    once = equalised(grid(BEFORE) / np.float32(255))
    np.testing.assert_array_equal(equalised(once), once)


def opencv_equalised(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """OpenCV's equalizeHist, step by step (modules/imgproc/src/histogram.cpp)."""
    counts = [int((levels == level).sum()) for level in range(256)]
    lowest = next(level for level in range(256) if counts[level])
    scale = np.float32(255) / np.float32(levels.size - counts[lowest])
    table, total = [0.0] * 256, 0
    for level in range(lowest + 1, 256):
        total += counts[level]
        table[level] = float(np.rint(np.float32(total) * scale))
    return np.array(table)[levels]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_minmax_equalized_is_made_as_mimic_cxr_jpg_was(tmp_path: Path, photometric: str) -> None:
    pixels = codes_of(14, signed=False)
    path = write(
        tmp_path / "mimic",
        14,
        pixels=pixels,
        PhotometricInterpretation=photometric,
        WindowWidth=9,
        WindowCenter=9,
    )
    upright = pixels.max() - pixels if photometric == "MONOCHROME1" else pixels - pixels.min()
    levels = (upright / upright.max() * 255).astype(np.uint8)
    found = read_radiograph(path, ReadOptions(rendering="minmax-equalized")).pixels * 255
    assert np.mean(np.rint(found) == opencv_equalised(levels)) > 0.999


def test_minmax_uses_all_values_and_no_window(tmp_path: Path) -> None:
    pixels = codes_of(12, signed=True).astype(np.float64)
    path = write(
        tmp_path / "x",
        pixels=pixels.astype(np.int16),
        RescaleSlope=-1,
        RescaleIntercept=5,
        WindowCenter=[0, 1],
        WindowWidth=[2, 0],
    )
    expected = (pixels.max() - pixels) / np.ptp(pixels)
    found = read_radiograph(path, ReadOptions(rendering="minmax"))
    assert found.notes == ()
    assert found.notes == ()
    np.testing.assert_allclose(found.pixels, expected, atol=1e-6)


def test_eight_bits_without_a_window_keep_their_levels(tmp_path: Path) -> None:
    pixels = codes_of(8, signed=False) // 2
    np.testing.assert_allclose(
        read_radiograph(write(tmp_path / "x", 8, pixels=pixels)).pixels, pixels / 255, atol=1e-6
    )


@pytest.mark.parametrize("rendering", ["voi", "minmax", "minmax-equalized"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("limit", [None, 65535])
def test_padding_is_black_and_not_an_extreme(
    tmp_path: Path, rendering: Any, photometric: str, limit: int | None
) -> None:
    pixels = codes_of(12, signed=False).astype(np.uint16) + 100
    plain = write(tmp_path / "plain", 16, pixels=pixels, PhotometricInterpretation=photometric)
    padded = pixels.copy()
    padded[:, :8] = 65535 if limit is None else 65000
    path = write(
        tmp_path / "padded",
        16,
        pixels=padded,
        PhotometricInterpretation=photometric,
        PixelPaddingValue=65535 if limit is None else 60000,
        **({} if limit is None else {"PixelPaddingRangeLimit": limit}),
    )
    found = read_radiograph(path, ReadOptions(rendering=rendering))
    assert found.pixels[:, :8].max() == 0
    if rendering != "minmax-equalized":
        expected = read_radiograph(plain, ReadOptions(rendering=rendering)).pixels
        np.testing.assert_allclose(found.pixels[:, 8:], expected[:, 8:], atol=0.02)


def test_padding_that_covers_everything_is_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "x", PixelPaddingValue=0, PixelPaddingRangeLimit=4095)
    found = read_radiograph(path)
    assert found.notes == ("padding value ignored: it covers the whole image",)
    np.testing.assert_array_equal(found.pixels, read_radiograph(write(tmp_path / "y")).pixels)


def test_tables_count_only_what_they_need() -> None:
    display = Display(Rescale(2, -1), Window(40, 400))
    grey = grey_table(display, 12, True, "voi", no_counts)
    np.testing.assert_allclose(grey, Window(40, 400)(domain(12, True) * 2 - 1), atol=1e-6)


def test_lut_extends_its_end_values() -> None:
    lut = Lut(10, np.array([3.0, 5.0, 9.0]), 8)
    np.testing.assert_array_equal(lut(np.array([-100.0, 10, 11, 12, 500])), [3, 3, 5, 9, 9])


def notes_of(path: Path, **attributes: Any) -> tuple[str, ...]:
    return read_radiograph(write(path, **attributes)).notes


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted", "contradiction"),
    [
        ("MONOCHROME1", "", True, False),
        ("MONOCHROME2", "", False, False),
        ("MONOCHROME1", "INVERSE", True, False),
        ("MONOCHROME2", "IDENTITY", False, False),
        ("MONOCHROME1", "IDENTITY", False, True),
        ("MONOCHROME2", "INVERSE", True, True),
    ],
)
@pytest.mark.parametrize("rendering", ["voi", "minmax", "minmax-equalized"])
def test_polarity_is_settled_once(
    tmp_path: Path, photometric: str, shape: str, inverted: bool, contradiction: bool, rendering: Any
) -> None:
    path = write(tmp_path / "x", PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    found = read_radiograph(path, ReadOptions(rendering=rendering))
    top_is_bright = found.pixels[:16].mean() > found.pixels[-16:].mean()
    assert top_is_bright == inverted
    assert any("contradicts" in note for note in found.notes) == contradiction


def test_windows_are_picked_by_number(tmp_path: Path) -> None:
    path = write(tmp_path / "x", WindowCenter=[1800, 2300], WindowWidth=[2500, 2200])
    pixels = codes_of(12, signed=False).astype(np.float64)
    for number, window in enumerate([Window(1800, 2500), Window(2300, 2200)]):
        found = read_radiograph(path, ReadOptions(window=number))
        np.testing.assert_allclose(found.pixels, window(pixels), atol=1e-6)
        assert found.notes == (f"window {number + 1} of 2 used",)
    assert "window 4 does not exist" in read_radiograph(path, ReadOptions(window=3)).notes[0]


def test_a_voi_lut_goes_before_a_window(tmp_path: Path) -> None:
    curve = [1023 - code // 4 for code in range(4096)]
    path = write(tmp_path / "x", VOILUTSequence=[lut_item(curve, 0, 10)], WindowCenter=1000, WindowWidth=500)
    expected = np.array(curve)[codes_of(12, signed=False)] / 1023
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1e-6)


def test_a_lut_of_65536_entries(tmp_path: Path) -> None:
    item = lut_item(list(range(65535, -1, -1)), 0, 16)
    assert item.LUTDescriptor[0] == 0
    path = write(tmp_path / "x", 16, VOILUTSequence=[item])
    np.testing.assert_allclose(
        read_radiograph(path).pixels, 1 - codes_of(16, signed=False) / 65535, atol=1e-6
    )


@pytest.mark.parametrize("vr", ["US", "SS"])
def test_a_luts_first_value_is_signed_where_values_are(tmp_path: Path, vr: str) -> None:
    pixels = codes_of(12, signed=True)
    item = lut_item(list(range(4096)), 0, 12)
    item["LUTDescriptor"].VR = vr
    item.LUTDescriptor = MultiValue(int, [4096, -2048 if vr == "SS" else 65536 - 2048, 12])
    dataset = dataset_of(pixels, 12, VOILUTSequence=[item])
    found = read_radiograph(save(dataset, tmp_path / vr))
    np.testing.assert_allclose(found.pixels, (pixels + 2048.0) / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "note"),
    [
        ({"WindowCenter": 100, "WindowWidth": 0}, "window of width 0 ignored"),
        ({"WindowCenter": 100, "WindowWidth": -7}, "window of width -7 ignored"),
        ({"RescaleSlope": 0, "RescaleIntercept": 4}, "invalid rescale slope or intercept ignored"),
        ({"VOILUTSequence": [lut_item([], 0, 12)]}, "empty VOI LUT ignored"),
        ({"ModalityLUTSequence": [lut_item([], 0, 12)]}, "empty modality LUT ignored"),
        ({"PresentationLUTShape": "LIN OD"}, "unknown presentation LUT shape ignored"),
    ],
)
def test_invalid_values_fall_back_with_a_note(tmp_path: Path, attributes: dict[str, Any], note: str) -> None:
    found = read_radiograph(write(tmp_path / "odd", **attributes))
    assert found.notes == (note,)
    np.testing.assert_array_equal(found.pixels, read_radiograph(write(tmp_path / "plain")).pixels)


def test_a_width_of_a_fraction_is_exact(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x",
        RescaleSlope="0.000244140625",
        RescaleIntercept="0",
        WindowCenter="0.5",
        WindowWidth="0.5",
    )
    expected = (codes_of(12, signed=False) / 4096 - 0.25) / 0.5
    np.testing.assert_allclose(read_radiograph(path).pixels, expected.clip(0, 1), atol=1e-6)


def test_an_unknown_window_function_is_linear(tmp_path: Path) -> None:
    attributes: dict[str, Any] = {"WindowCenter": 2000, "WindowWidth": 3000}
    odd = read_radiograph(write(tmp_path / "x", VOILUTFunction="CUBIC", **attributes))
    assert odd.notes == ("unknown VOI LUT function: LINEAR used",)
    np.testing.assert_array_equal(odd.pixels, read_radiograph(write(tmp_path / "y", **attributes)).pixels)


def test_pixels_are_what_the_contract_says(tmp_path: Path) -> None:
    pixels = read_radiograph(write(tmp_path / "x")).pixels
    assert pixels.dtype == np.float32
    assert (pixels.shape, pixels.flags.c_contiguous) == ((64, 64), True)
    assert (pixels.min(), pixels.max()) == (0, 1)
    assert math.isfinite(float(pixels.sum()))
