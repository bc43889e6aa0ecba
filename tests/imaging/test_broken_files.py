"""Broken files are either refused or read."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from dicom_maker import codes_of, dataset_of, lut_item
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import UID, RLELossless

from tier_cli.errors import InputError
from tier_cli.imaging.guard import guarded
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph

ANY = ReadOptions(accept_any=True, views="all")


def dicom(syntax: str = "") -> bytes:
    pixels = codes_of(8, signed=False)
    dataset = dataset_of(
        pixels,
        8,
        VOILUTSequence=[lut_item(list(range(256)), 0, 8)],
        WindowCenter=[100, 90],
        WindowWidth=[200, 40],
        PatientOrientation=["R", "F"],
        PixelPaddingValue=0,
        RescaleSlope=1,
        RescaleIntercept=-20,
    )
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    elif syntax:
        frame = {
            "1.2.840.10008.1.2.4.50": lambda: imagecodecs.jpeg8_encode(pixels),
            "1.2.840.10008.1.2.4.70": lambda: imagecodecs.ljpeg_encode(pixels),
            "1.2.840.10008.1.2.4.80": lambda: imagecodecs.jpegls_encode(pixels),
            "1.2.840.10008.1.2.4.90": lambda: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k"),
        }[syntax]()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.PixelData = encapsulate([bytes(frame)])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def picture(format_: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(codes_of(8, signed=False)).save(buffer, format_)
    return buffer.getvalue()


WHOLE = {
    "plain": dicom(),
    "RLE": dicom(RLELossless),
    "JPEG": dicom("1.2.840.10008.1.2.4.50"),
    "JPEG lossless": dicom("1.2.840.10008.1.2.4.70"),
    "JPEG-LS": dicom("1.2.840.10008.1.2.4.80"),
    "JPEG 2000": dicom("1.2.840.10008.1.2.4.90"),
    "PNG": picture("PNG"),
    "JPEG picture": picture("JPEG"),
    "TIFF": picture("TIFF"),
}


def read_or_refuse(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    try:
        pixels = read_radiograph(str(path), ANY).pixels
    except InputError as refused:
        error = refused
    else:
        assert pixels.dtype == np.float32
        assert pixels.min() >= 0
        assert pixels.max() <= 1
        return
    assert error.where == str(path)
    assert error.what
    # Errors travel back from worker processes.
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301


@pytest.mark.parametrize("kind", WHOLE)
def test_the_whole_file_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "whole"
    path.write_bytes(WHOLE[kind])
    assert read_radiograph(str(path), ANY).pixels.shape == (64, 64)


@pytest.mark.parametrize("kind", WHOLE)
def test_flipped_bits(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    path, whole = tmp_path_factory.mktemp("broken") / "file", WHOLE[kind]
    bits = st.integers(0, 8 * len(whole) - 1)

    @settings(max_examples=80, deadline=None, derandomize=True, database=None)
    @given(st.lists(bits, min_size=1, max_size=12))
    def flip(positions: list[int]) -> None:
        content = bytearray(whole)
        for position in positions:
            content[position // 8] ^= 1 << position % 8
        read_or_refuse(bytes(content), path)

    flip()


@pytest.mark.parametrize("kind", WHOLE)
def test_truncated_pixels_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    # The last bytes may be padding or a delimiter that nothing depends on.
    end = len(WHOLE[kind]) - 40
    for length in [*range(0, 400, 7), *range(400, end, max(1, (end - 400) // 25)), end]:
        path.write_bytes(WHOLE[kind][:length])
        with pytest.raises(InputError):
            read_radiograph(str(path), ANY)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=300), st.sampled_from([b"", bytes(128) + b"DICM", b"\x08\x00\x05\x00CS\x02\x00AB"]))
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes, start: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "rubbish"
    path.write_bytes(start + rubbish)
    with pytest.raises(InputError):
        read_radiograph(str(path), ANY)


KEYWORDS = ["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "NumberOfFrames"]
RUBBISH = [b"", b"abc", b"x\\y", b"-1e400", b"nan", b"0"]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    values=st.dictionaries(
        st.sampled_from(KEYWORDS), st.sampled_from([b"", b"abc", b"x\\y", b"-1e400", b"nan", b"0"])
    )
)
def test_invalid_attribute_values(tmp_path_factory: pytest.TempPathFactory, values: dict[str, bytes]) -> None:
    dataset = dataset_of(codes_of(8, signed=False), 8)
    for keyword, value in values.items():
        tag = Tag(keyword)
        padded = value.ljust(len(value) + len(value) % 2)
        dataset[tag] = RawDataElement(tag, "DS", len(padded), padded, 0, False, True)
    path = tmp_path_factory.getbasetemp() / "values"
    dataset.save_as(path, enforce_file_format=True)
    read_radiograph(str(path), ANY)


def test_importing_the_reader_is_cheap() -> None:
    script = "import sys, tier_cli.imaging.read, tier_cli.imaging.discover; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not {"pydicom", "PIL", "torch", "pandas", "scipy"} & set(done.stdout.split())


def test_lack_of_memory_is_not_blamed_on_the_file() -> None:
    with pytest.raises(InputError) as caught, guarded("a.dcm", "the DICOM file"):
        raise MemoryError
    assert caught.value.kind == "memory_limit"
    assert "--workers" in str(caught.value)


def test_a_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="not a file") as caught:
        read_radiograph(str(tmp_path / "pipe.png"), ANY)
    assert caught.value.kind == "unreadable"
