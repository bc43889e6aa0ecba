"""Read the thresholds of maps that a checkpoint stores, unless they were chosen on the evaluated images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tier_cli.evaluation.fitted_on import Overlap, images_of
from tier_cli.maps.scale import map_scale_facts, read_map_scale

if TYPE_CHECKING:
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.findings.schema import FindingSet
    from tier_cli.model.checkpoint import Checkpoint


@dataclass(frozen=True)
class StoredThresholds:
    """The thresholds of a checkpoint's scale of maps.

    Parameters
    ----------
    thresholds, chosen_by
        By the id of the finding: the similarity, and ``dice`` or ``images_without``.
    source
        Where they come from.
    notes
        Why they are not used, or what to bear in mind.
    """

    thresholds: Mapping[str, float] = field(default_factory=dict)
    chosen_by: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    notes: tuple[str, ...] = ()


def stored_thresholds(
    evaluation: Evaluation, checkpoint: Checkpoint, findings: FindingSet
) -> StoredThresholds:
    """Return a checkpoint's thresholds for a finding set; none if they were chosen on the evaluated images.

    Raises
    ------
    CheckpointError
        The checkpoint's scale of maps is not valid.
    """
    # Not every checkpoint of Python callers is a folder.
    path = getattr(checkpoint, "path", None)
    facts = None if path is None else map_scale_facts(path)
    scale = None if facts is None else read_map_scale(checkpoint, findings)
    if facts is None or scale is None or not scale.thresholds:
        return StoredThresholds()
    fitted_on = facts.get("fitted_on")
    fitted_on = fitted_on if isinstance(fitted_on, dict) else {}
    place = f"{fitted_on.get('data')}, split {fitted_on.get('split')}"
    images = images_of(evaluation.selection, evaluation.truth, None, evaluation.protocol.dataset)
    overlap = images.overlap(fitted_on)
    if overlap is Overlap.SURE:
        note = f"the checkpoint's thresholds of maps were chosen on the evaluated images ({place}): not used"
        return StoredThresholds(notes=(note,))
    notes = []
    if overlap is Overlap.POSSIBLE:
        notes.append(
            "the checkpoint's thresholds of maps were chosen on rows of the same table, with other rows "
            "excluded: the numbers hold only if no patient is in both"
        )
    entries: Mapping[str, Any] = facts["thresholds"][findings.hash]
    return StoredThresholds(
        scale.thresholds,
        {name: str(entries[name].get("chosen_by")) for name in scale.thresholds},
        f"the checkpoint's own, from {place}",
        tuple(notes),
    )
