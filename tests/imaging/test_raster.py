"""PNG, JPEG and TIFF pictures."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from dicom_maker import codes_of
from PIL import Image

from tier_cli.errors import InputError
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph

GREY = codes_of(8, signed=False)
DEEP = codes_of(16, signed=False)


def saved(image: Image.Image, path: Path, **options: Any) -> str:
    image.save(path, **options)
    return str(path)


def kind_of(path: str) -> str:
    with pytest.raises(InputError) as caught:
        read_radiograph(path)
    assert caught.value.remedy
    return caught.value.kind


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
@pytest.mark.parametrize("deep", [False, True])
def test_lossless_pictures_keep_their_range(tmp_path: Path, format_: str, deep: bool) -> None:
    values = (DEEP if deep else GREY) // 2
    found = read_radiograph(saved(Image.fromarray(values), tmp_path / "picture", format=format_))
    np.testing.assert_allclose(found.pixels, values / (65535 if deep else 255), atol=1e-7)
    assert found.pixels.dtype == np.float32
    assert (found.view, found.modality, found.study) == ("", "", "")
    assert found.notes == ("view unknown, assumed frontal",)


def test_jpeg(tmp_path: Path) -> None:
    found = read_radiograph(saved(Image.fromarray(GREY), tmp_path / "picture", format="JPEG", quality=95))
    np.testing.assert_allclose(found.pixels, GREY / 255, atol=0.05)


def test_content_and_not_the_name_decides(tmp_path: Path) -> None:
    path = saved(Image.fromarray(GREY), tmp_path / "picture.dcm", format="PNG")
    np.testing.assert_allclose(read_radiograph(path).pixels, GREY / 255, atol=1e-7)


def test_dark_16_bit_pictures_are_noted(tmp_path: Path) -> None:
    path = saved(Image.fromarray(DEEP >> 2), tmp_path / "picture.png")
    found = read_radiograph(path)
    assert f"reach only {(DEEP >> 2).max()} of 65535" in found.notes[0]
    assert found.pixels.max() < 0.26


def test_colour_becomes_luminance_with_a_note(tmp_path: Path) -> None:
    colour = np.stack([GREY, GREY[::-1], GREY.T], axis=-1)
    found = read_radiograph(saved(Image.fromarray(colour), tmp_path / "colour.png"))
    np.testing.assert_allclose(found.pixels, colour @ [0.299, 0.587, 0.114] / 255, atol=0.005)
    assert found.notes[0] == "colour converted to luminance"
    grey = read_radiograph(saved(Image.fromarray(GREY).convert("RGB"), tmp_path / "grey.png"))
    np.testing.assert_allclose(grey.pixels, GREY / 255, atol=1e-7)
    assert len(grey.notes) == 1


def test_transparent_parts_are_black(tmp_path: Path) -> None:
    alpha = np.full_like(GREY, 255)
    opaque = read_radiograph(saved(Image.fromarray(np.stack([GREY, alpha], -1)), tmp_path / "opaque.png"))
    np.testing.assert_allclose(opaque.pixels, GREY / 255, atol=1e-7)
    assert len(opaque.notes) == 1
    alpha[50:] = 0
    found = read_radiograph(saved(Image.fromarray(np.stack([GREY, alpha], -1)), tmp_path / "alpha.png"))
    assert found.pixels[50:].max() == 0
    np.testing.assert_allclose(found.pixels[:50], GREY[:50] / 255, atol=1e-7)
    assert found.notes[0] == "transparent pixels composited on black"


def test_palettes_and_single_bits(tmp_path: Path) -> None:
    palette = read_radiograph(saved(Image.fromarray(GREY).convert("P"), tmp_path / "palette.png"))
    np.testing.assert_allclose(palette.pixels, GREY / 255, atol=0.005)
    path = saved(Image.fromarray(GREY).convert("1"), tmp_path / "bits.png")
    bits = read_radiograph(path, ReadOptions(accept_any=True))
    assert set(np.unique(bits.pixels)) == {0.0, 1.0}


@pytest.mark.parametrize("values", [GREY, DEEP])
def test_tiff_counted_from_white(tmp_path: Path, values: Any) -> None:
    path = tmp_path / "white.tif"
    path.write_bytes(imagecodecs.tiff_encode(values, photometric="miniswhite"))
    expected = 1 - values / np.iinfo(values.dtype).max
    np.testing.assert_allclose(read_radiograph(str(path)).pixels, expected, atol=1e-6)


def test_exif_orientation(tmp_path: Path) -> None:
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(GREY)))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = read_radiograph(saved(turned, tmp_path / "phone.png", exif=exif))
    np.testing.assert_allclose(found.pixels, GREY / 255, atol=1e-7)
    assert found.notes[0] == "turned according to the EXIF orientation"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("value", range(1, 9))
def test_where_pixels_are_in_a_file_that_is_displayed_turned(tmp_path: Path, name: str, value: int) -> None:
    """A box in a turned file would be drawn in another place, or on another side of the chest."""
    exif = Image.Exif()
    exif[0x0112] = value
    stored = GREY[:70]
    found = read_radiograph(saved(Image.fromarray(stored), tmp_path / name, exif=exif))
    assert found.turned == (value != 1)
    assert found.notes.count("turned according to the EXIF orientation") == found.turned
    np.testing.assert_allclose(found.orientation.upright(stored) / 255, found.pixels, atol=0.05)


def test_renderings(tmp_path: Path) -> None:
    values = GREY // 2 + 10
    path = saved(Image.fromarray(values), tmp_path / "picture.png")
    stretched = (values - values.min()) / np.ptp(values)
    minmax = read_radiograph(path, ReadOptions(rendering="minmax")).pixels
    np.testing.assert_allclose(minmax, stretched, atol=1e-6)
    # The loaders of the models that learned from equalised pictures equalise nothing.
    found = read_radiograph(path, ReadOptions(rendering="minmax-equalized")).pixels
    np.testing.assert_allclose(found, values / 255, atol=1e-7)


def test_refusals(tmp_path: Path) -> None:
    picture = Image.fromarray(GREY)
    pages = saved(picture, tmp_path / "pages.tif", save_all=True, append_images=[picture])
    assert kind_of(pages) == "frames"
    animated = saved(picture, tmp_path / "animated.png", save_all=True, append_images=[picture.rotate(90)])
    assert kind_of(animated) == "frames"
    assert kind_of(saved(picture.resize((63, 200)), tmp_path / "small.png")) == "too_small"
    assert kind_of(saved(Image.new("L", (80, 80), 9), tmp_path / "blank.png")) == "blank"
    floats = tmp_path / "floats.tif"
    floats.write_bytes(imagecodecs.tiff_encode(GREY.astype(np.float32)))
    assert kind_of(str(floats)) == "photometric"
    signed = tmp_path / "signed.tif"
    signed.write_bytes(imagecodecs.tiff_encode(GREY.astype(np.int16) - 100))
    assert kind_of(str(signed)) == "photometric"
    assert kind_of(str(tmp_path / "nowhere.png")) == "missing"
    (tmp_path / "text.png").write_text("not a picture")
    assert kind_of(str(tmp_path / "text.png")) == "not_an_image"
    assert kind_of(str(tmp_path)) == "unreadable"


@pytest.mark.parametrize("side", [20_000, 2_000_000])
def test_absurd_dimensions_are_refused_before_decoding(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    content = bytearray(imagecodecs.png_encode(GREY))
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    assert kind_of(str(path)) == "too_large"
