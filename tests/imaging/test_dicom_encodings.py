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
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from tier_cli.errors import InputError
from tier_cli.imaging.radiograph import ReadOptions
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
    found = read_radiograph(path, ReadOptions(accept_any=True))  # the lines look like damage
    assert found.pixels[imagecodecs.jpeg_decode(frame) > 1023].min() == 1


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


def frames_of(pixels: NDArray[np.uint8]) -> dict[str, bytes]:
    """Compress an 8-bit image in every way that a codestream can be recognised by."""
    return {
        BASELINE: bytes(imagecodecs.jpeg8_encode(pixels, level=100)),
        LOSSLESS_1: bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=8)),
        JPEG_LS: bytes(imagecodecs.jpegls_encode(pixels)),
        JPEG_2000: bytes(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="j2k")),
        HTJ2K: bytes(imagecodecs.htj2k_encode(pixels, reversible=True)),
    }


@pytest.mark.parametrize("kind", [BASELINE, LOSSLESS_1, JPEG_LS, JPEG_2000, HTJ2K, RLELossless])
@pytest.mark.parametrize(
    "stated", [BASELINE, LOSSLESS_1, JPEG_LS, JPEG_2000, RLELossless, ExplicitVRLittleEndian]
)
def test_the_codestream_and_not_the_syntax_decides(tmp_path: Path, kind: str, stated: str) -> None:
    pixels = codes_of(8, signed=False)
    dataset = dataset_of(pixels, 8)
    if kind == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    else:
        frame = frames_of(pixels)[kind]
    compressed(dataset, stated if stated != ExplicitVRLittleEndian else BASELINE, frame, tmp_path / "x")
    if stated == ExplicitVRLittleEndian:
        content = (tmp_path / "x").read_bytes()
        (tmp_path / "x").write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    found = read_radiograph(str(tmp_path / "x"))
    np.testing.assert_allclose(found.pixels, pixels / 255, atol=0.02 if kind == BASELINE else 1e-6)
    note = "the pixel data are not encoded as the transfer syntax says; their own format was used"
    assert (note in found.notes) == (kind != stated)


def test_uncompressed_pixels_under_a_compressed_syntax(tmp_path: Path) -> None:
    dataset = dataset_of(codes_of(12, signed=False), 12)
    expected = shown(dataset, tmp_path / "plain")
    np.testing.assert_array_equal(read_with_syntax(dataset, JPEG_2000, tmp_path / "wrong"), expected)


def read_with_syntax(
    dataset: Dataset, stated: str, path: Path, implicit: bool = False
) -> NDArray[np.float32]:
    """Write the data set in one encoding under the name of another, and read it."""
    meta = dataset_of(codes_of(12, signed=False), 12).file_meta
    head, body = DicomBytesIO(), DicomBytesIO()
    meta.TransferSyntaxUID = UID(stated)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        dataset.SOPClassUID,
        dataset.SOPInstanceUID,
    )
    head.is_little_endian, head.is_implicit_VR = True, False
    write_file_meta_info(head, meta)
    body.is_little_endian, body.is_implicit_VR = True, implicit
    write_dataset(body, dataset)
    path.write_bytes(bytes(128) + b"DICM" + head.getvalue() + body.getvalue())
    return read_radiograph(str(path)).pixels


@pytest.mark.parametrize(
    ("implicit", "stated"), [(True, ExplicitVRLittleEndian), (False, ImplicitVRLittleEndian)]
)
@pytest.mark.parametrize("bits", [8, 12])
def test_a_value_representation_other_than_the_syntax_says(
    tmp_path: Path, implicit: bool, stated: UID, bits: int
) -> None:
    dataset = dataset_of(codes_of(bits, signed=False), bits)
    expected = shown(dataset, tmp_path / "plain")
    np.testing.assert_array_equal(read_with_syntax(dataset, stated, tmp_path / "x", implicit), expected)


def test_implicit_attributes_round_a_compressed_image(tmp_path: Path) -> None:
    pixels = codes_of(8, signed=False)
    dataset = dataset_of(pixels, 8)
    compressed(dataset, JPEG_2000, frames_of(pixels)[JPEG_2000], tmp_path / "plain")
    found = read_with_syntax(dataset, JPEG_2000, tmp_path / "x", implicit=True)
    np.testing.assert_allclose(found, pixels / 255, atol=1e-6)


