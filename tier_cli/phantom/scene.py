"""Vary what is not a finding between images of a synthetic chest: exposure, objects, collimation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tier_cli.phantom.shapes import Map, ellipsoid, soft_step
from tier_cli.phantom.tubes import Tube, draw_tubes

# Attenuation per millimetre at about 70 keV: wire, plastic with barium, calcification, soft tissue.
_METAL, _PLASTIC, _CALCIUM, _TISSUE = 0.20, 0.05, 0.06, 0.019


@dataclass(frozen=True)
class BeamObject:
    """Tubes of one material in the beam, and its attenuation per millimetre."""

    tubes: tuple[Tube, ...]
    attenuation: float


@dataclass(frozen=True)
class Scene:
    """How an image was taken.

    Parameters
    ----------
    middle, latitude
        Optical density that becomes middle grey, and the width of the film curve.
    photons, scatter, blur
        Exposure, share of scatter, unsharpness in millimetres.
    bone, lung_density
        Density of bone relative to average bone, and of lung relative to tissue.
    uneven
        Change in log exposure from the middle to the right and to the lower edge.
    objects
        Leads, wires, catheters, scars.
    plate
        Centre x, y and half width and height of a pacemaker's metal case.
    breasts
        Millimetres of tissue in front of the lower lungs.
    borders
        Millimetres hidden by the collimator at left, top, right and bottom.
    """

    middle: float = 3.0
    latitude: float = 0.72
    photons: float = 1.5e5
    scatter: float = 0.05
    blur: float = 0.45
    bone: float = 1.0
    lung_density: float = 0.27
    uneven: tuple[float, float] = (0.0, 0.0)
    objects: tuple[BeamObject, ...] = ()
    plate: tuple[float, float, float, float] | None = None
    breasts: float = 0.0
    borders: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @staticmethod
    def draw(rng: np.random.Generator, view: str, sex: str) -> Scene:
        """Draw a random exposure; people who lie (AP) have leads and tubes more often."""
        lying = view == "AP"
        scene = Scene(
            middle=rng.uniform(2.6, 3.4),
            latitude=rng.uniform(0.6, 0.9),
            photons=1.5e5 * float(np.exp(rng.uniform(-1.8, 0.7))),
            scatter=rng.uniform(0.03, 0.12 if lying else 0.08),
            blur=rng.uniform(0.3, 1.3),
            bone=rng.uniform(0.55, 1.45),
            lung_density=rng.uniform(0.21, 0.34),
            uneven=(rng.uniform(-0.45, 0.45), rng.uniform(-0.45, 0.45)),
            breasts=rng.uniform(5, 34) if sex == "F" else 0.0,
        )
        objects = _scars(rng)
        if rng.random() < (0.6 if lying else 0.15):
            objects += _leads(rng)
        if rng.random() < (0.5 if lying else 0.1):
            objects += _catheter(rng)
        plate = None
        if rng.random() < 0.08:
            plate = (rng.choice([-1, 1]) * rng.uniform(78, 105), rng.uniform(105, 130), 24.0, 20.0)
        left, top, right, bottom = np.where(rng.random(4) < 0.25, rng.uniform(0, 16, 4), 0.0).tolist()
        return replace(scene, objects=objects, plate=plate, borders=(left, top, right, bottom))

    def besides(self, x: Map, y: Map) -> Map:
        """Return the attenuation (H, W) of everything but the chest, including an uneven beam."""
        extra = self.uneven[0] * x / 200 + self.uneven[1] * (y - 200) / 200
        for item in self.objects:
            drawn = np.zeros_like(x)
            draw_tubes(drawn, x, y, item.tubes)
            extra += item.attenuation * drawn
        if self.plate is not None:
            cx, cy, wide, high = self.plate
            extra += 2.5 * soft_step(wide - np.abs(x - cx), 4) * soft_step(high - np.abs(y - cy), 4)
        if self.breasts:
            extra += (
                _TISSUE
                * self.breasts
                * (ellipsoid(x, y, -82, 236, 68, 62, 0.2) + ellipsoid(x, y, 82, 236, 68, 62, -0.2))
            )
        return extra

    def shutter(self, grey: NDArray[np.float32]) -> None:
        """Blacken what the collimator hides, in place."""
        left, top, right, bottom = (round(edge / 400 * grey.shape[1]) for edge in self.borders)
        grey[:top] = grey[grey.shape[0] - bottom :] = 0
        grey[:, :left] = grey[:, grey.shape[1] - right :] = 0


STANDARD = Scene()


def _scars(rng: np.random.Generator) -> tuple[BeamObject, ...]:
    """Draw calcified granulomas, smaller and brighter than nodules, and bands of collapsed lung."""
    grains = tuple(
        _dot(rng.choice([-1, 1]) * rng.uniform(45, 110), rng.uniform(110, 260), rng.uniform(0.8, 1.4))
        for _ in range(int(rng.integers(0, 3)))
    )
    bands = []
    for _ in range(int(rng.integers(0, 3))):
        x, y = rng.choice([-1, 1]) * rng.uniform(60, 100), rng.uniform(200, 275)
        along, turn = rng.uniform(10, 24), rng.uniform(-0.6, 0.6)
        du, dv = along * float(np.cos(turn)), along * float(np.sin(turn))
        bands.append((x - du, y - dv, x + du, y + dv, rng.uniform(1.2, 2.4)))
    return BeamObject(grains, _CALCIUM), BeamObject(tuple(bands), _TISSUE)


def _leads(rng: np.random.Generator) -> tuple[BeamObject, ...]:
    """Draw electrodes on the skin, with wires that leave the image."""
    dots, wires = [], []
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.uniform(-130, 130), rng.uniform(90, 320)
        dots.append(_dot(x, y, rng.uniform(3.5, 5.5)))
        wires += _line(rng, (x, y), (x + rng.uniform(-60, 60), 420.0), 0.7, 14.0)
    return BeamObject(tuple(dots), _PLASTIC), BeamObject(tuple(wires), _METAL)


def _catheter(rng: np.random.Generator) -> tuple[BeamObject, ...]:
    """Draw a tube in the trachea or the stomach, or a central venous catheter."""
    kind = int(rng.integers(3))
    if kind == 0:
        tubes = _line(rng, (rng.uniform(-8, 8), -30.0), (rng.uniform(-4, 0), rng.uniform(120, 160)), 3.0, 2.0)
    elif kind == 1:
        tubes = _line(rng, (rng.uniform(-8, 8), -30.0), (rng.uniform(40, 75), 350.0), 1.8, 8.0)
    else:
        side = rng.choice([-1, 1])
        neck = (side * rng.uniform(40, 60), 50.0)
        tubes = _line(rng, neck, (-14.0, rng.uniform(150, 200)), 1.2, 8.0)
    return (BeamObject(tuple(tubes), _PLASTIC),)


def _line(
    rng: np.random.Generator,
    start: tuple[float, float],
    end: tuple[float, float],
    radius: float,
    sway: float,
) -> list[Tube]:
    """Draw a line that sways by this much (millimetres) between its ends."""
    share = np.linspace(0, 1, 9)
    bow = sway * rng.normal() * np.sin(np.pi * share) + sway * rng.normal() * np.sin(2 * np.pi * share)
    x = start[0] + share * (end[0] - start[0]) + bow
    y = start[1] + share * (end[1] - start[1])
    return [
        (float(x[i]), float(y[i]), float(x[i + 1]), float(y[i + 1]), radius) for i in range(len(share) - 1)
    ]


def _dot(x: float, y: float, radius: float) -> Tube:
    return (x, y, x + 0.1, y, radius)
