"""Compare the similarity of patches inside the regions of findings with that outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.evaluation.figures.patient_means import PatientMeans
from tier_cli.evaluation.sections.grounding_cases import Target, case_of, target_directions
from tier_cli.evaluation.sections.grounding_measures import Case, inside_auc
from tier_cli.maps.similarity import similarity_of

if TYPE_CHECKING:
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.maps.similarity import PatchMap
    from tier_cli.metrics.bootstrap import Estimate
    from tier_cli.metrics.ranking import Floats
    from tier_cli.pipeline.scorer import Scorer

# Similarities at which distributions are known: all that are possible, in steps of 0.01.
LEVELS = np.round(np.linspace(-2, 2, 401), 2)
# Rounding must not move a similarity past a level.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class InRegions:
    """What one model's patches show inside and outside regions.

    Parameters
    ----------
    similarity
        Key of `tier_cli.maps.similarity.SIMILARITIES`.
    findings
        The G findings that have regions.
    cases, patients
        (G,) numbers of images with a region of the finding that the model sees at least in part, and of their
        patients.
    all_patients
        Patients of all cases.
    curves
        Estimate (2 * len(LEVELS),): share of pixels inside, then outside, whose similarity is at most the
        level; the mean over cases.
    auc
        Estimate (G,) of the AUC of similarity for pixels inside against outside, a mean over cases.
    gap
        Estimate (1,) of the mean similarity inside minus that outside.
    left_out
        Counts of regions that could not be used, by reason.
    """

    similarity: str
    findings: tuple[str, ...]
    cases: tuple[int, ...]
    patients: tuple[int, ...]
    all_patients: int
    curves: Estimate
    auc: Estimate
    gap: Estimate
    left_out: Counter[str]


class RegionSums:
    """Collect what one model's patches show inside and outside regions, image by image.

    Parameters
    ----------
    member
        The model with its finding vectors.
    findings
        Ids of the finding set.
    targets
        (N,) the targets of each image.
    patients, groups
        (N,) patient of each image, and its number from `groups_of`.
    """

    def __init__(
        self,
        member: Scorer,
        findings: Sequence[str],
        targets: Sequence[Sequence[Target]],
        patients: NDArray[np.str_],
        groups: NDArray[np.intp],
    ):
        self._targets, self._patients = targets, patients
        there = dict.fromkeys(target.finding for row in targets for target in row)
        # Findings in the order of the set, then those that only a phrase describes.
        self._names = [name for name in findings if name in there]
        self._names += [name for name in there if name not in self._names]
        self._directions = target_directions(member, findings, targets)
        self._similarity = similarity_of(member.checkpoint.scoring)
        self._curves = PatientMeans(groups, 2 * len(LEVELS))
        self._aucs = PatientMeans(groups, len(self._names))
        self._gaps = PatientMeans(groups, 1)
        self._cases: list[tuple[int, int]] = []
        self._left_out: Counter[str] = Counter()

    def add(self, row: int, seen: PatchMap) -> None:
        """Add the patches of an image."""
        for target in self._targets[row]:
            case = case_of(target.regions, seen, self._directions[target.finding, target.text])
            if isinstance(case, str):
                self._left_out[case] += 1
            elif not (case.inside.sum() > 0 and case.outside.sum() > 0):
                self._left_out["the model sees nothing of the region, or nothing else"] += 1
            else:
                self._add(row, self._names.index(target.finding), case)

    def _add(self, row: int, place: int, case: Case) -> None:
        shares = [shares_up_to(case.similarities, areas) for areas in (case.inside, case.outside)]
        self._curves.add(row, np.concatenate(shares)[None])
        aucs = np.full((1, len(self._names)), np.nan)
        aucs[0, place] = inside_auc(case)
        self._aucs.add(row, aucs)
        inside, outside = (
            (case.similarities * areas).sum() / areas.sum() for areas in (case.inside, case.outside)
        )
        self._gaps.add(row, np.array([[inside - outside]]))
        self._cases.append((row, place))

    def result(self, how: Resampling) -> InRegions | None:
        """Return the means with intervals; None if there is no case."""
        if not self._cases:
            return None
        rows, places = np.array(self._cases).T
        counts = range(len(self._names))
        return InRegions(
            self._similarity,
            tuple(self._names),
            tuple(int((places == place).sum()) for place in counts),
            tuple(len(np.unique(self._patients[rows[places == place]])) for place in counts),
            len(np.unique(self._patients[rows])),
            self._curves.estimate(how),
            self._aucs.estimate(how),
            self._gaps.estimate(how),
            self._left_out,
        )


def shares_up_to(similarities: Floats, areas: Floats) -> Floats:
    """Return for each of `LEVELS` the share of the area of patches (P,) whose similarity is at most that."""
    places = np.searchsorted(LEVELS, similarities - _ROUNDING)
    up_to = np.cumsum(np.bincount(places, weights=areas, minlength=len(LEVELS)))[: len(LEVELS)]
    found: Floats = up_to / areas.sum()
    return found
