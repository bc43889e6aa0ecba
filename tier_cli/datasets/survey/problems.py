"""Find what is wrong with a manifest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tier_cli.datasets.survey.result import Problem

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.datasets.survey.files import FileCheck
    from tier_cli.datasets.survey.result import LabelCount, TextCount
    from tier_cli.findings.schema import FindingSet

_EXAMPLES = 3


def file_problems(files: FileCheck) -> Iterable[Problem]:
    """Yield missing, empty and unreadable files, and boxes outside their images."""
    for kind, what, paths in (
        ("missing", "images that are not on disk", files.missing),
        ("empty", "empty image files", files.empty),
        ("missing_mask", "mask files that are not on disk", files.missing_masks),
        ("outside", "images with boxes outside the image", files.outside),
    ):
        if paths:
            yield Problem(kind, f"{what}: {len(paths)}", tuple(paths[:_EXAMPLES]))
    if files.unreadable:
        what = f"images that cannot be scored: {len(files.unreadable)} of {files.read} that were read"
        yield Problem("unreadable", what, tuple(files.unreadable[:_EXAMPLES]))


def repeated_paths(manifest: Manifest) -> Iterable[Problem]:
    """Yield paths that occur in several rows."""
    repeated = manifest.repeated_paths()
    if repeated:
        yield Problem("repeated", f"paths in several rows: {len(repeated)}", tuple(repeated[:_EXAMPLES]))


def patients_in_two_splits(manifest: Manifest) -> Iterable[Problem]:
    """Yield patients in two splits, identified by an image of each split instead of their keys."""
    seen: dict[str, tuple[str, str]] = {}
    both: dict[str, str] = {}
    rows = zip(manifest.patients(), manifest.column("split"), manifest.paths, strict=True)
    for patient, split, path in rows:
        if not split:
            continue
        first, example = seen.setdefault(str(patient), (str(split).lower(), path))
        if first != str(split).lower():
            both.setdefault(str(patient), f"{example} ({first}) and {path} ({str(split).lower()})")
    if both:
        what = f"patients in more than one split: {len(both)}"
        yield Problem("leak", what, tuple(both.values())[:_EXAMPLES])


def nothing_to_use(
    findings: FindingSet, texts: TextCount, labels: Iterable[LabelCount], problems: Iterable[Problem]
) -> list[Problem]:
    """Return the problem that neither training nor evaluation can use the data, unless labels are invalid."""
    labelled = any(label.positive or label.negative or label.uncertain for label in labels)
    if texts.filled or labelled or any(problem.kind == "labels" for problem in problems):
        return []
    what = f"neither texts nor labels of {findings.name}: nothing to train on or to evaluate"
    return [Problem("nothing", what)]
