"""What a manifest holds and what is wrong with it, before an hour is spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.datasets.manifest import Manifest
from tier_cli.datasets.regions import Region, regions
from tier_cli.datasets.survey.files import FileCheck, Read, check_files
from tier_cli.datasets.survey.remarks import like_labels, near_misses, one_class, shared
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin, builtin_names
from tier_cli.findings.schema import FindingSet

_EXAMPLES = 3
_SHOWN_TEXTS = 3


@dataclass(frozen=True)
class Problem:
    """Something wrong, in a stable word and in a sentence, with some of the files that it is about."""

    kind: str
    what: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelCount:
    """How often each label of a finding stands in its column; `one_class` are splits without both 1 and 0."""

    finding: str
    column: str
    positive: int
    negative: int
    uncertain: int
    blank: int
    one_class: tuple[str, ...]


@dataclass(frozen=True)
class SplitCount:
    """Images, patients and positives of a split; ``""`` is the split of rows that name none."""

    name: str
    images: int
    patients: int
    positive: Mapping[str, int]


@dataclass(frozen=True)
class TextCount:
    """Texts: how many, how long in words, and those that several patients share most."""

    filled: int
    empty: int
    words: tuple[int, int, int] | None
    repeated: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Survey:
    """All that was found; `problems` are wrong, `remarks` worth knowing."""

    origin: str
    finding_set: str
    images: int
    patients: int
    studies: int
    without_patient: int
    views: Mapping[str, int]
    splits: tuple[SplitCount, ...]
    labels: tuple[LabelCount, ...]
    texts: TextCount
    boxes: int
    masks: int
    images_with_regions: int
    ignored_columns: tuple[str, ...]
    files: FileCheck
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """All of it for JSON."""
        return asdict(self)


def survey(manifest: Manifest, findings: FindingSet, read: Read, sample: int, seed: int = 0) -> Survey:
    """Look through a manifest: every cell, every file's presence, and the pixels of a few images.

    Parameters
    ----------
    manifest, findings
        What to look at, and whose columns are labels.
    read
        Reads images, for their sizes and for what is wrong with them.
    sample
        How many images to read, drawn at random; as many again of those with boxes.
    seed
        Of the drawing.
    """
    problems: list[Problem] = []
    remarks = list(manifest.notes)
    values = _labels(manifest, findings, problems)
    labels = tuple(_counts(manifest, values))
    found = _regions(manifest, findings, problems, remarks)
    files = check_files(manifest.paths, found, read, sample, seed)
    problems += [*_file_problems(files), *_repeated_paths(manifest), *_split_patients(manifest)]
    texts = _texts(manifest)
    problems += _nothing_said(findings, texts, labels, problems)
    ignored = _ignored(manifest, findings)
    remarks += [*one_class(findings, labels), *near_misses(ignored, findings), *shared(texts)]
    remarks += like_labels(manifest, ignored, findings)
    every = [region for row in found for region in row]
    return Survey(
        origin=manifest.origin,
        finding_set=findings.name,
        images=len(manifest),
        patients=_distinct(manifest, "patient"),
        studies=_distinct(manifest, "study"),
        without_patient=int((manifest.column("patient") == "").sum()),
        views=dict(Counter(manifest.column("view").tolist()).most_common()),
        splits=tuple(_splits(manifest, values)),
        labels=labels,
        texts=texts,
        boxes=sum(region.box is not None for region in every),
        masks=sum(region.box is None for region in every),
        images_with_regions=sum(bool(row) for row in found),
        ignored_columns=tuple(ignored),
        files=files,
        problems=tuple(problems),
        remarks=tuple(remarks),
    )


def best_set(manifest: Manifest) -> FindingSet:
    """Give the built-in finding set that most columns are names of, the smallest among equals."""

    def fit(fs: FindingSet) -> tuple[int, int]:
        return sum(fs.match(str(column)) is not None for column in manifest.frame.columns), -len(fs.findings)

    return max((builtin(name) for name in builtin_names()), key=fit)


def _distinct(manifest: Manifest, column: str) -> int:
    return len(set(manifest.column(column).tolist()) - {""})


def _labels(
    manifest: Manifest, findings: FindingSet, problems: list[Problem]
) -> dict[str, tuple[str, NDArray[np.float64]]]:
    """Give finding -> column and labels (N,), leaving out and telling of columns that hold something else."""
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


def _counts(
    manifest: Manifest, labels: Mapping[str, tuple[str, NDArray[np.float64]]]
) -> Iterable[LabelCount]:
    splits = manifest.column("split")
    for finding, (column, values) in labels.items():
        lacking = [
            str(split)
            for split in np.unique(splits)
            if not {0.0, 1.0} <= set(np.unique(values[splits == split]).tolist())
        ]
        one, none, unsure = (int((values == label).sum()) for label in (1, 0, -1))
        blank = int(np.isnan(values).sum())
        yield LabelCount(finding, column, one, none, unsure, blank, tuple(lacking))


def _regions(
    manifest: Manifest, findings: FindingSet, problems: list[Problem], remarks: list[str]
) -> list[tuple[Region, ...]]:
    try:
        found = regions(manifest)
    except ManifestError as error:
        problems.append(Problem("regions", str(error)))
        return [()] * len(manifest)
    unknown = Counter(r.finding for row in found for r in row if findings.match(r.finding) is None)
    if unknown:
        names = ", ".join(name for name, _ in unknown.most_common(_EXAMPLES))
        remarks.append(f"regions of findings that {findings.name} has not: {unknown.total()} ({names})")
    return found


def _file_problems(files: FileCheck) -> Iterable[Problem]:
    for kind, what, paths in (
        ("missing", "images that are not on disk", files.missing),
        ("empty", "image files that are empty", files.empty),
        ("missing_mask", "pictures of masks that are not on disk", files.missing_masks),
        ("outside", "images with boxes that lie outside of them", files.outside),
    ):
        if paths:
            yield Problem(kind, f"{what}: {len(paths)}", tuple(paths[:_EXAMPLES]))
    if files.unreadable:
        what = f"images that cannot be scored: {len(files.unreadable)} of {files.read} that were read"
        yield Problem("unreadable", what, tuple(files.unreadable[:_EXAMPLES]))


def _repeated_paths(manifest: Manifest) -> Iterable[Problem]:
    repeated = manifest.repeated_paths()
    if repeated:
        yield Problem(
            "repeated", f"paths that stand in several rows: {len(repeated)}", tuple(repeated[:_EXAMPLES])
        )


def _split_patients(manifest: Manifest) -> Iterable[Problem]:
    """Find patients in two splits; they are told by an image of each, not by their keys."""
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


def _splits(
    manifest: Manifest, labels: Mapping[str, tuple[str, NDArray[np.float64]]]
) -> Iterable[SplitCount]:
    patients, splits = manifest.patients(), manifest.column("split")
    for name in np.unique(splits):
        here = splits == name
        positive = {finding: int((values[here] == 1).sum()) for finding, (_, values) in labels.items()}
        yield SplitCount(str(name), int(here.sum()), len(set(patients[here].tolist())), positive)


def _texts(manifest: Manifest) -> TextCount:
    texts, patients = manifest.column("text").tolist(), manifest.patients().tolist()
    filled = [text for text in texts if text]
    words = np.array([len(text.split()) for text in filled])
    span = (int(words.min()), int(np.median(words)), int(words.max())) if filled else None
    repeated = []
    # A text of one patient alone might tell who that is; shared ones are phrases of the trade.
    for text, times in Counter(filled).most_common(_SHOWN_TEXTS):
        if len({patient for patient, other in zip(patients, texts, strict=True) if other == text}) > 1:
            repeated.append((text, times))
    return TextCount(len(filled), len(texts) - len(filled), span, tuple(repeated))


def _ignored(manifest: Manifest, findings: FindingSet) -> list[str]:
    try:
        return manifest.ignored_columns(findings)
    except ManifestError:
        return []


def _nothing_said(
    findings: FindingSet, texts: TextCount, labels: Iterable[LabelCount], problems: Iterable[Problem]
) -> list[Problem]:
    """Tell of data that neither train nor measure a model, unless labels that are wrong were told of."""
    labelled = any(label.positive or label.negative or label.uncertain for label in labels)
    if texts.filled or labelled or any(problem.kind == "labels" for problem in problems):
        return []
    return [
        Problem("nothing", f"neither texts nor labels of {findings.name}: nothing to train or measure on")
    ]
