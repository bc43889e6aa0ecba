"""Compare the model's patches with the regions of the manifest, by finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.errors import CheckpointError, InputError, UsageError
from tier_cli.evaluation.context import Section
from tier_cli.evaluation.sections.grounding_cases import (
    Target,
    case_of,
    read_targets,
    region_of,
    target_directions,
)
from tier_cli.evaluation.sections.grounding_protocols import PixelCase, pixel_case
from tier_cli.evaluation.sections.grounding_summary import GroundingCases, measure_grounding
from tier_cli.evaluation.sections.stored_thresholds import StoredThresholds, stored_thresholds
from tier_cli.maps.similarity import similarity_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.evaluation.context import Evaluation
    from tier_cli.maps.similarity import PatchMap
    from tier_cli.pipeline.scorer import Scorer

    Floats = NDArray[np.float64]


def grounding_section(protocols: Sequence[str] = ()) -> Section:
    """Return the section ``grounding``, with published protocols by name."""
    return Section("grounding", lambda evaluation: _measure(evaluation, protocols))


def _measure(evaluation: Evaluation, protocols: Sequence[str]) -> dict[str, Any]:
    job = evaluation.job
    if job is None:
        raise UsageError("grounding needs a model with patches", where="--grounding", remedy="add --model")
    targets, notes = read_targets(evaluation.selection.manifest, job.findings)
    rows = [row for row, wanted in enumerate(targets) if wanted]
    if not rows:
        notes.append("nothing to measure: no image has boxes or a mask of a finding of the set")
        return {"notes": notes, "findings": []}
    try:
        found = _find(
            evaluation,
            job.members[0],
            job.findings.ids,
            rows,
            [targets[row] for row in rows],
            bool(protocols),
        )
    except CheckpointError as error:
        # The table is already measured: it must not be lost because the model has no patches.
        return {"notes": [*notes, str(error)], "findings": []}
    if len(job.members) > 1:
        notes.append(f"of several models, only {job.checkpoint.name} was measured")
    notes += filter(None, [job.checkpoint.patch_note])
    notes += [f"{count} left out: {reason}" for reason, count in found.unusable.items()]
    if not found.cases:
        return {"notes": notes, "findings": []}
    try:
        stored = stored_thresholds(evaluation, job.members[0].checkpoint, job.findings)
    except CheckpointError as error:
        stored = StoredThresholds(notes=(str(error),))
    notes += stored.notes
    return {"notes": notes, **measure_grounding(found, evaluation.protocol.resampling, stored, protocols)}


def _find(
    evaluation: Evaluation,
    member: Scorer,
    findings: Sequence[str],
    rows: Sequence[int],
    targets: Sequence[Sequence[Target]],
    by_pixel: bool,
) -> GroundingCases:
    """Compare the patches of each image with its targets; also pixel by pixel if `by_pixel` is set."""
    from tier_cli.pipeline.encode import patch_maps

    paths, patients = evaluation.selection.manifest.paths, evaluation.selection.manifest.patients()
    directions = target_directions(member, findings, targets)
    own = similarity_of(member.checkpoint.scoring)
    found = GroundingCases()
    with evaluation.progress(len(rows), "Looking for regions") as tick:
        maps = patch_maps([paths[row] for row in rows], member, evaluation.options, tick)
        for row, wanted, seen in zip(rows, targets, maps, strict=True):
            if isinstance(seen, InputError):
                found.unusable[seen.kind] += 1
                continue
            for target in wanted:
                direction = directions[target.finding, target.text]
                case = case_of(target.regions, seen, direction)
                if isinstance(case, str):
                    found.unusable[case] += 1
                    continue
                if by_pixel:
                    found.pixels.append(_by_pixel(target, seen, direction))
                found.cases.append(case)
                found.groups.append((target.finding, "phrase" if target.text else own))
                found.patients.append(str(patients[row]))
    return found


def _by_pixel(target: Target, seen: PatchMap, direction: Floats) -> PixelCase:
    region = region_of(target.regions, seen.grid)
    (values,) = seen.similarities(direction[None])
    return pixel_case(values, np.asarray(region, dtype=bool), target.regions, seen.grid)
