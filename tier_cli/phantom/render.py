"""Render synthetic chest radiographs from a seed, with numpy alone.

For examples, tests and benchmarks. They look like a chest to a reader and to a decoder, but results on them
say nothing about how well a model reads patients.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tier_cli.phantom.anatomy import Anatomy, draw_anatomy
from tier_cli.phantom.lesions import Changes, Lesion, draw_lesion
from tier_cli.phantom.scene import STANDARD, Scene
from tier_cli.phantom.shapes import Build, Map, blur

# Linear attenuation per millimetre at about 70 keV (NIST tables, rounded); lung is air with some tissue.
_TISSUE, _BONE = 0.0190, 0.0300

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class PhantomImage:
    """One synthetic radiograph.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1], air dark, bone bright.
    findings
        The lesions by finding id, with every random choice filled in; empty for a healthy chest.
    boxes
        The boxes (x0, y0, x1, y1) of each finding in pixels, x1 and y1 exclusive.
    seed
        The seed that it was rendered from.
    """

    pixels: NDArray[np.float32]
    findings: dict[str, tuple[Lesion, ...]]
    boxes: dict[str, tuple[Box, ...]]
    seed: int


@dataclass(frozen=True)
class Phantom:
    """The recipe of a radiograph: the same recipe gives the same image.

    Parameters
    ----------
    seed
        Determines the body, the vessels, the noise, and what a lesion leaves to chance.
    findings
        Lesions, or finding ids (`tier_cli.phantom.lesions.FINDINGS`).
    shape
        Height and width in pixels; the image is always 400 mm wide.
    noise
        Quantum noise relative to a standard exposure; 0 = none.
    build
        The body; by default the seed determines it.
    scene
        The exposure and the objects in the beam besides the chest.
    shot
        Distinguishes images of one seed: (study, image), both from 1. Body and vessels stay the same.
    """

    seed: int
    findings: tuple[Lesion | str, ...] = ()
    shape: tuple[int, int] = (512, 512)
    noise: float = 1.0
    build: Build | None = None
    scene: Scene = STANDARD
    shot: tuple[int, ...] = ()

    def render(self) -> PhantomImage:
        """Render the image."""
        # Separate random streams: the same seed gives the same body with and without lesions.
        body = np.random.default_rng([self.seed, 0])
        lesion = np.random.default_rng([self.seed, 1, *self.shot[:1]])
        noise = np.random.default_rng([self.seed, 2, *self.shot])
        build = Build.draw(body) if self.build is None else self.build
        lesions = [one if isinstance(one, Lesion) else Lesion(one) for one in self.findings]
        lesions = [one.settled(lesion) for one in lesions]
        for one in lesions:
            if one.finding == "cardiomegaly":
                build = replace(build, heart=max(build.heart, 1.16 + 0.3 * one.size))
        anatomy = draw_anatomy(*self.shape, build, body)
        changes = [draw_lesion(one, anatomy, lesion) for one in lesions]
        pixels = _expose(anatomy, changes, self.scene, noise, self.noise)
        drawn: dict[str, tuple[Lesion, ...]] = {}
        boxes: dict[str, tuple[Box, ...]] = {}
        for one, change in zip(lesions, changes, strict=True):
            drawn[one.finding] = (*drawn.get(one.finding, ()), one)
            boxes[one.finding] = (*boxes.get(one.finding, ()), _box(change.extent))
        return PhantomImage(pixels, drawn, boxes, self.seed)


def make_phantom(
    seed: int,
    findings: Iterable[Lesion | str] = (),
    shape: tuple[int, int] = (512, 512),
    noise: float = 1.0,
) -> PhantomImage:
    """Render one synthetic radiograph; parameters as in `Phantom`."""
    return Phantom(seed, tuple(findings), shape, noise).render()


def _expose(
    anatomy: Anatomy, changes: list[Changes], scene: Scene, rng: np.random.Generator, noise: float
) -> NDArray[np.float32]:
    """Apply the Beer-Lambert law, scatter, photon noise and the film curve."""
    attenuation = _attenuation(anatomy, changes, scene)
    through = np.exp(-attenuation)
    step = 400 / through.shape[1]
    through = blur(through, scene.blur / step) + scene.scatter * blur(through, 45 / step)
    # Blurring by Fourier transform leaves tiny negative numbers behind metal.
    through = np.clip(through, 1e-6, None)
    if noise:
        # Photons per pixel scale with its area, so that a smaller image is not noisier.
        photons = scene.photons * (step / 400 * 512) ** 2
        spread = noise * np.sqrt(through / photons)
        through = np.clip(through + spread * rng.standard_normal(through.shape), 1e-6, None)
    density = -np.log(through)
    curve = 1 / (1 + np.exp(-(density - scene.middle) / scene.latitude))
    low, high = 1 / (1 + np.exp(scene.middle / scene.latitude)), 0.96
    grey: NDArray[np.float32] = np.clip((curve - low) / (high - low), 0, 1).astype(np.float32)
    scene.shutter(grey)
    return grey


def _attenuation(anatomy: Anatomy, changes: list[Changes], scene: Scene) -> Map:
    """Return the sum of attenuation times path length over everything that a ray crosses (H, W)."""
    lung = anatomy.lungs["right"] + anatomy.lungs["left"]
    fluid, air, extra = (np.zeros_like(lung) for _ in range(3))
    for change in changes:
        fluid, air = np.maximum(fluid, change.fluid), np.maximum(air, change.air)
        extra = extra + change.tissue
    aerated = lung * (1 - fluid) * (1 - scene.lung_density * (1 - air))
    vessels = anatomy.vessels * (1 - air) * (1 - fluid)
    tissue = np.clip(anatomy.body - aerated - anatomy.air, 0, None) + vessels + extra
    inside = np.clip(anatomy.body / 20, 0, 1)
    attenuation: Map = (
        _TISSUE * tissue * (anatomy.body > 0) + _BONE * scene.bone * anatomy.bone * inside
    ) + scene.besides(anatomy.x, anatomy.y)
    return attenuation


def _box(extent: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(extent.any(axis=1)), np.flatnonzero(extent.any(axis=0))
    if not rows.size:
        return (0, 0, 0, 0)
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
