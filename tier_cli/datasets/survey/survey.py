"""Survey a manifest: what it contains and what is wrong with it, before hours are spent on it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tier_cli.datasets.regions import Region, regions
from tier_cli.datasets.survey.counts import count_distinct, count_labels, count_splits, count_texts
from tier_cli.datasets.survey.files import ReadSizes, check_files
from tier_cli.datasets.survey.problems import (
    file_problems,
    nothing_to_use,
    patients_in_two_splits,
    repeated_paths,
)
from tier_cli.datasets.survey.remarks import (
    common_text,
    misspelt_columns,
    unknown_regions,
    unused_labels,
    without_auc,
)
from tier_cli.datasets.survey.result import Problem, Survey
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin, builtin_names
from tier_cli.findings.schema import FindingSet

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.datasets.survey.counts import Labels


def survey_manifest(
    manifest: Manifest, findings: FindingSet, read_sizes: ReadSizes, sample: int, seed: int = 0
) -> Survey:
    """Check every cell of a manifest, the presence of every file, and the pixels of a few images.

    Parameters
    ----------
    manifest, findings
        The rows, and the set whose findings are looked for among the columns.
    read_sizes
        Reads images and returns their sizes, or why they cannot be scored.
    sample
        How many images to read, drawn at random; as many again of those with boxes.
    seed
        Seed of the draw.
    """
    problems: list[Problem] = []
    values = _read_labels(manifest, findings, problems)
    labels = tuple(count_labels(manifest, values))
    found = _read_regions(manifest, problems)
    files = check_files(manifest.paths, found, read_sizes, sample, seed)
    problems += [*file_problems(files), *repeated_paths(manifest), *patients_in_two_splits(manifest)]
    texts = count_texts(manifest)
    problems += nothing_to_use(findings, texts, labels, tuple(problems))
    ignored = _ignored_columns(manifest, findings)
    every = [region for row in found for region in row]
    return Survey(
        origin=manifest.origin,
        finding_set=findings.name,
        images=len(manifest),
        patients=count_distinct(manifest, "patient"),
        studies=count_distinct(manifest, "study"),
        without_patient=int((manifest.column("patient") == "").sum()),
        views=dict(Counter(manifest.column("view").tolist()).most_common()),
        splits=tuple(count_splits(manifest, values)),
        labels=labels,
        texts=texts,
        boxes=sum(region.box is not None for region in every),
        masks=sum(region.box is None for region in every),
        images_with_regions=sum(bool(row) for row in found),
        ignored_columns=tuple(ignored),
        files=files,
        problems=tuple(problems),
        remarks=(
            *manifest.reading_notes,
            *unknown_regions(found, findings),
            *without_auc(findings, labels),
            *misspelt_columns(ignored, findings),
            *common_text(texts),
            *unused_labels(manifest, ignored, findings),
        ),
    )


def best_finding_set(manifest: Manifest) -> FindingSet:
    """Return the built-in finding set that matches most columns, the smallest of several."""

    def fit(fs: FindingSet) -> tuple[int, int]:
        return sum(fs.match(str(column)) is not None for column in manifest.frame.columns), -len(fs.findings)

    return max((builtin(name) for name in builtin_names()), key=fit)


def _read_labels(manifest: Manifest, findings: FindingSet, problems: list[Problem]) -> Labels:
    """Return each finding's column and labels (N,); columns with other cells become problems instead."""
    try:
        columns = manifest.label_columns(findings)
    except ManifestError as error:
        problems.append(Problem("labels", error.reason))
        return {}
    found = {}
    for finding in findings.findings:
        if finding.id in columns:
            try:
                values = manifest.labels(FindingSet(finding.id, (finding,)))[:, 0]
            except ManifestError as error:
                problems.append(Problem("labels", str(error)))
            else:
                found[finding.id] = (columns[finding.id], values)
    return found


def _read_regions(manifest: Manifest, problems: list[Problem]) -> list[tuple[Region, ...]]:
    try:
        return regions(manifest)
    except ManifestError as error:
        problems.append(Problem("regions", str(error)))
        return [()] * len(manifest)


def _ignored_columns(manifest: Manifest, findings: FindingSet) -> list[str]:
    try:
        return manifest.ignored_columns(findings)
    except ManifestError:
        return []
