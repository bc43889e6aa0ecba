"""Write remarks on what is worth knowing about a manifest without being wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tier_cli.errors import did_you_mean

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.datasets.regions import Region
    from tier_cli.datasets.survey.result import LabelCount, TextCount
    from tier_cli.findings.schema import FindingSet

_MOST_NAMED = 3
# When one text makes up more than this share of all texts, image-text pairs are hard to tell apart.
_REPEATED = 0.2
# Most ignored columns are no labels: only a name that is nearly that of a finding is likely to be misspelt.
_MISSPELT = 0.85


def without_auc(findings: FindingSet, labels: Sequence[LabelCount]) -> Iterable[str]:
    """Yield the findings, by split, for which no AUC can be computed."""
    if not labels:
        yield f"no column is a label of {findings.name}"
    for split in dict.fromkeys(split for label in labels for split in label.one_class):
        names = [label.finding for label in labels if split in label.one_class]
        where = f" in split {split}" if split else ""
        yield f"no AUC{where} for {', '.join(names)}: an AUC needs labels of 1 and of 0"


def misspelt_columns(ignored: Iterable[str], findings: FindingSet) -> Iterable[str]:
    """Yield ignored columns whose names resemble those of findings."""
    names = [name for finding in findings.findings for name in finding.names]
    for column in ignored:
        if near := did_you_mean(column.replace(" ", "_"), names, _MISSPELT):
            yield f"the column {column!r} is ignored{near}"


def unused_labels(manifest: Manifest, ignored: Iterable[str], findings: FindingSet) -> Iterable[str]:
    """Yield ignored columns that look like labels of findings outside the set."""
    alike = [column for column in ignored if manifest.holds_labels(column)]
    if alike:
        more = f" and {len(alike) - _MOST_NAMED} more" if len(alike) > _MOST_NAMED else ""
        yield (
            f"columns that look like labels but are not findings of {findings.name}: "
            f"{', '.join(alike[:_MOST_NAMED])}{more}; to use them, give --findings a set that contains them"
        )


def common_text(texts: TextCount) -> Iterable[str]:
    """Yield a text that a large share of the images has."""
    for _, times in texts.repeated[:1]:
        if times > _REPEATED * texts.filled:
            yield f"{times} of {texts.filled} images have the same text"


def unknown_regions(regions: Iterable[Sequence[Region]], findings: FindingSet) -> Iterable[str]:
    """Yield the findings of boxes and masks that are not in the set."""
    unknown = Counter(r.finding for row in regions for r in row if findings.match(r.finding) is None)
    if unknown:
        names = ", ".join(name for name, _ in unknown.most_common(_MOST_NAMED))
        yield f"boxes and masks of findings that are not in {findings.name}: {unknown.total()} ({names})"
