"""Draw an endless cohort of synthetic patients with their studies, views, findings and reports."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from tier_cli.phantom.lesions import FINDINGS, Lesion
from tier_cli.phantom.render import Phantom, PhantomImage
from tier_cli.phantom.reports import write_report
from tier_cli.phantom.scene import Scene
from tier_cli.phantom.shapes import Build, chest_width

# Findings are independent of each other and of everything else, so that no shortcut predicts them.
_SHARES = {
    "cardiomegaly": 0.3,
    "consolidation": 0.3,
    "effusion": 0.3,
    "nodule": 0.3,
    "pneumothorax": 0.25,
}
_SECOND_SHARES = {"effusion": 0.25, "nodule": 0.3}
_SMALLEST = {
    "cardiomegaly": 0.15,
    "consolidation": 0.25,
    "effusion": 0.2,
    "nodule": 0.6,
    "pneumothorax": 0.25,
}
# In small images a nodule is a few pixels wide, so it is never both small and faint.
_CONTRASTS = {"nodule": (1.6, 3.0)}
_CONTRAST = (0.65, 1.0)
_SPLITS = (("train", 0.7), ("valid", 0.1), ("test", 0.2))
_LYING_SHARE = 0.35
_PLACES_TRIED = 40


@dataclass(frozen=True)
class Case:
    """One image of a synthetic patient, rendered only on demand.

    Parameters
    ----------
    index
        Number of the image, from 0.
    patient, study, view, sex, age, split, text
        As in a manifest. All images of a patient are in one split, all images of a study share its report.
    phantom
        The recipe that renders it.
    """

    index: int
    patient: str
    study: str
    view: str
    sex: str
    age: int
    split: str
    text: str
    phantom: Phantom

    @property
    def name(self) -> str:
        """Return the file name without its suffix."""
        return f"{self.index:06d}"

    def render(self) -> PhantomImage:
        """Render the image."""
        return self.phantom.render()


def cases(number: int, seed: int, size: int) -> Iterator[Case]:
    """Yield the first `number` images of the cohort of this seed, `size` pixels wide and high.

    An image depends on the seed and its own index, not on `number`.
    """
    return islice(_endless(seed, size), number)


def _endless(seed: int, size: int) -> Iterator[Case]:
    index = 0
    for patient in count():
        for case in _patient(seed, patient, size, index):
            yield case
            index += 1


def _patient(seed: int, patient: int, size: int, index: int) -> Iterator[Case]:
    rng = np.random.default_rng([seed, patient])
    own = int(rng.integers(2**31))
    split = _choose(_SPLITS, rng.random())
    sex, age = "FM"[int(rng.integers(2))], int(rng.integers(20, 91))
    body = Build.draw_varied(rng)
    studies = int(rng.choice([1, 1, 1, 2, 3]))
    for study in range(1, studies + 1):
        lesions = draw_lesions(rng, body)
        text = write_report(lesions, random.Random(int(rng.integers(2**63))))
        for shot in range(1, int(rng.choice([1, 1, 1, 2])) + 1):
            view = "AP" if rng.random() < _LYING_SHARE else "PA"
            phantom = Phantom(
                own,
                tuple(lesions),
                (size, size),
                build=body.posed(rng, view),
                scene=Scene.draw(rng, view, sex),
                shot=(study, shot),
            )
            name = f"synthetic-{seed}-{patient:06d}"
            yield Case(index, name, f"{name}-{study}", view, sex, age, split, text, phantom)
            index += 1


def draw_lesions(rng: np.random.Generator, build: Build) -> list[Lesion]:
    """Draw the lesions of one study: each finding independently, with size, side, contrast and place."""
    lesions: list[Lesion] = []
    # Pleural findings first: they leave less room for the others.
    for name in sorted(FINDINGS, key=lambda one: one in ("nodule", "consolidation")):
        if rng.random() >= _SHARES[name]:
            continue
        first = _draw(name, ("right", "left")[int(rng.integers(2))], rng, build, lesions)
        lesions.append(first)
        if rng.random() < _SECOND_SHARES.get(name, 0):
            other = "left" if first.side == "right" else "right"
            side = other if name == "effusion" or rng.random() < 0.5 else first.side
            lesions.append(_draw(name, side, rng, build, lesions))
    return lesions


def _draw(name: str, side: str, rng: np.random.Generator, build: Build, others: list[Lesion]) -> Lesion:
    size = float(rng.uniform(_SMALLEST[name], 1))
    contrast = float(rng.uniform(*_CONTRASTS.get(name, _CONTRAST)))
    if name == "cardiomegaly":
        return Lesion(name, "", size, 1.0)
    if name not in ("nodule", "consolidation"):
        return Lesion(name, side, size, contrast)
    # Every try uses the same random numbers, so that later draws do not depend on the number of tries.
    x, y = rng.uniform(40, 125, _PLACES_TRIED), rng.uniform(105, 270, _PLACES_TRIED)
    free = [place for place in zip(x, y, strict=True) if _is_free(place, side, size, build, others)]
    across, down = free[0] if free else (75.0, 160.0)
    return Lesion(name, side, size, contrast, (float(across), float(down)))


def _is_free(place: tuple[float, float], side: str, size: float, build: Build, others: list[Lesion]) -> bool:
    """Return whether a nodule would be visible: not behind heart or dome, in fluid, air or another nodule."""
    x, y = place
    radius = 4 + 10 * size
    bottom, wall = min(build.right_dome, build.left_dome) - 12.0, float(chest_width(np.array([y]), build)[0])
    heart = build.heart
    for other in others:
        if other.finding == "cardiomegaly":
            heart = max(heart, 1.16 + 0.3 * other.size)
        elif other.side != side:
            continue
        elif other.finding == "effusion":
            bottom = min(bottom, bottom + 34 - 125 * other.size - 15)
        elif other.finding == "pneumothorax":
            gap = 10 + 45 * other.size
            wall = float(chest_width(np.array([y - 0.9 * gap]), build)[0]) - 0.75 * gap
        elif other.place is not None and np.hypot(x - other.place[0], y - other.place[1]) < 30:
            return False
    centre = 50 + (70 * heart * build.width - 26 if side == "left" and y > 185 else 0)
    return x > min(centre, 100) + 0.3 * radius and x < wall - radius - 5 and y < bottom - radius


def _choose(shares: tuple[tuple[str, float], ...], chance: float) -> str:
    total = 0.0
    for name, share in shares:
        total += share
        if chance < total:
            return name
    return shares[-1][0]
