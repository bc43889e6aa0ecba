"""What is worth knowing of a manifest and not wrong: a sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.datasets.survey.survey import LabelCount, TextCount
    from tier_cli.findings.schema import FindingSet

_NAMED = 3
# Beyond this share of one text, pairs of image and text tell each other apart badly.
_REPEATED = 0.2


def one_class(findings: FindingSet, labels: Sequence[LabelCount]) -> Iterable[str]:
    """Tell of findings, and splits, that have no AUC."""
    if not labels:
        yield f"no column is a label of {findings.name}"
    for split in dict.fromkeys(split for label in labels for split in label.one_class):
        names = [label.finding for label in labels if split in label.one_class]
        where = f" in split {split}" if split else ""
        yield f"no AUC{where} without both 1 and 0: {', '.join(names)}"


def near_misses(ignored: Iterable[str], findings: FindingSet) -> Iterable[str]:
    """Tell of columns whose names are nearly those of findings."""
    names = {name.casefold(): name for finding in findings.findings for name in finding.names}
    for column in ignored:
        close = get_close_matches(column.casefold().replace(" ", "_"), names, n=1, cutoff=0.85)
        if close:
            yield f"the column {column!r} is ignored; is it {names[close[0]]!r}?"


def like_labels(manifest: Manifest, ignored: Iterable[str], findings: FindingSet) -> Iterable[str]:
    """Tell of columns that may be labels of findings that the set has not."""
    alike = [column for column in ignored if manifest.holds_labels(column)]
    if alike:
        more = f" and {len(alike) - _NAMED} more" if len(alike) > _NAMED else ""
        yield (
            f"columns that look like labels and are no findings of {findings.name}: "
            f"{', '.join(alike[:_NAMED])}{more}; name them with --findings, or give a set that has them"
        )


def shared(texts: TextCount) -> Iterable[str]:
    """Tell of a text that very many images have."""
    for _, times in texts.repeated[:1]:
        if times > _REPEATED * texts.filled:
            yield f"one text stands at {times} of {texts.filled} images"
