"""One PNG, JPEG or TIFF file -> Radiograph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError
from tier_cli.imaging.guard import guarded
from tier_cli.imaging.limits import MAX_PIXELS, check_blank, check_size
from tier_cli.imaging.radiograph import UNKNOWN_VIEW, Radiograph, ReadOptions
from tier_cli.imaging.render import minmax

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

_EXIF_ORIENTATION = 0x0112
_TIFF_PHOTOMETRIC = 262
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def read_raster(path: str, options: ReadOptions = ReadOptions()) -> Radiograph:
    """Read a picture whose polarity is settled already.

    8-bit values are grey levels of 255, 16-bit values of 65535. The rendering ``minmax`` is applied to what
    it shows, as BioViL's own loader does. ``minmax-equalized`` says how DICOM becomes what the model learned
    from; a picture is taken to be that already, as CheXzero's and the TIER authors' loaders take it.

    Raises
    ------
    InputError
        The file cannot be decoded or shows nothing that may be scored.
    """
    notes: list[str] = []
    with guarded(path, "the picture"):
        pixels, turned = _decode(path, notes)
    if options.rendering == "minmax":
        pixels = minmax(pixels)
    check_blank(pixels, path)
    notes.append(UNKNOWN_VIEW)
    return Radiograph(pixels, path, notes=tuple(notes), turned=turned)


def _decode(path: str, notes: list[str]) -> tuple[NDArray[np.float32], bool]:
    """Give the grey levels, upright, and whether they had to be turned for that."""
    from PIL import ImageOps

    with _opened(path) as image:
        check_size(image.height, image.width, path)
        # A camera's MPO is one JPEG picture with previews behind it; elsewhere pages are images.
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise InputError(
                "the file holds several pictures",
                where=path,
                remedy="save each as a file of its own",
                kind="frames",
            )
        image.load()
        upright: PillowImage = image
        if image.format != "TIFF" and image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
            upright = ImageOps.exif_transpose(image)
            notes.append("turned as the picture's EXIF orientation says")
        return _grey(upright, _is_white_zero(image), path, notes), upright is not image


def _opened(path: str) -> ImageFile:
    from PIL import Image

    try:
        # The plug-in for JPEG gives MPO too.
        return Image.open(path, formats=("PNG", "JPEG", "TIFF"))
    except Image.DecompressionBombError:
        remedy = f"give an image of at most {MAX_PIXELS // 1_000_000} megapixels"
        raise InputError(
            "the picture is far too large", where=path, remedy=remedy, kind="too_large"
        ) from None


def _is_white_zero(image: PillowImage) -> bool:
    """Tell whether a TIFF counts from white to black and Pillow left it so, as it does beyond 8 bits."""
    tags = getattr(image, "tag_v2", {})
    return image.mode in _DEEP_MODES and tags.get(_TIFF_PHOTOMETRIC) == 0


def _grey(image: PillowImage, white_zero: bool, path: str, notes: list[str]) -> NDArray[np.float32]:
    """Give a loaded picture's grey levels in [0, 1]."""
    if image.mode in _DEEP_MODES:
        return _deep(np.asarray(image), white_zero, path, notes)
    if image.mode == "F":
        raise InputError(
            "the picture holds fractions without a known range",
            where=path,
            remedy="save it with 8 or 16 bits",
            kind="photometric",
        )
    if image.has_transparency_data:
        from PIL import Image

        layered = image.convert("RGBA")
        if np.asarray(layered)[..., 3].min() < 255:
            notes.append("transparent parts shown on black")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), layered).convert("RGB")
    elif image.mode not in ("L", "1"):
        image = image.convert("RGB")
    if image.mode == "RGB":
        red, green, blue = np.moveaxis(np.asarray(image), -1, 0)
        if not (np.array_equal(red, green) and np.array_equal(green, blue)):
            notes.append("colour turned into luminance")
    return np.asarray(image.convert("L")) * np.float32(1 / 255)


def _deep(values: NDArray[np.generic], white_zero: bool, path: str, notes: list[str]) -> NDArray[np.float32]:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise InputError(
            f"the picture's values lie from {low} to {high}",
            where=path,
            remedy="save it with 8 or 16 bits, counted from 0",
            kind="photometric",
        )
    grey: NDArray[np.float32] = values.astype(np.float32)
    grey *= np.float32(1 / 65535)
    if white_zero:
        np.subtract(np.float32(1), grey, out=grey)
        return grey
    if high < 0x4000:
        # Many 12-bit exports lie in 16-bit files. The range is kept, but such a picture is nearly black.
        notes.append(f"16-bit picture whose values reach only {high} of 65535")
    return grey
