"""Measure maps as published evaluations do, so that numbers can stand beside theirs.

What each protocol takes from its authors' code, and where it differs, is in docs/grounding.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import UsageError, did_you_mean
from tier_cli.metrics.ranking import ratio

if TYPE_CHECKING:
    from tier_cli.datasets.regions import Region
    from tier_cli.maps.patch_grid import PatchGrid

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Published:
    """A published way to measure maps.

    Parameters
    ----------
    source
        Whose it is.
    measures
        What each number means.
    """

    source: str
    measures: Mapping[str, str]


PROTOCOLS: Mapping[str, Published] = {
    "radzero": Published(
        "RadZero (Park et al., NeurIPS 2025), code deepnoid-ai/RadZero at 656ae5f",
        {
            "pointing": "the highest pixel of the bilinear map lies in a box, edges included",
            "dice": "Dice at the threshold that is best on these cases themselves: too good by construction",
        },
    ),
    "carzero": Published(
        "CARZero (Lai et al., CVPR 2024); its code of the pointing game is not public",
        {"pointing": "the centre of the highest patch lies in a box"},
    ),
    "chexlocalize": Published(
        "CheXlocalize (Saporta et al., Nature Machine Intelligence 2022), code rajpurkarlab/cheXlocalize "
        "at 2a79492",
        {
            "hit_rate": "the highest pixel of the bilinear map lies in the region",
            "miou_otsu": "intersection over union of the map above Otsu's threshold",
            "miou_tuned": "the same above the best of 0.2, 0.3, ..., 0.8 of the map's range, chosen on the "
            "other half of the patients",
        },
    ),
}
# As numpy.arange(0.2, 0.8, 0.1) gives them in the authors' code: 0.8 is among them by rounding.
TUNED: Floats = np.arange(0.2, 0.8, 0.1)
# Thresholds of the Dice coefficient. RadZero has 101 of a probability; similarities have no such scale.
DICE_THRESHOLDS: Floats = np.linspace(-2, 2, 4001)
_GREYS = 256


@dataclass(frozen=True, eq=False)
class PixelCase:
    """One finding in one image, by the published protocols.

    Parameters
    ----------
    hit, hit_box
        Whether the highest pixel of the bilinear map lies in the region; or in a box, edges included.
    otsu
        Intersection over union above Otsu's threshold; NaN where nothing is above it.
    tuned
        Intersection over union above each of `TUNED`.
    dice
        float32, the Dice coefficient above each of `DICE_THRESHOLDS`.
    """

    hit: bool
    hit_box: bool
    otsu: float
    tuned: Floats
    dice: NDArray[np.float32]


def check_protocols(names: Sequence[str]) -> tuple[str, ...]:
    """Return the named protocols in their usual order; ``all`` names every one.

    Raises
    ------
    UsageError
        A name is not known, or none is given.
    """
    if not names:
        raise UsageError("no protocol is named", where="--grounding-protocol", remedy="name some, or all")
    if "all" in names:
        return tuple(PROTOCOLS)
    for name in names:
        if name not in PROTOCOLS:
            raise UsageError(
                f"no protocol {name!r}{did_you_mean(name, PROTOCOLS)}",
                where="--grounding-protocol",
                remedy=f"name some of {', '.join(PROTOCOLS)}, or all",
            )
    return tuple(name for name in PROTOCOLS if name in names)


def pixel_case(values: Floats, region: Mask, regions: Sequence[Region], place: PatchGrid) -> PixelCase:
    """Measure a map at the size of the source image.

    Parameters
    ----------
    values
        Similarities (rows, columns).
    region
        (H, W) where the finding is; not empty.
    regions
        The same as boxes and masks, in the pixels of the file.
    place
        Where the patches lie.
    """
    full = bilinear(values, place)
    seen = np.isfinite(full)
    row, column = divmod(int(np.where(seen, full, -np.inf).argmax()), full.shape[1])
    hit = bool(region[row, column])
    scaled = _normalised(full, seen)
    tuned = [_iou(seen & (scaled > threshold), region) for threshold in TUNED]
    return PixelCase(
        hit,
        _in_a_box(regions, _stored(row, column, place), place.stored_size, hit),
        _iou(otsu_mask(scaled, seen), region),
        np.array(tuned),
        _dice_curve(full[seen], region[seen], float(region.sum())),
    )


def bilinear(values: NDArray[np.floating], place: PatchGrid) -> NDArray[np.float32]:
    """Return a map (rows, columns) at the size of the source image, interpolated between patch centres.

    As torch's ``interpolate`` with ``align_corners=False``: outside the outer centres, the map is constant.

    Returns
    -------
    float32 (H, W): NaN where the model does not see the image.
    """
    down, across = place.edges
    rows, seen_rows = _weights(down, place.size[0])
    columns, seen_columns = _weights(across, place.size[1])
    full = np.full(place.size, np.nan, np.float32)
    full[np.ix_(seen_rows, seen_columns)] = rows @ values @ columns.T
    return full


def _weights(edges: Floats, length: int) -> tuple[Floats, NDArray[np.intp]]:
    """Return the weight of each patch at each pixel seen along one axis, and the numbers of these pixels."""
    count = len(edges) - 1
    centres = np.arange(length) + 0.5
    pixels = np.flatnonzero((centres >= edges[0]) & (centres < edges[-1]))
    place = (centres[pixels] - edges[0]) / (edges[-1] - edges[0]) * count - 0.5
    place = place.clip(0, count - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(count)), 0), pixels


def _normalised(full: NDArray[np.float32], seen: Mask) -> NDArray[np.float32]:
    """Scale what is seen to 0 to 1, NaN elsewhere and if the map is flat."""
    low, high = full[seen].min(), full[seen].max()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((full - low) / (high - low), np.float32)


def otsu_mask(scaled: NDArray[np.float32], seen: Mask) -> Mask:
    """Return the pixels above Otsu's threshold, with holes filled, as the authors' contours do.

    Parameters
    ----------
    scaled
        (H, W) from 0 to 1, NaN for a flat map.
    seen
        (H, W) which pixels count.
    """
    from scipy.ndimage import label

    if not np.isfinite(scaled[seen]).all():
        return np.zeros(scaled.shape, dtype=bool)
    grey = np.zeros(scaled.shape, np.uint8)
    grey[seen] = 255 * scaled[seen]
    above = seen & (grey > otsu(grey[seen]))
    # What no path over edges leads out of is a hole.
    parts, _ = label(np.pad(~above, 1, constant_values=True))
    return np.asarray(parts[1:-1, 1:-1] != parts[0, 0], dtype=bool)


def otsu(grey: NDArray[np.uint8]) -> int:
    """Return Otsu's threshold of grey levels, the lowest if several are best; higher levels are above it.

    Otsu N. A threshold selection method from gray-level histograms. IEEE Trans SMC 1979.
    """
    share = np.bincount(grey.ravel(), minlength=_GREYS) / grey.size
    below = np.cumsum(share)
    mean = np.cumsum(share * np.arange(_GREYS))
    between = ratio((mean[-1] * below - mean) ** 2, below * (1 - below))
    return int(np.nan_to_num(between).argmax())


def _iou(chosen: Mask, region: Mask) -> float:
    """Return the intersection over union; NaN if nothing is chosen, which is no true positive."""
    if not chosen.any():
        return float("nan")
    return float((chosen & region).sum() / (chosen | region).sum())


def _stored(row: int, column: int, place: PatchGrid) -> tuple[int, int]:
    """Return where the file, in whose pixels boxes are given, stores a pixel of the source image."""
    x, y = place.orientation.to_stored(place.size) @ (column, row, 1)
    return round(y), round(x)


def _in_a_box(
    regions: Sequence[Region], point: tuple[int, int], size: tuple[int, int], in_masks: bool
) -> bool:
    if any(region.box is None for region in regions):
        return in_masks
    row, column = point
    for region in regions:
        if region.box is None:
            continue
        height, width = region.size or size
        x0, y0, x1, y1 = region.box
        down, across = size[0] / height, size[1] / width
        if x0 * across <= column <= x1 * across and y0 * down <= row <= y1 * down:
            return True
    return False


def _dice_curve(values: NDArray[np.float32], inside: Mask, region: float) -> NDArray[np.float32]:
    """Return the Dice coefficient above each of `DICE_THRESHOLDS`, by counting values in between."""
    steps = len(DICE_THRESHOLDS)
    place = np.searchsorted(DICE_THRESHOLDS, values, side="left")
    chosen, common = (
        np.cumsum(np.bincount(part, minlength=steps + 1)[::-1])[::-1][1:] for part in (place, place[inside])
    )
    return np.asarray(2 * common / (chosen + region), np.float32)


def protocol_values(
    name: str, cases: Sequence[PixelCase], pointing: Floats, parts: Sequence[Mask]
) -> tuple[dict[str, Floats], dict[str, list[float]]]:
    """Return the values (N,) of a protocol for the cases of one finding, and the thresholds it chose.

    Parameters
    ----------
    name
        Key of `PROTOCOLS`.
    cases
        The N cases.
    pointing
        (N,) hits of the centre of the highest patch.
    parts
        Masks (N,) of the halves of the patients; none for one patient.
    """
    if name == "carzero":
        return {"pointing": pointing}, {}
    if name == "radzero":
        curves = np.stack([case.dice for case in cases])
        best = int(curves.mean(axis=0).argmax())
        hits = np.array([case.hit_box for case in cases], np.float64)
        dice = curves[:, best].astype(np.float64)
        return {"pointing": hits, "dice": dice}, {"dice": [float(DICE_THRESHOLDS[best])]}
    tuned, chosen = np.full(len(cases), np.nan), []
    tried = np.stack([case.tuned for case in cases])
    for mine in parts:
        found = int(np.argmax(_column_means(tried[~mine])))
        chosen.append(round(float(TUNED[found]), 1))
        tuned[mine] = tried[mine, found]
    values = {
        "hit_rate": np.array([case.hit for case in cases], np.float64),
        "miou_otsu": np.array([case.otsu for case in cases]),
        "miou_tuned": tuned,
    }
    return values, {"miou_tuned": chosen}


def _column_means(values: Floats) -> Floats:
    """Average without NaN, -1 where there is nothing else."""
    finite = np.isfinite(values)
    means = ratio(np.where(finite, values, 0).sum(axis=0), finite.sum(axis=0))
    return np.nan_to_num(means, nan=-1.0)
