"""Average the measures of grounding over cases by finding, with intervals over patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.evaluation.intervals import documents, number
from tier_cli.evaluation.sections.grounding_measures import (
    Case,
    best_thresholds,
    cnr,
    dice_of_view,
    dices,
    halves,
    inside_auc,
    iou_of_view,
    ious,
    means,
    pointing,
    split_overlaps,
    usual_overlaps,
    usual_place,
)
from tier_cli.evaluation.sections.grounding_protocols import PROTOCOLS, PixelCase, protocol_values
from tier_cli.evaluation.sections.stored_thresholds import StoredThresholds
from tier_cli.maps.similarity import SIMILARITIES
from tier_cli.metrics.bootstrap import resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.evaluation.measure import Resampling

    Floats = NDArray[np.float64]

# The fixed thresholds over which intersection over union is averaged, by similarity.
_COSINES = (0.1, 0.2, 0.3, 0.4, 0.5)
FIXED = {"difference": (0.0,), "positive": _COSINES, "phrase": _COSINES}
_WHOLE = 1 - 1e-6
_MEASURES: Mapping[str, Callable[[Case], float]] = {
    "pointing": pointing,
    # What a random map, and one that always points at the centre, would achieve.
    "pointing_random": lambda case: float(case.hits.mean()),
    "pointing_centre": lambda case: float(case.centre),
    "pointing_over_random": lambda case: pointing(case) - float(case.hits.mean()),
    "auc": inside_auc,
    "cnr": cnr,
    "iou_view": iou_of_view,
    "dice_view": dice_of_view,
}
_OTHER_HALF = "other_half"


@dataclass(frozen=True)
class GroundingCases:
    """The cases, and what could not be used.

    Parameters
    ----------
    cases
        One per target and image.
    groups
        Finding and key of `SIMILARITIES` of each case.
    patients
        Patient of each case.
    unusable
        Counts of what could not be used, by reason.
    pixels
        One per case for the published protocols; none unless one is asked for.
    """

    cases: list[Case] = field(default_factory=list)
    groups: list[tuple[str, str]] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    unusable: Counter[str] = field(default_factory=Counter)
    pixels: list[PixelCase] = field(default_factory=list)


@dataclass
class _Groups:
    """The cases, sorted into findings.

    Parameters
    ----------
    names
        G findings with the key of `SIMILARITIES`.
    of_case
        (N,) the group of each case.
    patients
        (N,)
    """

    names: list[tuple[str, str]]
    of_case: NDArray[np.intp]
    patients: NDArray[np.str_]

    @classmethod
    def of(cls, found: GroundingCases) -> _Groups:
        names = list(dict.fromkeys(sorted(found.groups)))
        of_case = np.array([names.index(group) for group in found.groups], dtype=np.intp)
        return cls(names, of_case, np.array(found.patients, dtype=np.str_))

    def estimated(
        self, values: dict[str, Floats], how: Resampling
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the mean over groups and each group's mean of every measure, with intervals."""
        statistic = means(values, self.of_case, len(self.names))
        found = resample({0: statistic}, self.patients, replicates=how.replicates, seed=how.seed)[0]
        measured = {name: documents(one, how.level) for name, one in found.items()}
        macro = {name: documents(one.macro, how.level)[0] for name, one in found.items()}
        each = [
            {name: columns[place] for name, columns in measured.items()} for place in range(len(self.names))
        ]
        return macro, each


