"""Published results: shown beside a result only where images and findings are the same.

Prompts are not compared: they are part of the method that is measured, not of the test, and not all papers
publish theirs word by word.
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
        What was measured, and where that was published.
    dataset, split, unit, images
        The test set: the reader's name for it, ``image`` or ``study``, and how many images.
    findings
        Ids of the findings that the mean is over.
    auc
        Mean area under the ROC curve.
    prompts, selection
        Which prompts were used, and which data chose the model.
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
    """Every published result that ships."""
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
    """The published results on this test set and these findings, best first.

    Parameters
    ----------
    dataset, split, unit
        As `Yardstick` names them.
    images
        How many images were measured.
    findings
        Ids of the findings that the mean is over.
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
    """Say what was not compared; `files` are score sets that come from files."""
    unknown = f"; those of {' and '.join(files)} are not known to tier" if files else ""
    return (
        "Of the same data set, split, unit, number of images and findings. Their prompts may be others"
        f"{unknown}."
    )
