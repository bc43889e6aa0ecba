"""Fit the fixed scale of maps, and thresholds above which a patch stands out, into a copy of a checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.datasets.regions import by_finding, regions
from tier_cli.errors import InputError, ManifestError
from tier_cli.evaluation.fitted_on import images_of
from tier_cli.evaluation.sections.grounding_cases import case_of
from tier_cli.evaluation.truth import Labelled
from tier_cli.fitting.histogram import DiceCurve, Histogram
from tier_cli.maps.scale import MAP_SCALE, write_map_scale
from tier_cli.maps.similarity import finding_directions, similarities, similarity_of
from tier_cli.model.copying import checkpoint_copy, write_card_section
from tier_cli.pipeline.encode import patch_maps
from tier_cli.progress import Progress, no_progress

if TYPE_CHECKING:
    from pathlib import Path

    from tier_cli.datasets.regions import Region
    from tier_cli.evaluation.selection import Selection
    from tier_cli.findings.schema import FindingSet
    from tier_cli.maps.similarity import PatchMap
    from tier_cli.pipeline.scorer import Scorer
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions

Floats = NDArray[np.float64]

# The fewest images that ranges are fitted on, with regions that a threshold is chosen on by Dice, and without
# a finding that its threshold is chosen on otherwise.
MIN_IMAGES = 20
# The shares of the patches below and above the colours' range.
TAIL = 0.005
# The share of the patches of images without a finding that may reach its threshold.
REACHED = 0.01
# The same where regions choose it: of a model that localises poorly, Dice alone would mark half of any image.
MOST_REACHED = 0.1
_DIGITS = 4


@dataclass
class Gathered:
    """What is kept of the images: nothing that grows with their number.

    Parameters
    ----------
    kinds
        Similarities of all patches, by their kind.
    absent
        Those of patches of images without a finding, by finding.
    dice
        By finding with regions.
    unusable
        Counts of what could not be used, by reason.
    unreadable
        The number of images that could not be read.
    """

    kinds: dict[str, Histogram] = field(default_factory=dict)
    absent: dict[str, Histogram] = field(default_factory=dict)
    dice: dict[str, DiceCurve] = field(default_factory=dict)
    unusable: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0


@dataclass(frozen=True, eq=False)
class _Directions:
    """What patches are compared with: (F, D) by kind, and (F, D) of the maps of findings."""

    kinds: Mapping[str, Floats]
    own: Floats


def gather(
    job: ScoringJob, selection: Selection, options: StreamOptions, progress: Progress = no_progress
) -> Gathered:
    """Compare the patches of all selected images with the findings of the set and their prompts.

    Raises
    ------
    CheckpointError
        The image tower has no grid of patches.
    ManifestError
        A label or a region cannot be read.
    """
    member, manifest, findings = job.members[0], selection.manifest, job.findings
    absent = manifest.labels(findings) == 0
    boxed = [by_finding(row, findings) for row in regions(manifest)]
    directions = _directions(member, findings)
    gathered = Gathered({kind: Histogram() for kind in directions.kinds})
    with progress(len(manifest), "Comparing patches") as tick:
        maps = patch_maps(manifest.paths, member, options, tick)
        for seen, patient, without, shown in zip(
            maps, manifest.patients().tolist(), absent, boxed, strict=True
        ):
            if isinstance(seen, InputError):
                gathered.unreadable += 1
            else:
                _add(gathered, seen, directions, findings, patient, without, shown)
    return gathered


def _directions(member: Scorer, findings: FindingSet) -> _Directions:
    vectors = member.vectors
    prompts = dict.fromkeys(text for f in findings.findings for text in (*f.positive, *f.negative))
    texts = member.engine.embed_texts(list(prompts)).astype(np.float64)
    kinds = {
        "difference": vectors.positive.astype(np.float64) - vectors.negative,
        "positive": vectors.positive.astype(np.float64),
        "phrase": texts / np.linalg.norm(texts, axis=1, keepdims=True),
    }
    return _Directions(kinds, finding_directions(vectors, member.checkpoint.scoring))


def _add(
    gathered: Gathered,
    seen: PatchMap,
    directions: _Directions,
    findings: FindingSet,
    patient: str,
    without: NDArray[np.bool_],
    shown: Mapping[str, tuple[Region, ...]],
) -> None:
    maps = similarities(seen.patches, directions.own)
    if not np.isfinite(maps).all():
        gathered.unusable["not_finite"] += 1
        return
    for kind, wanted in directions.kinds.items():
        gathered.kinds[kind].add(similarities(seen.patches, wanted), patient)
    for name, values, direction, is_absent in zip(findings.ids, maps, directions.own, without, strict=True):
        if name in shown:
            case = case_of(shown[name], seen, direction)
            if isinstance(case, str):
                gathered.unusable[case] += 1
            else:
                gathered.dice.setdefault(name, DiceCurve()).add(case, patient)
        elif is_absent:
            gathered.absent.setdefault(name, Histogram()).add(values, patient)


def fit_map_scale(gathered: Gathered, job: ScoringJob, where: str | None = None) -> dict[str, Any]:
    """Return the ranges, the thresholds of the finding set, and how they were chosen.

    Parameters
    ----------
    gathered, job
        The patches of the images, and the model with its finding set.
    where
        What the images are called in messages, such as their split.

    Raises
    ------
    ManifestError
        There are too few images.
    """
    images = gathered.kinds["difference"].images
    if images < MIN_IMAGES:
        raise ManifestError(
            f"{images} images are too few to fit a scale of maps",
            where=where,
            remedy=f"provide at least {MIN_IMAGES} readable images that the checkpoint was not trained on",
        )
    thresholds: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for name in job.findings.ids:
        entry = _threshold(gathered.dice.get(name), gathered.absent.get(name))
        if isinstance(entry, str):
            left_out[name] = entry
        else:
            thresholds[name] = entry
    return {
        "ranges": {kind: _range(kind, values) for kind, values in gathered.kinds.items()},
        "tail": TAIL,
        "thresholds": {job.findings.hash: thresholds},
        "left_out": left_out,
        "similarity": similarity_of(job.members[0].checkpoint.scoring),
    }


def _range(kind: str, values: Histogram) -> list[float]:
    low, high = values.middle(TAIL)
    if kind == "difference":
        # Zero, where a patch resembles both sides alike, is the middle of the colours.
        high = max(-low, high)
        low = -high
    return [round(low, _DIGITS), round(high, _DIGITS)]


def _threshold(dice: DiceCurve | None, absent: Histogram | None) -> dict[str, Any] | str:
    """Return the entry of a finding, or why it has none."""
    entry: dict[str, Any] | None = None
    others = absent if absent is not None and absent.images >= MIN_IMAGES else None
    if dice is not None and dice.images >= MIN_IMAGES:
        threshold, mean = dice.best() if others is None else dice.best(others.reached_by(MOST_REACHED))
        entry = _entry("dice", threshold, dice) | {"dice": round(mean, _DIGITS)}
    elif others is not None:
        threshold = others.reached_by(REACHED)
        entry = _entry("images_without", threshold, others)
    if entry is not None:
        # How much of images without the finding stands out.
        entry["share_without"] = absent and round(absent.share_from(threshold), _DIGITS)
        return entry
    cases, images = (0 if dice is None else dice.images), (0 if absent is None else absent.images)
    return f"{cases} cases with regions and {images} images without it; {MIN_IMAGES} of either are needed"


def _entry(chosen_by: str, threshold: float, images: DiceCurve | Histogram) -> dict[str, Any]:
    return {
        "threshold": round(threshold, _DIGITS),
        "chosen_by": chosen_by,
        "n": images.images,
        "patients": len(images.patients),
    }


def describe_images(
    job: ScoringJob, selection: Selection, gathered: Gathered, data: Path | None, dataset: str
) -> dict[str, Any]:
    """Return which images were fitted on, as a calibration records them."""
    manifest = selection.manifest
    known = tuple(manifest.label_columns(job.findings))
    labels = manifest.labels(job.findings)[:, [job.findings.ids.index(name) for name in known]]
    images = images_of(selection, Labelled(known, labels, manifest.patients()), data, dataset)
    used = gathered.kinds["difference"]
    return {
        **images.to_dict(),
        "images": used.images,
        "patients": len(used.patients),
        "unusable": dict(gathered.unusable),
        "unreadable": gathered.unreadable,
    }


def write_scaled(job: ScoringJob, output: Path, content: Mapping[str, Any]) -> None:
    """Copy a checkpoint folder to `output` and add the scale of maps and a section of the model card."""
    with checkpoint_copy(job.checkpoint.path, output, leave_out=[MAP_SCALE]) as folder:
        write_map_scale(folder, job.checkpoint, content)
        write_card_section(folder, "Scale of maps", card(content))


def card(content: Mapping[str, Any]) -> str:
    """Return the section of the model card, in Markdown."""
    fitted = content["fitted_on"]
    ((low, high), (first, last)) = (content["ranges"][kind] for kind in (content["similarity"], "phrase"))
    (thresholds,) = content["thresholds"].values()
    lines = [
        f"Colours of maps cover similarities from {low:g} to {high:g} for findings and from {first:g} to "
        f"{last:g} for texts: the range of all but {content['tail']:.1%} of the patches on either side, in "
        f"{fitted['images']} images of {fitted['patients']} patients, split {fitted['split']}. A patch "
        "stands out from the threshold of its finding on. A threshold chosen by Dice fits the regions of the "
        f"finding best, among those that at most {MOST_REACHED:.0%} of the patches of images without it "
        f"reach; one chosen on images without the finding is reached by at most {REACHED:.0%} of their "
        "patches. The Dice coefficients are too good by construction: the thresholds were chosen on the same "
        "images. The last column is the share of patches that stand out in images without the finding.",
        "",
        "| finding | threshold | chosen by | n | patients | mean Dice | without it |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, entry in thresholds.items():
        how = "Dice" if entry["chosen_by"] == "dice" else "images without it"
        dice = f"{entry['dice']:.3f}" if "dice" in entry else ""
        share = "" if entry["share_without"] is None else f"{entry['share_without']:.1%}"
        cells = (name, f"{entry['threshold']:+.4f}", how, entry["n"], entry["patients"], dice, share)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", *(f"- {name}: no threshold, {reason}" for name, reason in content["left_out"].items())]
    return "\n".join(lines)
