"""Draw images, write them in every encoding, damage files, and run one case at a time in another process.

What `damage.py`, `fuzz.py`, `growth.py` and `soak.py` share. Everything random is drawn from a seeded
generator.
"""

from __future__ import annotations

import io
import multiprocessing
import warnings
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

Grey = NDArray[np.uint8]
_JPEG = "1.2.840.10008.1.2.4."
_Case = TypeVar("_Case")
_Answer = TypeVar("_Answer")


def drawn_chest(side: int, rng: np.random.Generator) -> Grey:
    """Return a picture (side, side) with two lungs, as smooth and as noisy as a radiograph."""
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    lungs = sum(np.exp(-((x - c) ** 2 / 0.02 + y**2 / 0.08)) for c in (-0.22, 0.22))
    grey = 190 - 120 * lungs - 40 * np.abs(x) + rng.normal(0, 3, (side, side))
    pixels: Grey = grey.clip(1, 254).astype(np.uint8)
    return pixels


def _deep(pixels: Grey, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return 12-bit values whose upper bits are the 8-bit values."""
    return (pixels.astype(np.uint16) << 4) | rng.integers(0, 16, pixels.shape, dtype=np.uint16)


def data_set(pixels: NDArray[Any], bits: int) -> Dataset:
    """Return the data set of a chest radiograph, uncompressed."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    for number, keyword in enumerate(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")):
        setattr(dataset, keyword, f"1.2.826.0.1.{number}")
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "DX", "CHEST", "PA"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * pixels.itemsize, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW" if pixels.itemsize > 1 else "OB"
    return dataset


def _dicom(
    pixels: NDArray[Any], bits: int, syntax: str = "", frame: bytes = b"", fragments: int = 1
) -> bytes:
    dataset = data_set(pixels, bits)
    if syntax == RLELossless:
        dataset.compress(RLELossless, encoding_plugin="pylibjpeg")
    elif syntax:
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        if frame:
            dataset.PixelData = encapsulate([frame], fragments_per_frame=fragments)
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _picture(pixels: NDArray[Any], format_: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format_, **options)
    return file.getvalue()


Encoder = Callable[[Grey, np.random.Generator], bytes]


def _jpeg_2000(pixels: NDArray[Any], level: float, bits: int) -> bytes:
    import imagecodecs

    lossless = level == 0
    frame = imagecodecs.jpeg2k_encode(
        pixels, level=level, reversible=lossless, codecformat="j2k", bitspersample=bits
    )
    return _dicom(pixels, bits, f"{_JPEG}9{0 if lossless else 1}", bytes(frame))


def _jpeg_12(pixels: NDArray[Any]) -> bytes:
    import imagecodecs

    return _dicom(
        pixels, 12, f"{_JPEG}51", bytes(imagecodecs.jpeg_encode(pixels, level=90, bitspersample=12))
    )


def _lossless(pixels: NDArray[Any], bits: int) -> bytes:
    import imagecodecs

    return _dicom(pixels, bits, f"{_JPEG}70", bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=bits)))


def _jpeg_ls(pixels: NDArray[Any], bits: int) -> bytes:
    import imagecodecs

    return _dicom(pixels, bits, f"{_JPEG}80", bytes(imagecodecs.jpegls_encode(pixels)))


ENCODERS: MappingProxyType[str, Encoder] = MappingProxyType(
    {
        "DICOM, 8 bits": lambda p, _: _dicom(p, 8),
        "DICOM, 12 bits": lambda p, rng: _dicom(_deep(p, rng), 12),
        "deflated": lambda p, _: _dicom(p, 8, DeflatedExplicitVRLittleEndian),
        "RLE, 8 bits": lambda p, _: _dicom(p, 8, RLELossless),
        "RLE, 12 bits": lambda p, rng: _dicom(_deep(p, rng), 12, RLELossless),
        "JPEG baseline": lambda p, _: _dicom(p, 8, f"{_JPEG}50", _picture(p, "JPEG", quality=90)),
        "JPEG extended, 12 bits": lambda p, rng: _jpeg_12(_deep(p, rng)),
        "JPEG lossless, 8 bits": lambda p, _: _lossless(p, 8),
        "JPEG lossless, 12 bits": lambda p, rng: _lossless(_deep(p, rng), 12),
        "JPEG-LS": lambda p, rng: _jpeg_ls(_deep(p, rng), 12),
        "JPEG 2000": lambda p, _: _jpeg_2000(p, 0, 8),
        "JPEG 2000, 12 bits": lambda p, rng: _jpeg_2000(_deep(p, rng), 0, 12),
        "JPEG 2000, lossy": lambda p, _: _jpeg_2000(p, 40, 8),
        "PNG": lambda p, _: _picture(p, "PNG"),
        "JPEG file": lambda p, _: _picture(p, "JPEG", quality=90),
        "JPEG file, progressive": lambda p, _: _picture(p, "JPEG", quality=90, progressive=True),
        "JPEG file, restarts": lambda p, _: _picture(p, "JPEG", quality=90, restart_marker_rows=2),
        "TIFF": lambda p, _: _picture(p, "TIFF"),
    }
)

