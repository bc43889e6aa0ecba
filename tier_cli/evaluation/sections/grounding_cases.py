"""Lay the patches of an image over its regions in the manifest, finding by finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.regions import upright_mask
from tier_cli.errors import InputError
from tier_cli.evaluation.sections.grounding_measures import Case, make_case
from tier_cli.maps.similarity import finding_directions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.datasets.regions import Region
    from tier_cli.findings.schema import FindingSet
    from tier_cli.maps.overlap import Patches
    from tier_cli.maps.patch_grid import PatchGrid
    from tier_cli.pipeline.scorer import Scorer

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """What to look for in one image.

    Parameters
    ----------
    finding, text
        The finding; a phrase that describes it, blank if there is none.
    regions
        Where it is.
    """

    finding: str
    text: str
    regions: tuple[Region, ...]


def targets_of(row: Sequence[Region], findings: FindingSet, unknown: Counter[str]) -> Iterator[Target]:
    """Group the regions of one image that show one finding or are described by one phrase.

    Regions without a phrase whose finding is not in the set are counted in `unknown`.
    """
    together: dict[tuple[str, str], list[Region]] = {}
    for region in row:
        known = findings.match(region.finding)
        if known is None and not region.text:
            unknown[region.finding] += 1
            continue
        name = region.finding if known is None else known.id
        together.setdefault((name, region.text), []).append(region)
    for (name, text), parts in together.items():
        yield Target(name, text, tuple(parts))


def read_targets(manifest: Manifest, findings: FindingSet) -> tuple[list[tuple[Target, ...]], list[str]]:
    """Return the targets of each image of a manifest, and notes on regions that no finding of the set has."""
    from tier_cli.datasets.regions import regions

    unknown: Counter[str] = Counter()
    targets = [tuple(targets_of(row, findings, unknown)) for row in regions(manifest)]
    notes = [
        f"{count} regions of {name} left out: not a finding of the set" for name, count in unknown.items()
    ]
    return targets, notes


def target_directions(
    member: Scorer, findings: Sequence[str], targets: Sequence[Sequence[Target]]
) -> Mapping[tuple[str, str], Floats]:
    """Return the direction (D,) of each target, by finding and phrase: of its phrase, else of its finding.

    Parameters
    ----------
    member
        The model with its finding vectors.
    findings
        Ids of the finding set.
    targets
        (N,) the targets of each image.
    """
    wanted = dict.fromkeys((target.finding, target.text) for row in targets for target in row)
    texts = list(dict.fromkeys(text for _, text in wanted if text))
    phrases = dict(zip(texts, member.engine.embed_texts(texts), strict=True)) if texts else {}
    own = dict(zip(findings, finding_directions(member.vectors, member.checkpoint.scoring), strict=True))
    return {(name, text): phrases[text].astype(np.float64) if text else own[name] for name, text in wanted}


def region_of(regions: Sequence[Region], place: PatchGrid) -> NDArray[np.bool_] | str:
    """Return the regions of a target as one mask (H, W) of the source image, or why they are of no use."""
    try:
        mask = upright_mask(regions, place.size, place.orientation)
    except InputError as error:
        return f"mask {error.kind}"
    return mask if mask.any() else "region outside the file"


def case_of(regions: Sequence[Region], seen: Patches, direction: Floats) -> Case | str:
    """Lay the patches over the regions of a target; return the reason if that is impossible.

    Parameters
    ----------
    regions
        The regions, which count as one.
    seen
        The patches of the image.
    direction
        (D,) what they are compared with.
    """
    place = seen.grid
    region = region_of(regions, place)
    if isinstance(region, str):
        return region
    (similarities,) = seen.similarities(direction[None]).reshape(1, -1)
    if not np.isfinite(similarities).all():
        return "not_finite"
    return make_case(similarities, region, (place.rows, place.columns), place.side, place.affine)
