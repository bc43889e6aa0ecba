"""Count destroyed images that are scored and intact ones that are refused.

Run: python benchmarks/damage.py FOLDER [--destroyed 1000] [--intact 1000] [--seed 0] [--least 224]

Images of FOLDER are written in every encoding and damaged at random. A decoder that stops at nothing shows
what is left: a file counts as visibly destroyed if that correlates below 0.5 with the original, as displayed,
or if the pixels that the reader gives do. Intact are the images as they are and in every encoding.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from mutations import DAMAGES, ENCODERS, Grey, Other, damaged
from numpy.typing import NDArray
from PIL import Image, ImageFile
from pydicom.encaps import get_frame

from tier_cli.errors import InputError
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.imaging.reduction import Least

_DESTROYED = 0.5
_SECONDS = 60
_LENIENT = {
    "50": imagecodecs.jpeg8_decode,
    "51": imagecodecs.jpeg_decode,
    "70": imagecodecs.jpegsof3_decode,
    "80": imagecodecs.jpegls_decode,
    "90": imagecodecs.jpeg2k_decode,
    "91": imagecodecs.jpeg2k_decode,
}
Case = tuple[str, str, str, int]


def main() -> None:
    """Measure and print both shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="chest X-rays as PNG or JPEG")
    parser.add_argument("--destroyed", type=int, default=1000, help="destroyed files to collect")
    parser.add_argument("--intact", type=int, default=1000, help="intact files to read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=0, help="longest side of the images; default as they are")
    parser.add_argument(
        "--least", type=int, default=0, help="shorter side at which pixels are enough; default all pixels"
    )
    parser.add_argument("--keep", type=Path, help="folder for the destroyed files that were scored")
    given = parser.parse_args()
    files = sorted(str(path) for path in given.folder.rglob("*") if path.suffix in (".png", ".jpg"))
    random.Random(given.seed).shuffle(files)
    with tempfile.TemporaryDirectory() as folder:
        subject = _Subject(folder, given.side, given.least, given.keep)
        other: Other[Case, tuple[str, float]] = Other(subject.answer, _SECONDS)
        _count_intact(other, files, given.intact, given.seed)
        _count_destroyed(other, files, given.destroyed, given.seed)
        other.close()


def _count_intact(other: Other[Case, tuple[str, float]], files: list[str], number: int, seed: int) -> None:
    refused: Counter[str] = Counter()
    for index in range(number):
        # Every second file is read as it is.
        encoder = ["", *ENCODERS][index % 2 * (1 + index // 2 % len(ENCODERS))]
        answer = other.ask((files[index % len(files)], encoder, "", seed + index))
        if answer[0] != "scored":
            refused[f"{encoder or 'as it is'}: {answer if isinstance(answer, str) else answer[0]}"] += 1
    _say(f"{number} intact files: {refused.total()} refused", refused)


def _count_destroyed(other: Other[Case, tuple[str, float]], files: list[str], number: int, seed: int) -> None:
    destroyed, scored, reasons = 0, Counter[str](), Counter[str]()
    started, tried = time.monotonic(), 0
    for encoder, damage, index in _endless():
        if destroyed == number:
            break
        tried += 1
        answer = other.ask((files[index % len(files)], encoder, damage, seed + index))
        if isinstance(answer, str):
            _say(f"{answer}: {encoder}, {damage}, seed {seed + index}", Counter())
        elif answer[1] < _DESTROYED:
            destroyed += 1
            reasons[answer[0]] += 1
            if answer[0] == "scored":
                scored[f"{encoder}, {damage}"] += 1
    _say(f"{destroyed} destroyed of {tried} damaged in {time.monotonic() - started:.0f} s", reasons)
    _say(f"{scored.total()} of them scored: {scored.total() / max(1, destroyed):.1%}", scored)


def _endless() -> Iterator[tuple[str, str, int]]:
    index = 0
    while True:
        for damage in DAMAGES:
            for encoder in ENCODERS:
                yield encoder, damage, index
                index += 1


def _say(title: str, lines: Counter[str]) -> None:
    sys.stdout.write(title + "\n" + "".join(f"  {count:5}  {line}\n" for line, count in lines.most_common()))
    sys.stdout.flush()


class _Subject:
    """Encode, damage and read one image."""

    def __init__(self, folder: str, side: int, least: int, keep: Path | None) -> None:
        self._path, self._side, self._keep = os.path.join(folder, "file"), side, keep
        # `Least` is the size of the model's input; pixels are enough from twice that size on.
        self._least = Least(least // 2, 0) if least else None

    def answer(self, case: Case) -> tuple[str, float]:
        """Return ``scored`` or the refusal, and the correlation of what is left with the original."""
        file, encoder, damage, seed = case
        rng = np.random.default_rng(seed)
        if not encoder:
            return self._read(Path(file).read_bytes())[0], 1.0
        with Image.open(file) as image:
            if self._side:
                image.thumbnail((self._side, self._side))
            pixels = np.asarray(image.convert("L"))
        content = ENCODERS[encoder](pixels, rng)
        if not damage:
            return self._read(content)[0], 1.0
        broken = damaged(content, damage, rng)
        left = _correlation(pixels, _lenient(broken))
        if left >= _DESTROYED or broken == content:
            return "", 1.0
        reason, shown = self._read(broken)
        if shown is not None:
            left = _correlation(pixels, shown)
            if self._keep and left < _DESTROYED:
                name = "-".join(f"{encoder} {damage} {seed}".replace(",", "").split())
                (self._keep / name).write_bytes(broken)
        return reason, left

    def _read(self, content: bytes) -> tuple[str, NDArray[np.float32] | None]:
        Path(self._path).write_bytes(content)
        try:
            return "scored", read_radiograph(self._path, ReadOptions(), self._least).pixels
        except InputError as error:
            return f"{error.kind}: {error.what}", None


def _lenient(content: bytes) -> NDArray[Any] | None:
    """Decode what can be decoded; None if nothing can."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if content[128:132] != b"DICM":
                return np.asarray(Image.open(io.BytesIO(content)).convert("L"))
            dataset = pydicom.dcmread(io.BytesIO(content), force=True)
            decode = _LENIENT.get(str(dataset.file_meta.TransferSyntaxUID).rpartition(".")[2])
            pixels = (
                decode(get_frame(dataset.PixelData, 0, number_of_frames=1)) if decode else _plain(dataset)
            )
            return -pixels.astype(float) if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels
    except Exception:  # noqa: BLE001 - decoders raise almost anything
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _plain(dataset: pydicom.Dataset) -> NDArray[Any]:
    """Return uncompressed or RLE pixels, missing ones as 0."""
    wanted = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset.pixel_array_options(decoding_plugin="pydicom")  # the other decoder of RLE ends the process
        return dataset.pixel_array
    plain = dataset.PixelData[:wanted].ljust(wanted, b"\0")
    return np.frombuffer(plain, f"<u{dataset.BitsAllocated // 8}").reshape(dataset.Rows, dataset.Columns)


def _correlation(original: Grey, found: NDArray[Any] | None) -> float:
    """Correlate two pictures after scaling the second to the size of the first; 1 if there is none."""
    if found is None or found.ndim != 2 or found.size == 0:
        return 1.0
    picture = Image.fromarray(found.astype(np.float32))
    if found.shape != original.shape:
        picture = picture.resize(original.shape[::-1])
    values = np.asarray(picture, np.float64)
    if values.std() == 0:
        return 0.0
    return float(np.corrcoef(values.ravel(), original.ravel())[0, 1])


if __name__ == "__main__":
    main()
