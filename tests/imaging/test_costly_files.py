"""Small files that would take long: refused before the cost, with what is wrong."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ImplicitVRLittleEndian, JPEGExtended12Bit
from xrays import picture, write_dicom

from tier_cli.errors import InputError
from tier_cli.imaging import codestream
from tier_cli.imaging.radiograph import Radiograph, ReadOptions
from tier_cli.imaging.read import read_radiograph


def _refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_radiograph(str(path), ReadOptions(accept_any=True))
    assert caught.value.where == str(path)
    assert caught.value.remedy
    return caught.value


def _jpeg(scans: int, side: int = 80) -> bytes:
    """Write a progressive JPEG and repeat its last scan."""
    buffer = io.BytesIO()
    Image.fromarray(picture(side=side)).save(buffer, "JPEG", quality=30, progressive=True)
    jpeg = buffer.getvalue()
    scan = jpeg.rfind(b"\xff\xda")
    header = jpeg[scan : scan + 2 + struct.unpack(">H", jpeg[scan + 2 : scan + 4])[0]]
    return jpeg[:-2] + (header + b"\0") * scans + b"\xff\xd9"


def test_progressive_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture(side=80)).save(path, progressive=True)
    assert isinstance(read_radiograph(str(path)), Radiograph)
    path.write_bytes(_jpeg(scans=200))
    error = _refusal(path)
    assert error.kind == "costly"
    assert "scans" in error.what


def test_progressive_jpeg_in_dicom(tmp_path: Path) -> None:
    dataset = dcmread(write_dicom(tmp_path / "a.dcm"))
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    dataset.PixelData = encapsulate([_jpeg(scans=200)])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "a.dcm")
    assert _refusal(tmp_path / "a.dcm").kind == "costly"


def test_scans_are_counted_wherever_they_lie(tmp_path: Path) -> None:
    """A megabyte of comments before them hides none."""
    path, jpeg = tmp_path / "a.jpg", _jpeg(scans=200)
    path.write_bytes(jpeg)
    counted = _refusal(path).what
    comment = b"\xff\xfe\xff\xff" + bytes(65_533)
    path.write_bytes(jpeg[:2] + comment * 17 + jpeg[2:])
    assert _refusal(path).what == counted


def test_tiff_of_many_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are not counted: Pillow reads all of them for that, in quadratic time."""
    from PIL.TiffImagePlugin import TiffImageFile

    pages = [Image.fromarray(picture(seed)) for seed in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    monkeypatch.setattr(TiffImageFile, "n_frames", property(lambda image: pytest.fail("counts the pages")))
    assert _refusal(tmp_path / "a.tif").kind == "frames"
    pages[0].save(tmp_path / "a.tif")
    assert isinstance(read_radiograph(str(tmp_path / "a.tif")), Radiograph)


@pytest.mark.parametrize("content", [b"", b"\x08\x00\x05\x00\x00\x00\x00\x00"], ids=["empty", "filled"])
@pytest.mark.parametrize("length", [0xFFFFFFFF, None], ids=["undefined", "defined"])
def test_dicom_of_many_items(tmp_path: Path, content: bytes, length: int | None) -> None:
    path = tmp_path / "a.dcm"
    dataset = dcmread(write_dicom(path))
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(path, implicit_vr=True, little_endian=True)
    whole = path.read_bytes()
    place = whole.rfind(b"\xe0\x7f\x10\x00")

    def write(items: int) -> None:
        sequence = (b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content) * items
        end = b"\xfe\xff\xdd\xe0\0\0\0\0" if length else b""
        size = struct.pack("<I", length or len(sequence))
        path.write_bytes(whole[:place] + b"\x29\x00\x01\x10" + size + sequence + end + whole[place:])

    write(items=1000)
    assert isinstance(read_radiograph(str(path)), Radiograph)
    write(items=60_000)
    if length is None:
        # The sequence is private, so it is never looked into.
        assert isinstance(read_radiograph(str(path)), Radiograph)
    else:
        error = _refusal(path)
        assert error.kind == "costly"
        assert "elements" in error.what


def test_a_sequence_that_decides_something(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    dataset = dcmread(write_dicom(path))
    dataset.ViewCodeSequence = [Dataset() for _ in range(20_000)]
    dataset.save_as(path)
    error = _refusal(path)
    assert error.kind == "costly"
    assert "ViewCodeSequence" in error.what


def test_a_text_of_a_million_numbers(tmp_path: Path) -> None:
    """In implicit value representation, a window may be four gigabytes long."""
    path = tmp_path / "a.dcm"
    dataset = dcmread(write_dicom(path))
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.WindowWidth = "200"
    dataset.WindowCenter = "1"
    dataset.save_as(path, implicit_vr=True, little_endian=True)
    whole = path.read_bytes()
    element = b"\x28\x00\x50\x10" + struct.pack("<I", 2) + b"1 "
    assert element in whole
    numbers = b"1\\" * 100_000 + b"1 "
    longer = b"\x28\x00\x50\x10" + struct.pack("<I", len(numbers)) + numbers
    path.write_bytes(whole.replace(element, longer))
    error = _refusal(path)
    assert error.kind == "costly"
    assert "WindowCenter" in error.what


def test_fragments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codestream, "_MOST_FRAGMENTS", 5)
    dataset = dcmread(write_dicom(tmp_path / "a.dcm"))
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    dataset.PixelData = encapsulate([_jpeg(scans=0)], fragments_per_frame=9)
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "a.dcm")
    error = _refusal(tmp_path / "a.dcm")
    assert error.kind == "costly"
    assert "fragments" in error.what
