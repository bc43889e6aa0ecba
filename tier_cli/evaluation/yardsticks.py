"""Find published results on the same images and findings.

Prompts need not be the same: they belong to the method, not to the test, and not all papers publish theirs
verbatim.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from tier_cli.findings.load import builtin

TITLE = "Published results on the same images and findings"


@dataclass(frozen=True)
class Yardstick:
    """A published mean AUC.

    Parameters
    ----------
    model, source
        The model, and where the result was published.
    dataset, split, unit, images
        The test set: its name in tier, its split, ``image`` or ``study``, and the number of images.
    findings
        Ids of the findings in the mean.
    auc
        Mean area under the ROC curve.
    prompts, selection
        The prompts used, and the data on which the model was selected.
    """

    model: str
    source: str
    dataset: str
    split: str
    unit: str
    images: int
    findings: frozenset[str]
    auc: float
    prompts: str
    selection: str


@cache
def yardsticks() -> tuple[Yardstick, ...]:
    """Return all published results that ship with tier."""
    text = resources.files("tier_cli.evaluation").joinpath("yardsticks.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    found = []
    for entry in content["results"]:
        paper = content[entry.pop("paper")]
        ids = frozenset(builtin(entry.pop("findings")).ids)
        found.append(Yardstick(source=f"{paper['title']}; {paper['source']}", findings=ids, **entry))
    return tuple(found)


def comparable(
    dataset: str, split: str, unit: str, images: int, findings: Iterable[str]
) -> tuple[Yardstick, ...]:
    """Return the published results on a test set and findings, best first.

    Parameters
    ----------
    dataset, split, unit
        As `Yardstick` names them.
    images
        Number of images measured.
    findings
        Ids of the findings in the mean.
    """
    ids = frozenset(findings)
    same = [
        one
        for one in yardsticks()
        if (one.dataset, one.split, one.unit, one.images) == (dataset, split, unit, images)
        and one.findings == ids
    ]
    return tuple(sorted(same, key=lambda one: -one.auc))


def caveat(files: Sequence[str]) -> str:
    """Return what may differ from the published results; `files` are score sets that come from files."""
    unknown = f"; those behind {' and '.join(files)} are unknown" if files else ""
    return f"Same data set, split, unit, number of images and findings. The prompts may differ{unknown}."
