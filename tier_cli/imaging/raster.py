"""Read one PNG, JPEG or TIFF file as a radiograph."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError
from tier_cli.imaging.codestream import SCAN, scan_fault
from tier_cli.imaging.damage import check_whole, damaged
from tier_cli.imaging.guard import guarded
from tier_cli.imaging.jpeg import decode_jpeg
from tier_cli.imaging.limits import MAX_PIXELS, check_scans, check_shown, check_size
from tier_cli.imaging.opening import open_file
from tier_cli.imaging.orientation import UPRIGHT, Orientation, orientation_of_exif
from tier_cli.imaging.radiograph import UNKNOWN_VIEW, Radiograph, ReadOptions
from tier_cli.imaging.reduction import Grid, stretched

if TYPE_CHECKING:
    from io import BufferedReader

    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

_EXIF_ORIENTATION = 0x0112
_TIFF_PHOTOMETRIC = 262
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG = ("JPEG", "MPO")
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def read_raster(path: str, options: ReadOptions = ReadOptions()) -> Radiograph:
    """Read a picture, whose polarity is already as displayed.

    8-bit values are grey levels out of 255, 16-bit values out of 65535. The rendering ``minmax`` is applied
    to the picture, as in BioViL's own loader. ``minmax-equalized`` describes how DICOM files are converted;
    a picture is assumed to be converted already, as in the loaders of CheXzero and of the TIER authors.

    Raises
    ------
    InputError
        If the file cannot be decoded or shows nothing that may be scored.
    """
    notes: list[str] = []
    with guarded(path, "the picture"):
        levels, orientation = _decode(path, notes)
    if options.rendering == "minmax":
        levels = stretched(levels)
    remedy = "save it with grey levels over the full range of 8 or 16 bits"
    check_shown(levels, path, notes, remedy=remedy, accept_any=options.accept_any)
    check_whole(levels, path, notes, accept_any=options.accept_any)
    if options.views == "strict":
        remedy = "give a DICOM file that states it, or pass --views frontal or all"
        raise InputError("a picture states no view", where=path, remedy=remedy, kind="view")
    notes.append(UNKNOWN_VIEW)
    return Radiograph(levels, path, notes=tuple(notes), orientation=orientation)


def _decode(path: str, notes: list[str]) -> tuple[Grid, Orientation]:
    """Return the upright grey levels, and how they were turned."""
    with open_file(path) as file, _opened(file, path) as image:
        check_size(image.height, image.width, path)
        # A camera's MPO is one JPEG picture followed by previews; in other formats, pages are images. Their
        # number is not asked for: Pillow reads every page of a TIFF to count them.
        if image.format != "MPO" and getattr(image, "is_animated", False):
            raise InputError(
                "the file contains several pictures",
                where=path,
                remedy="save each as a separate file",
                kind="frames",
            )
        content = b"" if image.format == "TIFF" else _content(file)
        if image.format in _JPEG:
            # Those of previews count too.
            check_scans(content.count(SCAN), image.height, image.width)
        # Pillow turns a TIFF itself when it loads it, and forgets the tag then.
        turned_by_pillow = _orientation(image) if image.format == "TIFF" else UPRIGHT
        loaded = _loaded(image, content, path)
        left = _orientation(image)
        if turned_by_pillow.turned or left.turned:
            notes.append("turned according to the EXIF orientation")
        grey = _grey(loaded, _is_white_zero(image), path, notes)
        return grey.turned(left), turned_by_pillow if turned_by_pillow.turned else left


def _orientation(image: PillowImage) -> Orientation:
    return orientation_of_exif(image.getexif().get(_EXIF_ORIENTATION))


def _content(file: BufferedReader) -> bytes:
    """Return all bytes of a file from which Pillow reads too, and which may grow without end meanwhile."""
    position = file.tell()
    file.seek(0)
    content = file.read(os.fstat(file.fileno()).st_size)
    file.seek(position)
    return content


def _loaded(image: ImageFile, content: bytes, path: str) -> PillowImage:
    """Decode a picture; a JPEG picture with the decoder that tells damage."""
    from PIL import Image

    if image.format == "PNG" and not _chunks_are_whole(content):
        raise damaged("a checksum is wrong", path)
    if image.format not in _JPEG or image.mode not in ("L", "RGB"):
        image.load()
        return image
    if fault := scan_fault(content):
        raise damaged(fault, path)
    try:
        loaded = Image.fromarray(decode_jpeg(content, colour=image.mode == "RGB"))
    except ValueError:
        raise damaged("its compressed data are broken", path) from None
    loaded.info = dict(image.info)
    return loaded


def _chunks_are_whole(content: bytes) -> bool:
    """Return whether all chunks of a PNG file are there and right; Pillow does not check those of pixels."""
    position = len(_PNG_SIGNATURE)
    while (end := position + 8 + int.from_bytes(content[position : position + 4], "big")) + 4 <= len(content):
        name, checksum = content[position + 4 : position + 8], content[end : end + 4]
        # Capital letters mark the chunks that are needed to show the picture (PNG, third edition, 5.4).
        if name[:1].isupper() and zlib.crc32(content[position + 4 : end]) != int.from_bytes(checksum, "big"):
            return False
        if name == b"IEND":
            return True
        position = end + 4
    return False


def _opened(file: BufferedReader, path: str) -> ImageFile:
    from PIL import Image

    try:
        # The JPEG plug-in also opens MPO.
        return Image.open(file, formats=("PNG", "JPEG", "TIFF"))
    except Image.DecompressionBombError:
        remedy = f"give an image of at most {MAX_PIXELS // 1_000_000} megapixels"
        raise InputError(
            "the picture is far too large", where=path, remedy=remedy, kind="too_large"
        ) from None


def _is_white_zero(image: PillowImage) -> bool:
    """Return whether 0 is white in a TIFF; Pillow inverts such files only up to 8 bits."""
    tags = getattr(image, "tag_v2", {})
    return image.mode in _DEEP_MODES and tags.get(_TIFF_PHOTOMETRIC) == 0


def _grey(image: PillowImage, white_zero: bool, path: str, notes: list[str]) -> Grid:
    """Return a loaded picture's grey levels in [0, 1]."""
    if image.mode in _DEEP_MODES:
        return _deep(np.asarray(image), white_zero, path, notes)
    if image.mode == "F":
        raise InputError(
            "the picture holds floating-point values of unknown range",
            where=path,
            remedy="save it with 8 or 16 bits",
            kind="photometric",
        )
    if image.has_transparency_data:
        from PIL import Image

        layered = image.convert("RGBA")
        if np.asarray(layered)[..., 3].min() < 255:
            notes.append("transparent pixels composited on black")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), layered).convert("RGB")
    elif image.mode not in ("L", "1"):
        image = image.convert("RGB")
    if image.mode == "RGB":
        red, green, blue = np.moveaxis(np.asarray(image), -1, 0)
        if not (np.array_equal(red, green) and np.array_equal(green, blue)):
            notes.append("colour converted to luminance")
    return Grid(np.asarray(image.convert("L")), np.arange(256, dtype=np.float32) * np.float32(1 / 255))


def _deep(values: NDArray[Any], white_zero: bool, path: str, notes: list[str]) -> Grid:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise InputError(
            f"the picture's values range from {low} to {high}",
            where=path,
            remedy="save it with 8 or 16 unsigned bits",
            kind="photometric",
        )
    table = np.arange(65536, dtype=np.float32) * np.float32(1 / 65535)
    grey = Grid(values.astype(np.uint16, copy=False), 1 - table if white_zero else table)
    if white_zero:
        return grey
    if high < 0x4000:
        # Many exports of 12 or 14 bits are stored in 16-bit files. The range is kept: 12 bits and fewer are
        # then refused as nearly black, unless the checkpoint's rendering stretches them.
        notes.append(f"16-bit picture whose values reach only {high} of 65535")
    return grey
