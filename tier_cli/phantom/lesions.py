"""Draw findings into the synthetic chest: five kinds, each with side, size and contrast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import UsageError
from tier_cli.phantom.anatomy import Anatomy, heart_share
from tier_cli.phantom.shapes import SIDES, Map, blur, soft_step

FINDINGS = ("cardiomegaly", "consolidation", "effusion", "nodule", "pneumothorax")


@dataclass(frozen=True)
class Lesion:
    """One finding to draw.

    Parameters
    ----------
    finding
        One of `FINDINGS`.
    side
        ``right`` or ``left`` of the patient (the patient's right is the image's left); empty = chance.
        Cardiomegaly has no side.
    size
        From 0 (hardly visible) to 1 (largest); negative = chance.
    contrast
        1 = as dense as soft tissue or fluid, less = fainter; up to 3 for a calcified nodule.
    place
        x (outwards from the spine, positive on both sides) and y (downwards) in millimetres, for nodules and
        consolidations; None = chance.
    """

    finding: str
    side: str = ""
    size: float = -1.0
    contrast: float = 1.0
    place: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.finding not in FINDINGS:
            raise UsageError(
                f"the phantom has no finding {self.finding!r}", remedy=f"use one of {', '.join(FINDINGS)}"
            )
        if self.side not in ("", *SIDES):
            raise UsageError(f"unknown side {self.side!r}", remedy="use right, left or nothing")
        densest = 3 if self.finding == "nodule" else 1
        if self.size > 1 or not 0 <= self.contrast <= densest:
            raise UsageError(
                f"size {self.size} or contrast {self.contrast} is out of range",
                where=f"finding {self.finding!r}",
                remedy=f"use a size between 0 and 1 and a contrast between 0 and {densest}",
            )

    def settled(self, rng: np.random.Generator) -> Lesion:
        """Return the same lesion with everything that was left to chance drawn."""
        side, size = ("right", "left")[int(rng.integers(2))], float(rng.uniform(0.35, 0.9))
        if self.finding == "cardiomegaly":
            side = ""
        return replace(self, side=self.side or side, size=self.size if self.size >= 0 else size)


@dataclass(frozen=True)
class Changes:
    """How a lesion changes the chest; all maps (H, W).

    Parameters
    ----------
    fluid
        Share of the lung's air that is replaced by tissue or fluid.
    air
        Share of the lung that is replaced by free air.
    tissue
        Added tissue in millimetres.
    extent
        Pixels that the box encloses.
    """

    fluid: Map
    air: Map
    tissue: Map
    extent: NDArray[np.bool_]


def draw_lesion(lesion: Lesion, anatomy: Anatomy, rng: np.random.Generator) -> Changes:
    """Draw one settled lesion into a chest."""
    drawn: dict[str, Callable[[Lesion, Anatomy, np.random.Generator], Changes]] = {
        "cardiomegaly": _cardiomegaly,
        "consolidation": _consolidation,
        "effusion": _effusion,
        "nodule": _nodule,
        "pneumothorax": _pneumothorax,
    }
    return drawn[lesion.finding](lesion, anatomy, rng)


def _cardiomegaly(lesion: Lesion, anatomy: Anatomy, rng: np.random.Generator) -> Changes:
    """Return only the extent of the heart: the anatomy itself draws it larger."""
    nothing = np.zeros_like(anatomy.x)
    heart = heart_share(anatomy.x, anatomy.y, anatomy.build) > 0.2
    return Changes(nothing, nothing, nothing, heart & (anatomy.y > 185) & (anatomy.y < 310))


def _effusion(lesion: Lesion, anatomy: Anatomy, rng: np.random.Generator) -> Changes:
    """Draw fluid that fills the costophrenic angle, climbs the wall and hides the diaphragm."""
    outwards = np.clip(SIDES[lesion.side] * anatomy.x / anatomy.chest_width(anatomy.y).clip(1), 0, 1)
    level = min(anatomy.build.right_dome, anatomy.build.left_dome) + 22 - 125 * lesion.size
    surface = level - (14 + 26 * lesion.size) * outwards**5 + 6 * (1 - outwards)
    fluid = soft_step(anatomy.y - surface, 12) * (anatomy.lungs[lesion.side] > 1)
    nothing = np.zeros_like(fluid)
    there = (fluid > 0.5) & (anatomy.outline[lesion.side] > 0.3)
    return Changes(0.92 * lesion.contrast * fluid, nothing, nothing, there)


def _consolidation(lesion: Lesion, anatomy: Anatomy, rng: np.random.Generator) -> Changes:
    """Draw a patch with a ragged edge and mottled density."""
    lung = anatomy.outline[lesion.side]
    across, cy = lesion.place or (
        rng.uniform(62, 88),
        rng.choice([rng.uniform(125, 155), rng.uniform(215, 250)]),
    )
    cx = SIDES[lesion.side] * across
    wide, high = 20 + 32 * lesion.size, 18 + 30 * lesion.size
    u, v = anatomy.x - cx, anatomy.y - cy
    ragged, step = np.zeros_like(u), 400 / u.shape[1]
    for scale in (3.0, 7.0, 14.0):
        cloud = blur(rng.standard_normal(u.shape), scale / step)
        ragged += cloud / cloud.std()
    body = soft_step(1 - np.hypot(u / wide, v / high) + 0.09 * ragged, 0.8)
    fluid = body * (0.6 + 0.05 * ragged).clip(0.35, 0.8) * (lung > 0.02)
    return Changes(lesion.contrast * fluid, np.zeros_like(u), np.zeros_like(u), (body > 0.5) & (lung > 0.5))


def _nodule(lesion: Lesion, anatomy: Anatomy, rng: np.random.Generator) -> Changes:
    """Draw a ball of tissue in the lung."""
    radius = 4 + 10 * lesion.size
    across, cy = lesion.place or (rng.uniform(65, 95), rng.uniform(125, 235))
    cx = SIDES[lesion.side] * across
    distance = np.hypot(anatomy.x - cx, anatomy.y - cy)
    ball = 2 * np.sqrt(np.clip(radius**2 - distance**2, 0, None)) * lesion.contrast
    nothing = np.zeros_like(ball)
    return Changes(nothing, nothing, ball * (1 + 4 / radius), distance <= radius)


def _pneumothorax(lesion: Lesion, anatomy: Anatomy, rng: np.random.Generator) -> Changes:
    """Draw free air along the wall and above the apex, and the thin pleural line where the lung ends."""
    gap = 10 + 45 * lesion.size
    y = anatomy.y
    # The lung collapses away from the apex more than from the side.
    edge = anatomy.chest_width(y - 0.9 * gap) - 0.75 * gap * soft_step(300 - y, 60)
    beyond = SIDES[lesion.side] * anatomy.x - edge
    lung = anatomy.outline[lesion.side]
    air = soft_step(beyond, 1.2) * (anatomy.lungs[lesion.side] > 1)
    line = 5.5 * np.exp(-((beyond / 1.1) ** 2)) * lung * lesion.contrast
    shrunk = 0.10 * lesion.size * (1 - air) * (lung > 0.02)
    return Changes(shrunk * lesion.contrast, lesion.contrast * air, line, (air > 0.5) & (lung > 0.5))
