"""Write DICOM files of mixed codecs and sizes. Run: python benchmarks/others/images.py FOLDER [--images 500]

Synthetic chests, drawn at 512 px and enlarged, with a detector's noise of 8 of 4,096 levels: a JPEG 2000
lossless file then needs about 5 bits per pixel, as one of a hospital does. 12 bits stored of 16, JPEG
baseline 8 bits; MONOCHROME2, because some of the other programs read MONOCHROME1 inverted. Each codec has
every size. Beyond 120 files, files are hard links to these: reading them costs the same.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from tier_cli.phantom.cohort import cases
from tier_cli.phantom.image_files import write_dicom
from tier_cli.phantom.render import PhantomImage

# Height, width.
SIZES = ((1024, 1024), (2048, 2048), (2500, 2048), (2544, 3056), (3056, 2544))
_DRAWN, _DISTINCT, _NOISE = 512, 120, 8 / 3200


def _native(_: Dataset) -> None:
    """Leave the pixels uncompressed."""


def _jpeg_lossless(dataset: Dataset) -> None:
    frame = bytes(imagecodecs.ljpeg_encode(dataset.pixel_array, bitspersample=12))
    _encapsulated(dataset, JPEGLosslessSV1, frame)


def _jpeg_baseline(dataset: Dataset) -> None:
    """Keep what the window shows, in 8 bits."""
    low = float(dataset.WindowCenter) - 0.5 - (float(dataset.WindowWidth) - 1) / 2
    grey = (dataset.pixel_array - low) * (255 / (float(dataset.WindowWidth) - 1))
    file = io.BytesIO()
    Image.fromarray(np.rint(grey).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    del (
        dataset.WindowCenter,
        dataset.WindowWidth,
        dataset.WindowCenterWidthExplanation,
        dataset.VOILUTFunction,
    )
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", "10"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    _encapsulated(dataset, JPEGBaseline8Bit, file.getvalue())


def _encapsulated(dataset: Dataset, syntax: UID, frame: bytes) -> None:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _compressed(syntax: UID) -> Callable[[Dataset], None]:
    return lambda dataset: dataset.compress(syntax, generate_instance_uid=False)


CODECS: dict[str, Callable[[Dataset], None]] = {
    "uncompressed": _native,
    "rle": _compressed(RLELossless),
    "jpeg-ls": _compressed(JPEGLSLossless),
    "jpeg-lossless": _jpeg_lossless,
    "j2k-lossless": _compressed(JPEG2000Lossless),
    "jpeg-baseline": _jpeg_baseline,
}


def images(folder: Path, count: int, without: str = "") -> Path:
    """Write `count` files of all codecs but one, unless they exist; their names end in the codec's."""
    codecs = [name for name in CODECS if name != without]
    if folder.is_dir() and len(list(folder.glob("*.dcm"))) == count:
        return folder
    folder.mkdir(parents=True)
    random, written = np.random.default_rng(0), []
    for number, (drawn, view) in enumerate(_drawn(min(count, _DISTINCT))):
        # Neither the codec nor the picture goes with a size.
        size, codec = SIZES[(number // len(codecs)) % len(SIZES)], codecs[number % len(codecs)]
        path = folder / f"{number:04}-{codec}.dcm"
        write_dicom(path, replace(drawn, pixels=_enlarged(drawn, size, random)), view=view)
        dataset = pydicom.dcmread(path)
        CODECS[codec](dataset)
        dataset.save_as(path, enforce_file_format=True)
        written.append(path)
    for number in range(len(written), count):
        source = written[number % len(written)]
        os.link(source, folder / f"{number:04}-{source.stem.partition('-')[2]}.dcm")
    return folder


def _drawn(count: int) -> list[tuple[PhantomImage, str]]:
    drawn = [(case.render(), case.view) for case in cases(min(count, 20), 0, _DRAWN)]
    return [drawn[number % len(drawn)] for number in range(count)]


def _enlarged(
    drawn: PhantomImage, size: tuple[int, int], random: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    height, width = size
    large = Image.fromarray(drawn.pixels).resize((width, height), Image.Resampling.BICUBIC)
    noise = random.standard_normal(size, np.float32) * np.float32(_NOISE)
    return np.clip(np.asarray(large) + noise, 0, 1, dtype=np.float32)


def main() -> None:
    """Write the files and print the bits per pixel of each codec."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=500)
    given = parser.parse_args()
    images(given.folder, given.images)
    sums: dict[str, list[int]] = {name: [0, 0] for name in CODECS}
    for path in sorted(given.folder.glob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        found = sums[path.stem.partition("-")[2]]
        found[0] += 8 * path.stat().st_size
        found[1] += header.Rows * header.Columns
    for name, (bits, pixels) in sums.items():
        sys.stdout.write(f"{name:<16}{bits / max(pixels, 1):6.2f} bits per pixel\n")


if __name__ == "__main__":
    main()
