"""What can be wrong with the synthetic chest: five findings of chosen side, size and contrast."""

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
        The heart has none.
    size
        From 0, hardly there, to 1, as large as it gets; negative = chance.
    contrast
        1 = as dense as soft tissue or fluid is, less = fainter; up to 3 for a nodule with lime in it.
    place
        x (from the spine outwards, positive on both sides) and y (downwards) in millimetres, for a nodule
        or a consolidation; None = chance.
    """

    finding: str
    side: str = ""
    size: float = -1.0
    contrast: float = 1.0
    place: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.finding not in FINDINGS:
            raise UsageError(
                f"the phantom has no finding {self.finding!r}", remedy=f"choose among {', '.join(FINDINGS)}"
            )
        if self.side not in ("", *SIDES):
            raise UsageError(f"{self.side!r} is no side", remedy="write right or left, or nothing")
        densest = 3 if self.finding == "nodule" else 1
        if self.size > 1 or not 0 <= self.contrast <= densest:
            raise UsageError(
                f"size lies between 0 and 1, contrast between 0 and {densest}",
                where=f"finding {self.finding!r}",
            )

    def settled(self, rng: np.random.Generator) -> Lesion:
        """The same lesion with what was left to chance drawn."""
        side, size = ("right", "left")[int(rng.integers(2))], float(rng.uniform(0.35, 0.9))
        if self.finding == "cardiomegaly":
            side = ""
        return replace(self, side=self.side or side, size=self.size if self.size >= 0 else size)


@dataclass(frozen=True)
class Changes:
    """What a lesion does to the chest; all maps (H, W).

    Parameters
    ----------
    fluid
        Share of the lung's air that tissue or fluid has replaced.
    air
        Share of the lung that free air has replaced.
    tissue
        Millimetres of tissue added.
    extent
        Where it is, for its box.
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
    """The heart itself is drawn larger by the anatomy; here only its place is told."""
    nothing = np.zeros_like(anatomy.x)
    heart = heart_share(anatomy.x, anatomy.y, anatomy.build) > 0.2
    return Changes(nothing, nothing, nothing, heart & (anatomy.y > 185) & (anatomy.y < 310))


def _effusion(lesion: Lesion, anatomy: Anatomy, rng: np.random.Generator) -> Changes:
    """Fluid that fills the angle, climbs the wall and hides the diaphragm."""
    outwards = np.clip(SIDES[lesion.side] * anatomy.x / anatomy.chest_width(anatomy.y).clip(1), 0, 1)
    level = min(anatomy.build.right_dome, anatomy.build.left_dome) + 22 - 125 * lesion.size
    surface = level - (14 + 26 * lesion.size) * outwards**5 + 6 * (1 - outwards)
    fluid = soft_step(anatomy.y - surface, 12) * (anatomy.lungs[lesion.side] > 1)
    nothing = np.zeros_like(fluid)
    there = (fluid > 0.5) & (anatomy.outline[lesion.side] > 0.3)
    return Changes(0.92 * lesion.contrast * fluid, nothing, nothing, there)


def _consolidation(lesion: Lesion, anatomy: Anatomy, rng: np.random.Generator) -> Changes:
    """A patch with a ragged edge and branching air inside."""
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
    """A round mass of tissue in the free part of the lung."""
    radius = 4 + 10 * lesion.size
    across, cy = lesion.place or (rng.uniform(65, 95), rng.uniform(125, 235))
    cx = SIDES[lesion.side] * across
    distance = np.hypot(anatomy.x - cx, anatomy.y - cy)
    ball = 2 * np.sqrt(np.clip(radius**2 - distance**2, 0, None)) * lesion.contrast
    nothing = np.zeros_like(ball)
    return Changes(nothing, nothing, ball * (1 + 4 / radius), distance <= radius)


def _pneumothorax(lesion: Lesion, anatomy: Anatomy, rng: np.random.Generator) -> Changes:
    """Free air along the wall and above the apex, and the fine line of the pleura where the lung ends."""
    gap = 10 + 45 * lesion.size
    y = anatomy.y
    # The lung sinks away from the top more than from the side.
    edge = anatomy.chest_width(y - 0.9 * gap) - 0.75 * gap * soft_step(300 - y, 60)
    beyond = SIDES[lesion.side] * anatomy.x - edge
    lung = anatomy.outline[lesion.side]
    air = soft_step(beyond, 1.2) * (anatomy.lungs[lesion.side] > 1)
    line = 5.5 * np.exp(-((beyond / 1.1) ** 2)) * lung * lesion.contrast
    shrunk = 0.10 * lesion.size * (1 - air) * (lung > 0.02)
    return Changes(shrunk * lesion.contrast, lesion.contrast * air, line, (air > 0.5) & (lung > 0.5))