def measure_grounding(
    found: GroundingCases,
    how: Resampling,
    stored: StoredThresholds | None = None,
    protocols: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure cases by finding: means over cases, resampled by patient.

    Parameters
    ----------
    found, how
        The cases, and how intervals are made.
    stored
        The checkpoint's own thresholds, which take the place of those of the other half of the patients.
    protocols
        Keys of `PROTOCOLS`.

    Returns
    -------
    The section. The pointing game, intersection over union and Dice count a cropped-away region as missed;
    the AUC and the contrast-to-noise ratio cover regions that the model sees at least in part.
    """
    stored = stored or StoredThresholds()
    groups = _Groups.of(found)
    values = {name: np.array([of(case) for case in found.cases]) for name, of in _MEASURES.items()}
    split = ("iou_best", "pointing_usual", "dice", "iou", "dice_usual", "iou_usual")
    values |= {name: np.full(len(found.cases), np.nan) for name in split}
    values["iou_fixed"] = np.array(
        [ious(case, FIXED[kind]).mean() for case, (_, kind) in zip(found.cases, found.groups, strict=True)]
    )
    facts, ways = [], []
    for place, (finding, kind) in enumerate(groups.names):
        mine = np.flatnonzero(groups.of_case == place)
        cases, parts = [found.cases[case] for case in mine], halves(groups.patients[mine], how.seed)
        chosen = best_thresholds(cases, parts, ious)
        values["iou_best"][mine] = split_overlaps(cases, parts, chosen, ious)
        values["pointing_usual"][mine] = usual_place(cases, parts)
        values["dice_usual"][mine], values["iou_usual"][mine] = usual_overlaps(cases, parts, (dices, ious))
        thresholds, chosen_by = _one_threshold(finding, kind, cases, parts, stored)
        for name, overlap in (("dice", dices), ("iou", ious)):
            if chosen_by == _OTHER_HALF:
                values[name][mine] = split_overlaps(cases, parts, thresholds, overlap)
            else:
                values[name][mine] = [overlap(case, thresholds)[0] for case in cases]
        ways.append(chosen_by)
        facts.append(
            {
                "best_thresholds": [number(value) for value in chosen],
                "thresholds": [number(value) for value in thresholds],
                "threshold_chosen_by": chosen_by,
            }
        )
    macro, each = groups.estimated(values, how)
    seen = np.array([case.visible for case in found.cases])
    content = {
        "cases": len(groups.of_case),
        "patients": len(np.unique(groups.patients)),
        "outside_view": int((seen == 0).sum()),
        "partly_outside_view": int(((seen > 0) & (seen < _WHOLE)).sum()),
        "similarities": {kind: SIMILARITIES[kind] for kind in sorted({kind for _, kind in groups.names})},
        "fixed_thresholds": {kind: list(FIXED[kind]) for kind in sorted({kind for _, kind in groups.names})},
        "best_threshold": "for each half of the patients, that of the other half, by finding",
        "threshold_source": _origin(stored, ways),
        "macro": macro,
        "findings": [
            {
                "finding": finding,
                "similarity": kind,
                "cases": int((groups.of_case == place).sum()),
                "patients": len(np.unique(groups.patients[groups.of_case == place])),
                "outside_view": int((seen[groups.of_case == place] == 0).sum()),
                **facts[place],
                **each[place],
            }
            for place, (finding, kind) in enumerate(groups.names)
        ],
    }
    if protocols:
        pointings = values["pointing"]
        content["protocols"] = [_protocol(name, found.pixels, pointings, groups, how) for name in protocols]
    return content


def _one_threshold(
    finding: str,
    kind: str,
    cases: Sequence[Case],
    parts: Sequence[NDArray[np.bool_]],
    stored: StoredThresholds,
) -> tuple[Floats, str]:
    """Return the threshold of a finding and what chose it; two, one per half, if none is stored."""
    known = None if kind == "phrase" else stored.thresholds.get(finding)
    if known is None:
        return best_thresholds(cases, parts, dices), _OTHER_HALF
    return np.array([known]), stored.chosen_by[finding]


def _origin(stored: StoredThresholds, chosen_by: Sequence[str]) -> str:
    halved = "for each half of the patients, the one with the best Dice in the other half, by finding"
    if all(way == _OTHER_HALF for way in chosen_by):
        return halved
    return f"{stored.source}; without one, {halved}" if _OTHER_HALF in chosen_by else stored.source


def _protocol(
    name: str, pixels: Sequence[PixelCase], pointings: Floats, groups: _Groups, how: Resampling
) -> dict[str, Any]:
    """Measure the cases by one published protocol."""
    known = PROTOCOLS[name]
    values = {measure: np.full(len(pointings), np.nan) for measure in known.measures}
    chosen = []
    for place in range(len(groups.names)):
        mine = np.flatnonzero(groups.of_case == place)
        parts = halves(groups.patients[mine], how.seed)
        own, thresholds = protocol_values(
            name, [pixels[case] for case in mine.tolist()], pointings[mine], parts
        )
        for measure, column in own.items():
            values[measure][mine] = column
        chosen.append(thresholds)
    macro, each = groups.estimated(values, how)
    together = replace(groups, names=[("all", "")], of_case=np.zeros_like(groups.of_case))
    _, (pooled,) = together.estimated(values, how)
    return {
        "name": name,
        "source": known.source,
        "measures": dict(known.measures),
        "macro": macro,
        "pooled": pooled,
        "findings": [
            {
                "finding": finding,
                "similarity": kind,
                "cases": int((groups.of_case == place).sum()),
                "thresholds": {key: [number(one) for one in values] for key, values in chosen[place].items()},
                **each[place],
            }
            for place, (finding, kind) in enumerate(groups.names)
        ],
    }
