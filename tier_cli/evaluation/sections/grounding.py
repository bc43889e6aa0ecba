"""Compare the model's patches with the regions of the manifest, by finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.errors import CheckpointError, InputError, UsageError
from tier_cli.evaluation.context import Section
from tier_cli.evaluation.intervals import documents, number
from tier_cli.evaluation.sections.grounding_cases import Target, case_of, targets_of
from tier_cli.evaluation.sections.grounding_measures import (
    Case,
    cnr,
    halves,
    inside_auc,
    iou_of_view,
    ious,
    means,
    pointing,
    split_ious,
    usual_place,
)
from tier_cli.maps.similarity import SIMILARITIES, finding_directions, similarity_of
from tier_cli.metrics.bootstrap import resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.pipeline.scorer import Scorer

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
}


@dataclass(frozen=True)
class Found:
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
    """

    cases: list[Case] = field(default_factory=list)
    groups: list[tuple[str, str]] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    unusable: Counter[str] = field(default_factory=Counter)


def grounding_section() -> Section:
    """Return the section ``grounding``."""
    return Section("grounding", _measure)


def _measure(evaluation: Evaluation) -> dict[str, Any]:
    from tier_cli.datasets.regions import regions

    job, manifest = evaluation.job, evaluation.selection.manifest
    if job is None:
        raise UsageError("grounding needs a model with patches", where="--grounding", remedy="add --model")
    unknown: Counter[str] = Counter()
    targets = [tuple(targets_of(row, job.findings, unknown)) for row in regions(manifest)]
    rows = [row for row, wanted in enumerate(targets) if wanted]
    notes = [
        f"{count} regions of {name} left out: not a finding of the set" for name, count in unknown.items()
    ]
    if not rows:
        notes.append("nothing to measure: no image has boxes or a mask of a finding of the set")
        return {"notes": notes, "findings": []}
    try:
        found = _find(evaluation, job.members[0], job.findings.ids, rows, [targets[row] for row in rows])
    except CheckpointError as error:
        # The table is already measured: it must not be lost because the model has no patches.
        return {"notes": [*notes, str(error)], "findings": []}
    if len(job.members) > 1:
        notes.append(f"of several models, only {job.checkpoint.name} was measured")
    notes += filter(None, [job.checkpoint.patch_note])
    notes += [f"{count} left out: {reason}" for reason, count in found.unusable.items()]
    if not found.cases:
        return {"notes": notes, "findings": []}
    return {"notes": notes, **measure_grounding(found, evaluation.protocol.resampling)}


def _find(
    evaluation: Evaluation,
    member: Scorer,
    findings: Sequence[str],
    rows: Sequence[int],
    targets: Sequence[Sequence[Target]],
) -> Found:
    """Compare the patches of each image with its targets."""
    from tier_cli.pipeline.encode import patch_maps

    paths, patients = evaluation.selection.manifest.paths, evaluation.selection.manifest.patients()
    directions = _directions(member, findings, targets)
    own = similarity_of(member.checkpoint.scoring)
    found = Found()
    with evaluation.progress(len(rows), "Looking for regions") as tick:
        maps = patch_maps([paths[row] for row in rows], member, evaluation.options, tick)
        for row, wanted, seen in zip(rows, targets, maps, strict=True):
            if isinstance(seen, InputError):
                found.unusable[seen.kind] += 1
                continue
            for target in wanted:
                case = case_of(target.regions, seen, directions[target.finding, target.text])
                if isinstance(case, str):
                    found.unusable[case] += 1
                    continue
                found.cases.append(case)
                found.groups.append((target.finding, "phrase" if target.text else own))
                found.patients.append(str(patients[row]))
    return found


def _directions(
    member: Scorer, findings: Sequence[str], targets: Sequence[Sequence[Target]]
) -> Mapping[tuple[str, str], Floats]:
    """Return, for each target, the direction (D,) to compare patches with: a difference for most scorings."""
    wanted = dict.fromkeys((target.finding, target.text) for row in targets for target in row)
    texts = list(dict.fromkeys(text for _, text in wanted if text))
    phrases = dict(zip(texts, member.engine.embed_texts(texts), strict=True)) if texts else {}
    directions = finding_directions(member.vectors, member.checkpoint.scoring)
    own = dict(zip(findings, directions, strict=True))
    return {(name, text): phrases[text].astype(np.float64) if text else own[name] for name, text in wanted}


def measure_grounding(found: Found, how: Resampling) -> dict[str, Any]:
    """Measure cases by finding: means over cases, resampled by patient.

    Returns
    -------
    The section. The pointing game and intersection over union count a cropped-away region as missed; the AUC
    and the contrast-to-noise ratio cover regions that the model sees at least in part.
    """
    names = list(dict.fromkeys(sorted(found.groups)))
    groups = np.array([names.index(group) for group in found.groups], dtype=np.intp)
    patients = np.array(found.patients, dtype=np.str_)
    values = {name: np.array([of(case) for case in found.cases]) for name, of in _MEASURES.items()}
    values["iou_best"], values["pointing_usual"] = np.full((2, len(groups)), np.nan)
    values["iou_fixed"] = np.array(
        [ious(case, FIXED[kind]).mean() for case, (_, kind) in zip(found.cases, found.groups, strict=True)]
    )
    thresholds = []
    for place in range(len(names)):
        mine = np.flatnonzero(groups == place)
        cases, parts = [found.cases[case] for case in mine], halves(patients[mine], how.seed)
        values["iou_best"][mine], chosen = split_ious(cases, parts)
        values["pointing_usual"][mine] = usual_place(cases, parts)
        thresholds.append([number(value) for value in chosen])
    statistic = means(values, groups, len(names))
    estimates = resample({0: statistic}, patients, replicates=how.replicates, seed=how.seed)[0]
    seen = np.array([case.visible for case in found.cases])
    measured = {name: documents(one, how.level) for name, one in estimates.items()}
    return {
        "cases": len(groups),
        "patients": len(np.unique(patients)),
        "outside_view": int((seen == 0).sum()),
        "partly_outside_view": int(((seen > 0) & (seen < _WHOLE)).sum()),
        "similarities": {kind: SIMILARITIES[kind] for kind in sorted({kind for _, kind in names})},
        "fixed_thresholds": {kind: list(FIXED[kind]) for kind in sorted({kind for _, kind in names})},
        "best_threshold": "for each half of the patients, that of the other half, by finding",
        "macro": {name: documents(one.macro, how.level)[0] for name, one in estimates.items()},
        "findings": [
            {
                "finding": finding,
                "similarity": kind,
                "cases": int((groups == place).sum()),
                "patients": len(np.unique(patients[groups == place])),
                "outside_view": int((seen[groups == place] == 0).sum()),
                "best_thresholds": thresholds[place],
                **{name: values[place] for name, values in measured.items()},
            }
            for place, (finding, kind) in enumerate(names)
        ],
    }
