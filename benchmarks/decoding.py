"""Compare reading what a checkpoint needs with reading every pixel. Run: python benchmarks/decoding.py

Synthetic DX images of 3,056 x 2,544 pixels are written in every codec, with the noise of a detector, so that
they compress like real ones. Each is read and prepared for a checkpoint with ``--decode full`` and with
``--decode fast``, in turn: seconds of CPU (user and system, the best round), the peak memory of a process
that reads only this file, and the mean difference of the prepared images in grey levels of 255.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from mutations import data_set
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID, RLELossless

from tier_cli.decoding.decode import Decoded, Settings, decode
from tier_cli.imaging.budget import Decode
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.phantom.render import make_phantom

_HEIGHT, _WIDTH, _BITS = 3056, 2544, 12
# In units of the 12 bits, blurred as by a scintillator: lossless JPEG 2000 then makes 4.8 bits of them.
_NOISE = 12.0
_BLACK, _WHITE = 300, 3500
_JPEG = "1.2.840.10008.1.2.4."
Codes = NDArray[np.uint16]
# As a decoding process does; the kernel's own count of a process starts with what its parent needed.
_READER = """
import sys
from pathlib import Path
from tier_cli.decoding.decode import Settings, decode
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.radiograph import ReadOptions
decode(sys.argv[1], Settings.of(ReadOptions(decode=sys.argv[2]), Preprocessing(rendering=sys.argv[3])))
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""
_WAYS: tuple[Decode, ...] = ("full", "fast")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(_FILES), default=list(_FILES))
    parser.add_argument("--rendering", choices=("voi", "minmax", "minmax-equalized"), default="voi")
    given = parser.parse_args()
    codes = drawn_detector_image(np.random.default_rng(0))
    sys.stdout.write(f"{_WIDTH} x {_HEIGHT}, {_BITS} bits, rendering {given.rendering}\n")
    sys.stdout.write(f"{'file':<24}{'MB':>6}{'full s':>8}{'fast s':>8}{'ratio':>7}")
    sys.stdout.write(f"{'full MB':>9}{'fast MB':>9}{'difference':>12}\n")
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only:
            path = Path(folder) / "image"
            path.write_bytes(_FILES[name](codes))
            _say(name, path, given.rounds, given.rendering)


def drawn_detector_image(rng: np.random.Generator) -> Codes:
    """Return a chest (H, W) with the noise of a detector."""
    coarse = Image.fromarray(make_phantom(3, (), (_HEIGHT // 4, _WIDTH // 4), noise=0).pixels)
    chest = np.asarray(coarse.resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC))
    noise = rng.standard_normal(chest.shape, np.float32)
    for axis in (0, 1):
        noise = 0.7 * noise + 0.15 * np.roll(noise, 1, axis) + 0.15 * np.roll(noise, -1, axis)
    codes: Codes = (
        np.rint(_BLACK + (_WHITE - _BLACK) * chest + _NOISE * noise).clip(0, 4095).astype(np.uint16)
    )
    return codes


def _dicom(pixels: NDArray[Any], bits: int, syntax: str = "", frame: bytes = b"") -> bytes:
    dataset = data_set(pixels, bits)
    dataset.WindowCenter, dataset.WindowWidth = (1900, 3200) if bits > 8 else (128, 256)
    if syntax == RLELossless:
        dataset.compress(RLELossless, encoding_plugin="pylibjpeg")
    elif syntax:
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _coded(syntax: str, encode: Callable[[Codes], Any]) -> Callable[[Codes], bytes]:
    return lambda codes: _dicom(codes, _BITS, f"{_JPEG}{syntax}", bytes(encode(codes)))


def _j2k(codes: Codes, level: int = 0) -> Any:
    return imagecodecs.jpeg2k_encode(
        codes, level=level, reversible=level == 0, codecformat="j2k", bitspersample=_BITS
    )


def _eight(codes: Codes) -> NDArray[np.uint8]:
    shown = (codes.astype(np.float32) - _BLACK) / (_WHITE - _BLACK)
    levels: NDArray[np.uint8] = np.rint(shown.clip(0, 1) * 255).astype(np.uint8)
    return levels


def _picture(pixels: NDArray[Any], format_: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format_, **options)
    return file.getvalue()


_FILES: dict[str, Callable[[Codes], bytes]] = {
    "uncompressed": lambda codes: _dicom(codes, _BITS),
    "RLE": lambda codes: _dicom(codes, _BITS, RLELossless),
    "JPEG-LS": _coded("80", imagecodecs.jpegls_encode),
    "JPEG lossless": _coded("70", lambda codes: imagecodecs.ljpeg_encode(codes, bitspersample=_BITS)),
    "JPEG 2000 lossless": _coded("90", _j2k),
    "JPEG 2000 lossy": _coded("91", lambda codes: _j2k(codes, 72)),
    "HTJ2K lossless": _coded("201", lambda codes: imagecodecs.htj2k_encode(codes, reversible=True)),
    "JPEG extended, 12 bits": _coded(
        "51", lambda codes: imagecodecs.jpeg_encode(codes, level=90, bitspersample=_BITS)
    ),
    "JPEG baseline, 8 bits": lambda codes: _dicom(
        _eight(codes), 8, f"{_JPEG}50", _picture(_eight(codes), "JPEG", quality=92)
    ),
    "JPEG file": lambda codes: _picture(_eight(codes), "JPEG", quality=92),
    "PNG file, 8 bits": lambda codes: _picture(_eight(codes), "PNG"),
    "PNG file, 16 bits": lambda codes: _picture(codes << 4, "PNG"),
    "TIFF file, 16 bits": lambda codes: _picture(codes << 4, "TIFF"),
}


def _read(path: str, way: Decode, rendering: Any) -> Decoded:
    plain = replace(Preprocessing(rendering=rendering), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    found = decode(path, Settings.of(ReadOptions(decode=way), plain))
    if not isinstance(found, Decoded):
        raise SystemExit(str(found))
    return found


def _say(name: str, path: Path, rounds: int, rendering: str) -> None:
    best, seen = dict.fromkeys(_WAYS, float("inf")), {}
    for _ in range(rounds):
        for way in _WAYS:
            started = time.process_time()
            seen[way] = _read(str(path), way, rendering)
            best[way] = min(best[way], time.process_time() - started)
    difference = float(np.abs(seen["full"].pixels - seen["fast"].pixels).mean()) * 255
    full, fast = (_peak(path, way, rendering) for way in _WAYS)
    sys.stdout.write(f"{name:<24}{path.stat().st_size / 1e6:6.1f}{best['full']:8.3f}{best['fast']:8.3f}")
    sys.stdout.write(f"{best['full'] / best['fast']:7.1f}{full:9.0f}{fast:9.0f}{difference:12.3f}\n")
    sys.stdout.flush()


def _peak(path: Path, way: str, rendering: str) -> float:
    """Return the peak memory, in MB, of a process that reads one file."""
    command = [sys.executable, "-c", _READER, str(path), way, rendering]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(answer.stdout) * 1024 / 1e6


if __name__ == "__main__":
    main()
