"""Pictures that are nearly black or white, masks, padding and values beyond the stored bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_maker import codes_of, dataset_of, lut_item, save, write
from PIL import Image

from tier_cli.errors import InputError
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph


def refusal(path: str, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        read_radiograph(path, ReadOptions(**options))
    assert caught.value.remedy
    return caught.value


def raster(values: np.ndarray, path: Path) -> str:
    Image.fromarray(values).save(path)
    return str(path)


@pytest.mark.parametrize("highest", [255, 1023, 4095, 32767])
@pytest.mark.parametrize("inverse", [False, True])
def test_a_voi_lut_narrower_than_its_descriptor_is_shown_in_full(
    tmp_path: Path, highest: int, inverse: bool
) -> None:
    curve = np.linspace(0, highest, 4096).round().astype(int)[:: -1 if inverse else 1]
    path = write(tmp_path / "x", VOILUTSequence=[lut_item(curve.tolist(), 0, 16)])
    found = read_radiograph(path)
    assert found.notes == (f"VOI LUT scaled by its highest entry: {highest} of 65535",)
    expected = curve[codes_of(12, signed=False)] / highest
    np.testing.assert_allclose(found.pixels, expected, atol=1e-6)


def test_a_voi_lut_that_reaches_its_descriptors_range_is_not_scaled(tmp_path: Path) -> None:
    curve = np.linspace(0, 60000, 4096).round().astype(int).tolist()
    found = read_radiograph(write(tmp_path / "x", VOILUTSequence=[lut_item(curve, 0, 16)]))
    assert found.notes == ()
    expected = np.array(curve)[codes_of(12, signed=False)] / 65535
    np.testing.assert_allclose(found.pixels, expected, atol=1e-6)


def hot(bits: int) -> np.ndarray:
    pixels = codes_of(bits, signed=False) // 20
    pixels[3, 3] = 2**bits - 1
    return pixels


@pytest.mark.parametrize(
    ("bits", "attributes", "level"),
    [
        # A window for 12 bits on 8, one of CT on a radiograph, and one that lies below all values.
        (8, {"WindowCenter": 2048, "WindowWidth": 4096}, "black"),
        (16, {"WindowCenter": 40, "WindowWidth": 400, "pixels": codes_of(16, signed=False) // 2 + 500}, ""),
        (12, {"WindowCenter": -32000, "WindowWidth": 65536, "RescaleSlope": "0.5"}, "white"),
        (12, {"pixels": hot(12)}, "black"),
        (12, {"pixels": hot(12), "PhotometricInterpretation": "MONOCHROME1"}, "white"),
    ],
)
def test_what_is_shown_nearly_black_or_white_is_refused(
    tmp_path: Path, bits: int, attributes: dict[str, Any], level: str
) -> None:
    path = write(tmp_path / "x", bits, **attributes)
    error = refusal(path)
    assert error.kind == "blank"
    assert f"nearly {level}" in error.what
    if level:
        notes = read_radiograph(path, ReadOptions(accept_any=True)).notes
        assert any(note.startswith("accepted although the image is nearly") for note in notes)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_a_16_bit_picture_that_holds_fewer_bits_is_refused(tmp_path: Path, bits: int) -> None:
    path = raster(codes_of(bits, signed=False).astype(np.uint16), tmp_path / "x.png")
    error = refusal(path)
    assert (error.kind, "nearly black" in error.what) == ("blank", True)
    # A checkpoint whose rendering stretches the picture is not affected.
    assert read_radiograph(path, ReadOptions(rendering="minmax")).pixels.max() == 1


@pytest.mark.parametrize("levels", [2, 3, 8])
@pytest.mark.parametrize("kind", ["png", "jpg", "dcm"])
def test_masks_are_refused(tmp_path: Path, kind: str, levels: int) -> None:
    # Blocks of eight pixels, which JPEG keeps.
    blocks = np.arange(256).reshape(16, 16) // 32 * levels // 8
    mask = np.kron(blocks * (255 // (levels - 1)), np.ones((8, 8), np.int64)).astype(np.uint8)
    name = tmp_path / f"x.{kind}"
    path = write(name, 8, pixels=mask) if kind == "dcm" else raster(mask, name)
    error = refusal(path)
    assert (error.kind, "grey levels" in error.what) == ("mask", True)
    assert read_radiograph(path, ReadOptions(accept_any=True)).pixels.max() > 0.9


def test_padding_does_not_hide_that_the_rest_is_white(tmp_path: Path) -> None:
    pixels = codes_of(12, signed=False) // 20 + 3800
    pixels[:, :30] = 0
    assert refusal(
        write(tmp_path / "x", pixels=pixels, WindowCenter=2048, WindowWidth=4096, PixelPaddingValue=0)
    )


def saturated() -> np.ndarray:
    pixels = codes_of(12, signed=False)
    pixels[40:, 10:30] = 4095
    return pixels


@pytest.mark.parametrize("value", [65535, -1, 4096 + 4095])
@pytest.mark.parametrize("rendering", ["voi", "minmax", "minmax-equalized"])
def test_a_padding_value_beyond_the_stored_bits_does_not_hide_saturated_bone(
    tmp_path: Path, value: int, rendering: Any
) -> None:
    plain = read_radiograph(write(tmp_path / "x", pixels=saturated()), ReadOptions(rendering=rendering))
    dataset = dataset_of(saturated(), 12)
    dataset.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
    found = read_radiograph(save(dataset, tmp_path / "y"), ReadOptions(rendering=rendering))
    assert found.pixels[50, 20] == 1
    np.testing.assert_array_equal(found.pixels, plain.pixels)
    assert found.notes == ()


@pytest.mark.parametrize("rendering", ["voi", "minmax"])
def test_padding_beyond_the_stored_bits_is_black_where_it_occurs(tmp_path: Path, rendering: Any) -> None:
    pixels = saturated()
    plain = read_radiograph(write(tmp_path / "x", pixels=pixels), ReadOptions(rendering=rendering))
    pixels[:, :5] = 65535
    path = write(tmp_path / "y", pixels=pixels, PixelPaddingValue=65535)
    found = read_radiograph(path, ReadOptions(rendering=rendering))
    assert found.notes == ()
    assert found.pixels[:, :5].max() == 0
    np.testing.assert_allclose(found.pixels[:, 5:], plain.pixels[:, 5:], atol=0.01)


@pytest.mark.parametrize("value", [-2000, 63536, 2096])
def test_signed_padding_is_found_however_it_is_written(tmp_path: Path, value: int) -> None:
    pixels = codes_of(12, signed=True)
    pixels = np.where(pixels == -2000, -1999, pixels).astype(np.int16)
    pixels[:, :5] = -2000
    dataset = dataset_of(pixels, 12)
    dataset.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
    found = read_radiograph(save(dataset, tmp_path / "x"))
    assert found.pixels[:, :5].max() == 0
    assert found.pixels[:, 5:].max() == 1


def test_values_beyond_the_stored_bits_are_noted_unless_they_are_an_overlay(tmp_path: Path) -> None:
    pixels = codes_of(12, signed=False)
    pixels[10:20, 10:20] |= 1 << 12
    note = "some values need more than the 12 bits of BitsStored: the bits above were ignored"
    assert read_radiograph(write(tmp_path / "x", pixels=pixels)).notes == (note,)
    dataset = dataset_of(pixels, 12)
    dataset.add_new(0x60000100, "US", 16)
    dataset.add_new(0x60000102, "US", 12)
    assert read_radiograph(save(dataset, tmp_path / "y")).notes == ()
    assert read_radiograph(write(tmp_path / "z", pixels=codes_of(12, signed=True))).notes == ()
