"""Damaged pixel data are refused with what is wrong, and whole ones of every encoding are not."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from dicom_maker import codes_of, dataset_of
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from tier_cli.errors import InputError
from tier_cli.imaging.damage import fault_of
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph

BASELINE, EXTENDED, LOSSLESS = (f"1.2.840.10008.1.2.4.{end}" for end in ("50", "51", "70"))
JPEG_2000 = "1.2.840.10008.1.2.4.90"
SIDE = 128


def chest(side: int = SIDE, seed: int = 0) -> NDArray[np.uint8]:
    """Return two dark lungs in a bright body, with the grain of a detector."""
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    lungs = sum(np.exp(-((x - c) ** 2 / 0.02 + y**2 / 0.08)) for c in (-0.22, 0.22))
    noise = np.random.default_rng(seed).normal(0, 3, (side, side))
    grey: NDArray[np.uint8] = (200 - 140 * lungs - 60 * np.abs(x) + noise).clip(1, 254).astype(np.uint8)
    return grey


CHEST = chest()


def file_of(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def compressed(syntax: str, frame: bytes, bits: int = 8, table: bool = True) -> bytes:
    pixels = CHEST if bits == 8 else CHEST.astype(np.uint16) << 4
    dataset = dataset_of(pixels, bits, WindowCenter=2 ** (bits - 1), WindowWidth=2**bits)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([frame], has_bot=table)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return file_of(dataset)


def plain(**attributes: object) -> bytes:
    return file_of(dataset_of(CHEST, 8, **attributes))


def picture(format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(CHEST).save(buffer, format_, **options)
    return buffer.getvalue()


def frame_of(syntax: str) -> bytes:
    if syntax == BASELINE:
        return picture("JPEG", quality=90)
    if syntax == EXTENDED:
        return bytes(imagecodecs.jpeg_encode(CHEST.astype(np.uint16) << 4, level=90, bitspersample=12))
    if syntax == LOSSLESS:
        return bytes(imagecodecs.ljpeg_encode(CHEST, bitspersample=8))
    return bytes(imagecodecs.jpeg2k_encode(CHEST, level=0, reversible=True, codecformat="j2k"))


def read(content: bytes, folder: Path) -> NDArray[np.float32]:
    (folder / "file").write_bytes(content)
    return read_radiograph(str(folder / "file")).pixels


def fault(content: bytes, folder: Path) -> str:
    """Return what the refusal says is wrong."""
    with pytest.raises(InputError) as caught:
        read(content, folder)
    assert caught.value.kind == "damaged"
    assert caught.value.remedy
    return caught.value.what.removeprefix("the image is damaged: ")


@pytest.mark.parametrize("syntax", [BASELINE, EXTENDED, LOSSLESS, JPEG_2000])
def test_whole_images_are_read(tmp_path: Path, syntax: str) -> None:
    content = compressed(syntax, frame_of(syntax), 12 if syntax == EXTENDED else 8)
    np.testing.assert_allclose(read(content, tmp_path), CHEST / 255, atol=0.07)


def overwritten(frame: bytes, seed: int = 0) -> bytes:
    """Replace a tenth of the entropy-coded data by other bytes that contain no marker."""
    start, length = len(frame) // 2, len(frame) // 10
    rubbish = np.random.default_rng(seed).integers(1, 255, length, dtype=np.uint8).tobytes()
    return frame[:start] + rubbish + frame[start + length :]


@pytest.mark.parametrize("syntax", [BASELINE, EXTENDED])
def test_what_libjpeg_only_warns_of_is_refused(tmp_path: Path, syntax: str) -> None:
    content = compressed(syntax, overwritten(frame_of(syntax)), 12 if syntax == EXTENDED else 8)
    assert fault(content, tmp_path) == "its compressed data are broken"


def test_a_jpeg_file_whose_second_half_is_grey_is_refused(tmp_path: Path) -> None:
    whole = picture("JPEG", quality=90)
    assert fault(whole[: len(whole) // 2] + b"\xff\xd9", tmp_path) == "its compressed data are broken"
    assert fault(whole[: len(whole) // 2], tmp_path) == "its end is missing"


def test_zeros_before_the_end_of_a_jpeg_image_are_harmless(tmp_path: Path) -> None:
    frame = frame_of(BASELINE)
    padded = compressed(BASELINE, frame[:-2] + bytes(6) + frame[-2:])
    np.testing.assert_array_equal(read(padded, tmp_path), read(compressed(BASELINE, frame), tmp_path))


@pytest.mark.parametrize("syntax", [BASELINE, EXTENDED])
def test_values_of_the_scan_header_that_nothing_needs_are_harmless(tmp_path: Path, syntax: str) -> None:
    frame, bits = frame_of(syntax), 12 if syntax == EXTENDED else 8
    start = frame.index(b"\x00\x3f\x00", frame.index(b"\xff\xda"))
    odd = frame[:start] + bytes(3) + frame[start + 3 :]
    whole = read(compressed(syntax, frame, bits), tmp_path)
    np.testing.assert_array_equal(read(compressed(syntax, odd, bits), tmp_path), whole)


def test_restart_markers_out_of_order(tmp_path: Path) -> None:
    whole = picture("JPEG", restart_marker_rows=1)
    assert read(whole, tmp_path).shape == CHEST.shape
    assert fault(whole.replace(b"\xff\xd2", b"\xff\xd5"), tmp_path) == "its restart markers are out of order"


def test_a_marker_within_lossless_data(tmp_path: Path) -> None:
    frame = frame_of(LOSSLESS)
    middle = len(frame) // 2
    broken = frame[:middle] + b"\xff\x4a" + frame[middle + 2 :]
    said = "it contains a marker that cannot be there"
    assert fault(compressed(LOSSLESS, broken), tmp_path) == said
    early = frame[:middle] + b"\xff\xd9" + frame[middle + 2 :]
    assert fault(compressed(LOSSLESS, early), tmp_path) == "it ends too early"
    assert fault(compressed(LOSSLESS, frame[:-2]), tmp_path) == "its end is missing"


def test_bytes_lost_from_a_jpeg_2000_image(tmp_path: Path) -> None:
    frame = frame_of(JPEG_2000)
    broken = frame[:2000] + frame[2010:]
    assert fault(compressed(JPEG_2000, broken), tmp_path) == "the lengths of its parts do not lead to its end"


def test_rle_that_decodes_to_more_than_the_image(tmp_path: Path) -> None:
    dataset = dataset_of(CHEST, 8)
    dataset.compress(RLELossless)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    # One byte repeated 128 times before the rest: everything moves by as many pixels.
    dataset.PixelData = encapsulate([frame[:64] + b"\x81\x40" + frame[64:]])
    assert fault(file_of(dataset), tmp_path) == "it holds more pixels than Rows and Columns say"


def test_the_wrong_number_of_columns_shears_an_image(tmp_path: Path) -> None:
    said = "it is longer than Rows and Columns say"
    assert fault(plain(Columns=SIDE - 1), tmp_path) == said
    assert fault(plain(BitsAllocated=8, Rows=SIDE // 2), tmp_path) == said
    assert fault(plain(Columns=SIDE + 1), tmp_path) == "it is truncated"


@pytest.mark.parametrize("tail", [b"", bytes(1), bytes(600)])
def test_padding_behind_the_pixels_is_harmless(tmp_path: Path, tail: bytes) -> None:
    np.testing.assert_allclose(read(plain() + tail, tmp_path), CHEST / 255, atol=1e-6)
    content = compressed(JPEG_2000, frame_of(JPEG_2000)) + tail
    np.testing.assert_allclose(read(content, tmp_path), CHEST / 255, atol=1e-6)


def test_attributes_behind_the_pixels_are_harmless(tmp_path: Path) -> None:
    content = plain(DataSetTrailingPadding=b"\1\2\3\4")
    np.testing.assert_allclose(read(content, tmp_path), CHEST / 255, atol=1e-6)


def test_bytes_gained_within_the_pixels(tmp_path: Path) -> None:
    content = plain()
    middle = len(content) - SIDE * SIDE // 2
    said = "what follows it is no attribute"
    assert fault(content[:middle] + bytes(range(100, 131)) + content[middle:], tmp_path) == said


def test_an_offset_table_that_does_not_fit(tmp_path: Path) -> None:
    content = compressed(BASELINE, frame_of(BASELINE))
    table = content.index(b"\xfe\xff\x00\xe0\x04\0\0\0") + 8
    wrong = content[:table] + (6).to_bytes(4, "little") + content[table + 4 :]
    assert fault(wrong, tmp_path) == "its offset table does not fit its fragments"


def test_a_deflated_file_that_ends_early(tmp_path: Path) -> None:
    dataset = dataset_of(CHEST, 8)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = file_of(dataset)
    start = 144 + int.from_bytes(content[140:144], "little")
    inflated = zlib.decompress(content[start:], wbits=-15)
    deflater = zlib.compressobj(wbits=-15)
    # All pixels are there, but not the end: what else is missing cannot be known.
    early = deflater.compress(inflated) + deflater.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(InputError, match="deflated data are truncated") as caught:
        read(content[:start] + early, tmp_path)
    assert caught.value.kind == "unreadable"


def test_a_png_file_with_a_wrong_checksum(tmp_path: Path) -> None:
    content = bytearray(picture("PNG", compress_level=0))
    content[len(content) // 2] ^= 0x10
    assert fault(bytes(content), tmp_path) == "a checksum is wrong"


def looks(pixels: NDArray[np.floating]) -> str:
    return fault_of(pixels.astype(np.float32))


@pytest.mark.parametrize("side", [64, 100, 128, 256, 700])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_radiograph_looks_whole(side: int, seed: int) -> None:
    pixels = chest(side, seed) / 255
    for shown in (pixels, pixels[:, ::-1], pixels.T, 1 - pixels, np.pad(pixels, ((30, 30), (0, 0)))):
        assert looks(shown) == ""


def test_what_no_radiograph_shows() -> None:
    pixels, rng = chest(256) / 255, np.random.default_rng(0)
    shown = {}
    shown["noise"] = rng.random((256, 256))
    shown["checks"] = np.kron(rng.integers(0, 2, (32, 32)), np.ones((8, 8))) * 0.8 + pixels * 0.2
    shown["a block of noise"] = pixels.copy()
    shown["a block of noise"][80:170] = rng.random((90, 256))
    shown["streaks"] = (pixels + rng.normal(0, 0.3, 256)) % 1
    shown["rows elsewhere"] = np.roll(pixels, 56, axis=1)
    shown["rows elsewhere"][:100] = pixels[:100]
    shown["half missing"] = pixels.copy()
    shown["half missing"][130:] = 0
    shown["half grey"] = pixels.copy()
    shown["half grey"][130:] = 0.5
    shown["mostly white"] = np.minimum(pixels * 5, 1)
    whole = [name for name, values in shown.items() if not looks(values)]
    assert whole == [], whole


def test_accept_any_scores_what_only_looks_damaged(tmp_path: Path) -> None:
    pixels = CHEST.copy()
    pixels[60:] = 0
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert fault((tmp_path / "x.png").read_bytes(), tmp_path) == "a part of it is missing"
    found = read_radiograph(str(tmp_path / "x.png"), ReadOptions(accept_any=True))
    assert "accepted although the image looks damaged: a part of it is missing" in found.notes


def test_the_generated_pictures_of_other_tests_look_whole() -> None:
    assert looks(codes_of(8, signed=False) / 255) == ""
