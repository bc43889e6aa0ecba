"""Hold what is shown of one image: its picture, and a map for each finding or text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tier_cli.maps.patch_grid import PatchGrid
    from tier_cli.maps.scale import MapScale
    from tier_cli.results.record import FindingScore

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TokenMaps:
    """The similarity of each patch to each token of a text.

    Parameters
    ----------
    text
        The text as the model reads it.
    spans
        First and last character (excluded) of each of T tokens.
    values
        Cosines (T, h, w).
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    values: Floats


@dataclass(frozen=True, eq=False)
class TextMap:
    """The map of one finding or text.

    Parameters
    ----------
    name
        Id of the finding; ``text_1`` or ``sentence_1`` for the first text or sentence of a report.
    label
        What people read: the finding's label, or the text.
    kind
        Key of `tier_cli.maps.similarity.SIMILARITIES`.
    values
        Similarities (h, w).
    score
        The score of the finding with its ordinary range; of a text, only the score.
    threshold
        Similarity from which a patch stands out, not the operating point of the score; None if none was
        fitted.
    tokens
        The tokens of the text or of the finding's first prompt; None if they were not computed.
    """

    name: str
    label: str
    kind: str
    values: Floats
    score: FindingScore
    threshold: float | None = None
    tokens: TokenMaps | None = None


@dataclass(frozen=True, eq=False)
class Explanation:
    """One image with its maps.

    Parameters
    ----------
    title
        What names the image: never patient data.
    picture
        uint8 (H, W): the radiograph upright. It can be smaller than the source image.
    grid
        Where the patches lie in the source image.
    maps
        One per finding or text.
    scale
        The colours' range, the same for all images of a checkpoint.
    model, notes
        The checkpoint's name, and the result's notes.
    """

    title: str
    picture: NDArray[np.uint8]
    grid: PatchGrid
    maps: tuple[TextMap, ...]
    scale: MapScale
    model: str
    notes: tuple[str, ...] = ()
