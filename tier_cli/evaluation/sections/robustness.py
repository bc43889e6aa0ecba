"""What damage to the images does to the AUC: the same images, patients and resamplings, clean and damaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.errors import InputError, UsageError
from tier_cli.evaluation.context import Section
from tier_cli.evaluation.intervals import documents, interval_text, number, value_text
from tier_cli.imaging.corrupt import MEANINGS, Corruption, corruptions
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.statistics import ranking

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.measure import Labelled, Resampling
    from tier_cli.pipeline.scorer import Scorer

    Floats = NDArray[np.float64]


def robustness_section(kinds: Sequence[str]) -> Section:
    """Give the section ``robustness`` over every level of the kinds of damage named.

    Raises
    ------
    UsageError
        A kind that is unknown.
    """
    chosen = corruptions(kinds)
    return Section("robustness", lambda evaluation: _make(evaluation, chosen), show_robustness)


def _make(evaluation: Evaluation, chosen: Sequence[Corruption]) -> dict[str, Any]:
    how, truth, units = evaluation.protocol.resampling, evaluation.by_unit, evaluation.units
    clean, *damaged = (units.mean(scores) for scores in _scores(evaluation, chosen, how.seed))
    measured = measure_robustness(truth, clean, np.stack(damaged), chosen, how)
    return {"unit": units.kind, "plural": units.plural, **measured}


def _scores(evaluation: Evaluation, chosen: Sequence[Corruption], seed: int) -> Floats:
    """Score every image as it is and under every corruption: (1 + V, N, F), NaN where it cannot be used."""
    job = evaluation.job
    if job is None:
        raise UsageError("images cannot be damaged without a model", where="--corrupt", remedy="add --model")
    columns = [job.findings.ids.index(name) for name in evaluation.by_unit.findings]
    each = [_scored_by(member, evaluation, chosen, seed)[..., columns] for member in job.members]
    return np.asarray(np.mean(each, axis=0))


def _scored_by(member: Scorer, evaluation: Evaluation, chosen: Sequence[Corruption], seed: int) -> Floats:
    from tier_cli.display.progress import progress_on_stderr
    from tier_cli.pipeline.encode import embeddings

    paths = evaluation.selection.manifest.paths
    scores = np.full((1 + len(chosen), len(paths), len(member.vectors.positive)), np.nan)
    with progress_on_stderr(len(paths), "Scoring damaged images") as tick:
        encoded = embeddings(paths, member, evaluation.options, chosen, seed, tick)
        for place, pooled in enumerate(encoded):
            if not isinstance(pooled, InputError):
                scores[:, place] = member.rate(pooled)
    return scores


def measure_robustness(
    truth: Labelled, clean: Floats, damaged: Floats, chosen: Sequence[Corruption], how: Resampling
) -> dict[str, Any]:
    """Measure AUC under each corruption, and how much less it is than without.

    Parameters
    ----------
    truth
        N images, or other units, with labels of F findings.
    clean
        Their scores (N, F) as they are.
    damaged
        Scores (V, N, F) under each corruption.
    chosen
        The V corruptions.
    how
        How patients are resampled: in the same way for every corruption, so that drops are paired.

    Returns
    -------
    The section. A drop is clean minus damaged: above 0 where damage costs.
    """
    known = np.isfinite(clean) & np.isfinite(damaged).all(axis=0)
    used = np.asarray((known & np.isfinite(truth.labels)).any(axis=1))
    truth, known = truth.where(used), known[used]
    labels = np.where(known, truth.labels, np.nan)

    every = {place: ranking(labels, scores[used]) for place, scores in enumerate((clean, *damaged))}
    estimates = [
        found["auc"]
        for found in resample(every, truth.patients, replicates=how.replicates, seed=how.seed).values()
    ]
    whole = estimates[0]
    there = np.isfinite(whole.point)
    rows = [
        _row(one, truth.findings, under, whole - under, how.level)
        for one, under in zip(chosen, estimates[1:], strict=True)
    ]
    return {
        "n": len(truth.patients),
        "patients": len(np.unique(truth.patients)),
        "seed": how.seed,
        "meanings": {kind: MEANINGS[kind] for kind in dict.fromkeys(one.kind for one in chosen)},
        "clean": {
            "auc": documents(whole.macro, how.level)[0],
            "averaged": int(there.sum()),
            "findings": [
                {
                    "finding": name,
                    "n": int(np.isfinite(labels[:, place]).sum()),
                    "positives": int((labels[:, place] == 1).sum()),
                    "auc": auc,
                }
                for place, (name, auc) in enumerate(
                    zip(truth.findings, documents(whole, how.level), strict=True)
                )
            ],
        },
        "corruptions": rows,
    }


def _row(
    one: Corruption, findings: Sequence[str], under: Estimate, drop: Estimate, level: float
) -> dict[str, Any]:
    each = zip(findings, documents(under, level), documents(drop, level), strict=True)
    return {
        "corruption": one.kind,
        "level": number(one.level),
        "auc": documents(under.macro, level)[0],
        "drop": documents(drop.macro, level)[0],
        "findings": [{"finding": name, "auc": auc, "drop": lost} for name, auc, lost in each],
    }


def show_robustness(content: Mapping[str, Any], console: Console) -> None:
    """Print one line a corruption and level."""
    from rich.table import Table
    from rich.text import Text

    clean = content["clean"]
    title = (
        f"Damaged images: mean AUC of {clean['averaged']}, clean {value_text(clean['auc'])}, "
        f"{content['n']} {content['plural']}"
    )
    table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim")
    table.add_column("damage")
    for name in ("level", "AUC", "drop", "95% interval"):
        table.add_column(name, justify="right")
    table.add_column("largest drop", max_width=30, overflow="fold")
    before = None
    for row in content["corruptions"]:
        # The name once a kind, where its levels begin.
        kind = "" if row["corruption"] == before else row["corruption"]
        before = row["corruption"]
        numbers = (f"{row['level']:g}", value_text(row["auc"]), value_text(row["drop"], "+.3f"))
        table.add_row(kind, *numbers, Text(interval_text(row["drop"], "+.3f")), _largest(row))
    console.print(table)
    for kind, meaning in content["meanings"].items():
        console.print(Text(f"{kind}: {meaning}", style="dim"))


def _largest(row: Mapping[str, Any]) -> str:
    known = [one for one in row["findings"] if one["drop"]["value"] is not None]
    if not known:
        return ""
    worst = max(known, key=lambda one: one["drop"]["value"])
    return f"{value_text(worst['drop'], '+.3f')} {worst['finding']}"
