"""The same pixels however a file encodes them."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from dicom_maker import codes_of, dataset_of, save
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from tier_cli.errors import InputError
from tier_cli.imaging.read import read_radiograph

BASELINE, EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
LOSSLESS, LOSSLESS_1 = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_2000, HTJ2K = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"
MPEG2, JPIP = "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.94"


def compressed(dataset: Dataset, syntax: str, frame: bytes | bytearray, path: Path) -> str:
    """Write the data set with its pixels replaced by a compressed frame."""
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return save(dataset, path)


def shown(dataset: Dataset, path: Path) -> NDArray[np.float32]:
    return read_radiograph(save(dataset, path)).pixels


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_with_and_without_file_meta(tmp_path: Path, syntax: UID, bits: int, signed: bool) -> None:
    pixels = codes_of(bits, signed)
    dataset = dataset_of(pixels, bits)
    expected = shown(dataset, tmp_path / "plain")
    if not syntax.is_little_endian:
        dataset.PixelData = pixels.byteswap().tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(shown(dataset, tmp_path / "meta"), expected)
    del dataset.file_meta
    dataset.save_as(
        tmp_path / "bare",
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=False,
    )
    assert (tmp_path / "bare").read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(read_radiograph(str(tmp_path / "bare")).pixels, expected)


def test_deflated(tmp_path: Path) -> None:
    dataset = dataset_of(codes_of(12, signed=False), 12)
    expected = shown(dataset, tmp_path / "plain")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(shown(dataset, tmp_path / "deflated"), expected)


def test_a_deflated_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dataset_of(codes_of(12, signed=False), 12)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = tmp_path / "bomb"
    save(dataset, path)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    deflater = zlib.compressobj(wbits=-15)
    bomb = deflater.compress(bytes(3_000_000)) + deflater.flush()
    path.write_bytes(content[:start] + bomb)
    monkeypatch.setattr("tier_cli.imaging.header.MAX_PIXELS", 1_000_000)
    with pytest.raises(InputError, match="inflates") as caught:
        read_radiograph(str(path))
    assert caught.value.kind == "too_large"


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [RLELossless, LOSSLESS, LOSSLESS_1, JPEG_LS, JPEG_2000, HTJ2K])
def test_lossless_compression(tmp_path: Path, syntax: str, bits: int, signed: bool) -> None:
    pixels = codes_of(bits, signed)
    dataset = dataset_of(
        pixels, bits, WindowCenter=2 ** (bits - 1) // (3 if signed else 1), WindowWidth=2**bits // 2
    )
    expected = shown(dataset, tmp_path / "plain")
    # JPEG and JPEG-LS know no signs: what is compressed is the pattern of the stored bits.
    patterns = pixels.view(f"u{pixels.itemsize}") & (2**bits - 1)
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
        path = save(dataset, tmp_path / "compressed")
    else:
        frame = {
            LOSSLESS: lambda: imagecodecs.ljpeg_encode(patterns, bitspersample=bits),
            LOSSLESS_1: lambda: imagecodecs.ljpeg_encode(patterns, bitspersample=bits),
            JPEG_LS: lambda: imagecodecs.jpegls_encode(patterns),
            JPEG_2000: lambda: imagecodecs.jpeg2k_encode(
                pixels, level=0, reversible=True, codecformat="j2k", bitspersample=bits
            ),
            HTJ2K: lambda: imagecodecs.htj2k_encode(pixels, reversible=True),
        }[syntax]()
        path = compressed(dataset, syntax, frame, tmp_path / "compressed")
    np.testing.assert_array_equal(read_radiograph(path).pixels, expected)


def test_jpeg_baseline(tmp_path: Path) -> None:
    pixels = codes_of(8, signed=False)
    frame = imagecodecs.jpeg8_encode(pixels, level=95)
    expected = imagecodecs.jpeg8_decode(frame) / 255
    path = compressed(dataset_of(pixels, 8), BASELINE, frame, tmp_path / "jpeg")
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1 / 255)


def test_lossy_overshoot_stays_white(tmp_path: Path) -> None:
    # 10 bits stored in a 12-bit JPEG: the codec may go past 1023, which must not wrap round to black.
    pixels = codes_of(10, signed=False)
    pixels[8:40, 8:40] = 1023
    pixels[8:40, 8:40:5] = 0
    frame = imagecodecs.jpeg_encode(pixels, level=60, bitspersample=12)
    assert imagecodecs.jpeg_decode(frame).max() > 1023
    dataset = dataset_of(pixels, 10, WindowCenter=512, WindowWidth=1024)
    path = compressed(dataset, EXTENDED, frame, tmp_path / "jpeg")
    assert read_radiograph(path).pixels[imagecodecs.jpeg_decode(frame) > 1023].min() == 1


def test_12_bit_jpeg_without_its_decoder_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = codes_of(12, signed=False)
    frame = imagecodecs.jpeg_encode(pixels, level=95, bitspersample=12)
    path = compressed(dataset_of(pixels, 12), EXTENDED, frame, tmp_path / "jpeg")
    expected = shown(dataset_of(pixels, 12), tmp_path / "plain")
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=0.02)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(InputError, match=r"tier-cli\[codecs\]") as caught:
        read_radiograph(path)
    assert caught.value.kind == "codec"


def test_colour_jpeg(tmp_path: Path) -> None:
    grey = codes_of(8, signed=False)
    colour = np.stack([grey, grey, grey], axis=-1)
    frame = imagecodecs.jpeg8_encode(colour, level=98)
    dataset = dataset_of(colour, 8, PhotometricInterpretation="YBR_FULL_422", Modality="OT")
    found = read_radiograph(compressed(dataset, BASELINE, frame, tmp_path / "jpeg"))
    np.testing.assert_allclose(found.pixels, grey / 255, atol=0.06)
    assert "colour converted to luminance" in found.notes


@pytest.mark.parametrize("syntax", [MPEG2, JPIP])
def test_unknown_syntaxes(tmp_path: Path, syntax: str) -> None:
    path = compressed(dataset_of(codes_of(8, signed=False), 8), syntax, b"\0" * 100, tmp_path / "video")
    with pytest.raises(InputError) as caught:
        read_radiograph(path)
    assert caught.value.kind == "codec"


@pytest.mark.parametrize("side", [60, 30000])
def test_a_frame_of_another_size_than_its_attributes_is_refused(tmp_path: Path, side: int) -> None:
    pixels = codes_of(8, signed=False)
    frame = bytearray(imagecodecs.jpeg8_encode(pixels))
    size = frame.index(b"\xff\xc0") + 5
    frame[size : size + 4] = side.to_bytes(2, "big") * 2
    path = compressed(dataset_of(pixels, 8), BASELINE, bytes(frame), tmp_path / "jpeg")
    with pytest.raises(InputError, match="differs from the DICOM attributes"):
        read_radiograph(path)


def test_compressed_pixels_in_a_file_that_names_no_syntax(tmp_path: Path) -> None:
    dataset = dataset_of(codes_of(8, signed=False), 8)
    compressed(dataset, BASELINE, imagecodecs.jpeg8_encode(codes_of(8, signed=False)), tmp_path / "named")
    content = (tmp_path / "named").read_bytes()
    (tmp_path / "bare").write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    with pytest.raises(InputError) as caught:
        read_radiograph(str(tmp_path / "bare"))
    assert caught.value.kind == "codec"
