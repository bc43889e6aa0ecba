"""Decode JPEG images, and refuse those that the decoder had to mend."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from tier_cli.imaging.codestream import tidied


def decode_jpeg(content: bytes, *, colour: bool) -> NDArray[Any]:
    """Return the pixels (H, W), or (H, W, 3) as RGB, of a baseline, extended or progressive JPEG image.

    Raises
    ------
    ValueError
        If the image is damaged. Other decoders, Pillow's included, ignore the warnings of libjpeg, which then
        fills what is missing with grey.
    """
    pixels = _strictly(content, "RGB" if colour else "GRAY", smallest=False)
    return pixels if colour else pixels[..., 0]


def check_12_bit(content: bytes, precision_at: int) -> None:
    """Raise ValueError if a 12-bit JPEG image is damaged, whose decoder does not tell.

    Bits per sample do not change how coefficients are coded. The decoder of 8 bits therefore reads them if
    the header says 8; only the pixels would be wrong, and a small version of them is the quickest.
    """
    _strictly(content[:precision_at] + b"\x08" + content[precision_at + 1 :], "GRAY", smallest=True)


def _strictly(content: bytes, space: str, *, smallest: bool) -> NDArray[Any]:
    import simplejpeg

    factor = 8 if smallest else 1
    try:
        pixels: NDArray[Any] = simplejpeg.decode_jpeg(content, space, min_factor=factor)
    except ValueError:
        tidy = tidied(content)
        if tidy == content:
            raise
        pixels = simplejpeg.decode_jpeg(tidy, space, min_factor=factor)
    return pixels
