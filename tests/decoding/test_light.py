"""Which of a few files are decoded without a process of their own."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEGLosslessSV1
from xrays import picture, write_dicom, write_png

from tier_cli.decoding import light, prefetch
from tier_cli.decoding.decode import Settings
from tier_cli.decoding.light import is_light
from tier_cli.decoding.pool import DecodePool
from tier_cli.errors import InputError
from tier_cli.imaging.discover import Source

EXAMPLES = Path(__file__).parents[2] / "examples"


def _encapsulated(path: Path, frame: bytes, syntax: str = str(JPEGLosslessSV1)) -> str:
    dataset = dcmread(write_dicom(path))
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return str(path)


def test_common_files_are_light(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.jpg")
    assert is_light(str(EXAMPLES / "01-healthy.dcm"))
    assert is_light(str(write_dicom(tmp_path / "a.dcm")))
    assert is_light(str(write_png(tmp_path / "a.png")))
    assert is_light(str(tmp_path / "a.jpg"))


def test_what_is_refused_at_once_is_light(tmp_path: Path) -> None:
    (tmp_path / "empty.dcm").touch()
    assert is_light(str(tmp_path / "empty.dcm"))
    assert is_light(str(tmp_path / "missing.png"))
    assert is_light(str(tmp_path))


def test_a_file_without_size_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of /proc have none, and block whoever reads them."""
    (tmp_path / "empty").touch()
    monkeypatch.setattr(light, "open_file", lambda path: pytest.fail(f"opened {path}"))
    assert is_light(str(tmp_path / "empty"))


def test_decoders_that_crash_are_not(tmp_path: Path) -> None:
    """Lossless JPEG is decoded by GDCM, whatever the transfer syntax claims, and TIFF by libtiff."""
    assert not is_light(_encapsulated(tmp_path / "a.dcm", b"\xff\xd8\xff\xc3" + bytes(100)))
    assert not is_light(_encapsulated(tmp_path / "b.dcm", b"\xff\xd8", "1.2.840.10008.1.2.1"))
    Image.fromarray(picture()).save(tmp_path / "a.tif")
    assert not is_light(str(tmp_path / "a.tif"))


def test_large_files_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write_png(tmp_path / "a.png"))
    monkeypatch.setattr(light, "_LARGEST", 100)
    assert not is_light(path)


def test_a_decoder_that_crashes_on_one_of_few_files_does_not_end_the_run(
    tmp_path: Path, settings: Settings, crashing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "DecodePool", partial(DecodePool, command=(sys.executable, str(crashing))))
    Image.fromarray(np.asarray(picture())).save(tmp_path / "crash.tif")
    paths = [str(tmp_path / "crash.tif"), str(write_png(tmp_path / "a.png"))]
    outcomes = [outcome for _, outcome in prefetch.decoded(map(Source, paths), settings, 2, 8)]
    assert [outcome.kind if isinstance(outcome, InputError) else "ok" for outcome in outcomes] == [
        "crashed",
        "ok",
    ]
