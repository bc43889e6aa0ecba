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
    pixels = _strictly(content, "RGB" if colour else "GRAY")
    return pixels if colour else pixels[..., 0]


def check_jpeg(content: bytes) -> None:
    """Raise ValueError if an 8-bit JPEG image is damaged; a small version of it is the quickest to decode."""
    _strictly(content, "GRAY", side=1)


def check_12_bit(content: bytes, precision_at: int) -> None:
    """Raise ValueError if a 12-bit JPEG image is damaged, whose decoder does not tell.

    Bits per sample do not change how coefficients are coded. The decoder of 8 bits therefore reads them if
    the header says 8; only the pixels would be wrong.
    """
    check_jpeg(content[:precision_at] + b"\x08" + content[precision_at + 1 :])


def _strictly(content: bytes, space: str, side: int = 0) -> NDArray[Any]:
    """Decode at the lowest resolution with sides of at least `side` pixels; 0 for the full one."""
    import simplejpeg

    try:
        pixels: NDArray[Any] = simplejpeg.decode_jpeg(content, space, min_height=side, min_width=side)
    except ValueError:
        tidy = tidied(content)
        if tidy == content:
            raise
        pixels = simplejpeg.decode_jpeg(tidy, space, min_height=side, min_width=side)
    return pixels
