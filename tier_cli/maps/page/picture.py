"""Encode the picture of a page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

# From hardly different to visibly coarse; a smaller picture comes before anything coarser.
_QUALITIES = (95, 90, 85, 80, 70)
_SIDES = (2048, 1536, 1024, 768)


def data_uri(picture: NDArray[np.uint8], limit: int) -> str:
    """Return grey levels (H, W) as a data URI of a JPEG file without any metadata.

    Lossy WebP has smaller files, but keeps 220 of the 256 grey levels.

    Parameters
    ----------
    picture
        The picture.
    limit
        Bytes of the file; the best quality within them is chosen, at last a smaller picture.
    """
    from PIL import Image

    whole = Image.fromarray(picture)
    content = b""
    for side in _SIDES:
        image = whole.copy()
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        for quality in _QUALITIES:
            content = _jpeg(image, quality)
            if len(content) <= limit:
                return _uri(content)
    return _uri(content)


def _jpeg(image: Picture, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def _uri(content: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")