@pytest.mark.parametrize("zeros", [1, 2, 3])
def test_zero_bytes_before_the_end_of_a_jpeg_ls_image(tmp_path: Path, zeros: int) -> None:
    pixels = codes_of(12, signed=False)
    frame = bytes(imagecodecs.jpegls_encode(pixels))
    dataset = dataset_of(pixels, 12)
    expected = shown(dataset, tmp_path / "plain")
    path = compressed(dataset, JPEG_LS, frame[:-2] + bytes(zeros) + frame[-2:], tmp_path / "x")
    np.testing.assert_array_equal(read_radiograph(path).pixels, expected)


@pytest.mark.parametrize("kind", [BASELINE, LOSSLESS_1, JPEG_LS, JPEG_2000, HTJ2K])
@pytest.mark.parametrize("stored", [8, 12, 16])
def test_8_bit_images_in_16_allocated_bits(tmp_path: Path, kind: str, stored: int) -> None:
    pixels = codes_of(8, signed=False)
    dataset = dataset_of(pixels, 8, BitsAllocated=16, BitsStored=stored, HighBit=stored - 1)
    found = read_radiograph(compressed(dataset, kind, frames_of(pixels)[kind], tmp_path / "x"))
    np.testing.assert_allclose(found.pixels, pixels / 255, atol=0.02 if kind == BASELINE else 1e-6)
    assert len(found.notes) == (stored > 8)


@pytest.mark.parametrize(
    ("kind", "share"),
    # pyjpegls takes seconds to refuse one that ends in the middle.
    [(kind, share) for kind in (JPEG_2000, BASELINE) for share in (0.3, 0.6, 0.9)]
    + [(JPEG_LS, 0.6), (JPEG_LS, 0.9)],
)
def test_a_frame_that_ends_early_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    pixels = codes_of(8, signed=False, side=256)
    frame = frames_of(pixels)[kind]
    path = compressed(dataset_of(pixels, 8), kind, frame[: int(share * len(frame)) // 2 * 2], tmp_path / "x")
    with pytest.raises(InputError) as caught:
        read_radiograph(path)
    assert caught.value.kind in ("damaged", "unreadable")


def test_signed_jpeg_2000_that_the_attributes_call_unsigned_is_noted(tmp_path: Path) -> None:
    pixels = codes_of(12, signed=True)
    frame = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="j2k", bitspersample=12)
    path = compressed(dataset_of(pixels, 12, PixelRepresentation=0), JPEG_2000, frame, tmp_path / "x")
    note = "the JPEG 2000 image is signed, but PixelRepresentation is 0: PixelRepresentation was used"
    assert read_radiograph(path).notes == (note,)


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "BitsStored"])
@pytest.mark.parametrize("value", [None, ""])
def test_missing_attributes_of_the_pixels_are_named(tmp_path: Path, keyword: str, value: str | None) -> None:
    dataset = dataset_of(codes_of(12, signed=False), 12)
    del dataset[keyword]
    if value is not None:
        dataset.add_new(keyword, "US", None)
    with pytest.raises(InputError, match=f"{keyword} is missing"):
        read_radiograph(save(dataset, tmp_path / "x"))


def test_float_pixels_are_named(tmp_path: Path) -> None:
    dataset = dataset_of(codes_of(12, signed=False), 12, PixelData=None)
    dataset.add_new("FloatPixelData", "OF", np.zeros((64, 64), np.float32).tobytes())
    with pytest.raises(InputError, match="floating-point") as caught:
        read_radiograph(save(dataset, tmp_path / "x"))
    assert caught.value.kind == "photometric"


def test_a_dicomdir_is_named(tmp_path: Path) -> None:
    dataset = dataset_of(codes_of(12, signed=False), 12, PixelData=None, Rows=None, BitsAllocated=None)
    dataset.SOPClassUID = "1.2.840.10008.1.3.10"
    save(dataset, tmp_path / "DICOMDIR")
    with pytest.raises(InputError, match="DICOMDIR") as caught:
        read_radiograph(str(tmp_path / "DICOMDIR"))
    assert caught.value.kind == "not_an_image"


@pytest.mark.parametrize("implicit", [False, True])
def test_a_file_cut_off_anywhere_says_so(tmp_path: Path, implicit: bool) -> None:
    dataset = dataset_of(codes_of(12, signed=False), 12)
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    content = Path(save(dataset, tmp_path / "whole")).read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    cut = "cut off|no pixel data|truncated|no image"
    for length in range(start, len(content) - 8192 + 20, 5):
        (tmp_path / "x").write_bytes(content[:length])
        with pytest.raises(InputError, match=cut) as caught:
            read_radiograph(str(tmp_path / "x"))
        assert caught.value.kind in ("damaged", "unreadable", "not_an_image")