Damage = Callable[[bytearray, int, np.random.Generator], bytearray]


def _place(content: bytearray, start: int, rng: np.random.Generator) -> int:
    return int(rng.integers(start, len(content)))


def _length(content: bytearray, start: int, rng: np.random.Generator) -> int:
    """Draw a length, small ones as often as large ones, up to two thirds of the damaged part."""
    most = max(2.0, (len(content) - start) * 0.67)
    return int(np.exp(rng.uniform(0, np.log(most))))


def _flips(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    for _ in range(int(rng.choice([1, 3, 10, 40, 150]))):
        content[_place(content, start, rng)] ^= 1 << int(rng.integers(8))
    return content


def _early_flips(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    """Flip bits where the headers and tables of a codestream are."""
    for _ in range(int(rng.choice([1, 2, 5]))):
        content[min(len(content) - 1, start + int(rng.exponential(150)))] ^= 1 << int(rng.integers(8))
    return content


def _overwritten(fill: Callable[[bytearray, int, np.random.Generator], bytes]) -> Damage:
    def damage(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
        at, length = _place(content, start, rng), _length(content, start, rng)
        length = min(length, len(content) - at)
        content[at : at + length] = fill(content, length, rng)
        return content

    return damage


def _copy(content: bytearray, length: int, rng: np.random.Generator) -> bytes:
    source = int(rng.integers(0, len(content) - length + 1))
    return bytes(content[source : source + length])


def _cut(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    return content[: _place(content, start, rng)]


def _lost(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    at = _place(content, start, rng)
    del content[at : at + _length(content, start, rng)]
    return content


def _gained(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    at = _place(content, start, rng)
    content[at:at] = rng.bytes(_length(content, start, rng))
    return content


def _swapped(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    length = min(_length(content, start, rng), (len(content) - start) // 2)
    first = int(rng.integers(start, len(content) - 2 * length + 1))
    second = int(rng.integers(first + length, len(content) - length + 1))
    one, other = content[first : first + length], content[second : second + length]
    content[first : first + length], content[second : second + length] = other, one
    return content


DAMAGES: MappingProxyType[str, Damage] = MappingProxyType(
    {
        "bits flipped": _flips,
        "bits flipped early": _early_flips,
        "overwritten by zeros": _overwritten(lambda content, length, rng: bytes(length)),
        "overwritten by ones": _overwritten(lambda content, length, rng: b"\xff" * length),
        "overwritten by noise": _overwritten(lambda content, length, rng: rng.bytes(length)),
        "overwritten by a copy": _overwritten(_copy),
        "cut off": _cut,
        "bytes lost": _lost,
        "bytes gained": _gained,
        "blocks swapped": _swapped,
    }
)


def pixels_start(content: bytes) -> int:
    """Return where the pixels of a file begin, roughly: damage before that point changes attributes."""
    if content[128:132] != b"DICM":
        return 33
    found = content.find(b"\xe0\x7f\x10\x00")
    # A deflated file hides it: the part after the file meta information is damaged.
    return found + 12 if found >= 0 else 144 + int.from_bytes(content[140:144], "little")


def damaged(content: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Damage a file; one time in ten its attributes too."""
    start = min(pixels_start(content) if rng.random() < 0.9 else 132, len(content) // 2)
    return bytes(DAMAGES[kind](bytearray(content), start, rng))


class Other(Generic[_Case, _Answer]):
    """Another process that answers one case at a time, so that a crash or a hang costs only its case.

    Parameters
    ----------
    answer
        Called in the other process.
    seconds
        How long an answer may take.
    """

    def __init__(self, answer: Callable[[_Case], _Answer], seconds: float) -> None:
        self._answer, self._seconds = answer, seconds
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._answer), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, case: _Case) -> _Answer | str:
        """Return the answer, or ``hang`` or ``crash``."""
        self._pipe.send(case)
        failed = "hang"
        try:
            if self._pipe.poll(self._seconds):
                return self._pipe.recv()
        except EOFError:
            failed = "crash"
        self.close()
        self._start()
        return failed

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Any, answer: Callable[[Any], Any]) -> None:
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        pipe.send(answer(case))
