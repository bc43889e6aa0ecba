"""Give similarities colours: one fixed scale, transparent where a map says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tier_cli.maps.explanation import TextMap
    from tier_cli.maps.scale import MapScale

Floats = NDArray[np.float64]

# Vermilion-orange and blue of equal lightness, which colour-blind people tell apart (after Okabe & Ito).
ABOVE, BELOW = (250, 124, 0), (88, 164, 255)
# The strongest colour's opacity, which leaves the anatomy visible.
OPACITY = 0.65
STRETCHED = "colours stretched to this image: not comparable with other images"


@dataclass(frozen=True)
class Colours:
    """The colours of maps of one kind.

    Parameters
    ----------
    low, high
        The range of similarities.
    diverging
        Whether zero is transparent and each side has its colour; otherwise there is one colour, and the low
        end is transparent.
    """

    low: float
    high: float
    diverging: bool

    @classmethod
    def over(cls, low: float, high: float) -> Colours:
        """Return colours of a range, diverging if it contains zero."""
        return cls(low, high, low < 0 < high)

    def strength(self, values: NDArray[np.floating]) -> Floats:
        """Return how strong the colour of each similarity is, from -1 to 1; NaN where it is not a number."""
        wide = np.asarray(values, np.float64)
        if self.diverging:
            # The same on both sides: equal distances from zero look equally strong.
            strong = wide / max(abs(self.low), abs(self.high))
        else:
            strong = (wide - self.low) / (self.high - self.low)
        clipped: Floats = strong.clip(-1.0 if self.diverging else 0.0, 1.0)
        return clipped

    def rgba(self, values: NDArray[np.floating]) -> Floats:
        """Return colours (..., 4): red, green and blue from 0 to 255, and opacity from 0 to 1."""
        strong = np.nan_to_num(self.strength(values))
        colours = np.where(strong[..., None] >= 0, np.array(ABOVE, float), np.array(BELOW, float))
        return np.concatenate([colours, (np.abs(strong) * OPACITY)[..., None]], axis=-1)


def colours_of(scale: MapScale, kind: str) -> Colours:
    """Return the fixed colours of a kind of similarity."""
    return Colours.over(*scale.ranges[kind])


def stretched(maps: Sequence[TextMap], kind: str) -> Colours:
    """Return colours that the maps of one image make full use of."""
    values = np.concatenate([one.values.ravel() for one in maps if one.kind == kind])
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return Colours.over(low, high if high > low else low + 1.0)
