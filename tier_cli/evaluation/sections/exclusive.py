"""Top-1 accuracy, for data sets in which every image has exactly one of the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from rich.text import Text

from tier_cli.console import printable
from tier_cli.display.evaluation_table import put
from tier_cli.evaluation.context import Section
from tier_cli.evaluation.document import metric_document
from tier_cli.evaluation.intervals import interval_text, value_text
from tier_cli.evaluation.measure import Contender, Labelled, Resampling, as_metrics
from tier_cli.metrics.bootstrap import resample
from tier_cli.metrics.ranking import Floats, ratio
from tier_cli.metrics.statistics import Statistic, Weights, tally

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.evaluation.context import Evaluation


def exclusive_section() -> Section:
    """Give the section ``exclusive``."""
    return Section("exclusive", _make, show_exclusive)


def _make(evaluation: Evaluation) -> dict[str, Any]:
    return measure_exclusive(
        evaluation.by_unit, evaluation.contenders, evaluation.protocol.resampling, evaluation.units.plural
    )


def measure_exclusive(
    truth: Labelled, contenders: Sequence[Contender], how: Resampling, plural: str
) -> dict[str, Any]:
    """Measure how often the finding with the highest score is the one that is there.

    A row counts if exactly one finding is positive and every model has a score for every finding. Where k
    findings share the highest score, the right one among them counts 1/k.

    Parameters
    ----------
    truth
        N rows with labels of F findings.
    contenders
        One a model.
    how, plural
        How patients are resampled; what rows are called.
    """
    one = (truth.labels == 1).sum(axis=1) == 1
    used = one & np.logical_and.reduce([np.isfinite(c.scores).all(axis=1) for c in contenders])
    positive = (truth.labels == 1)[used]
    statistics = {number: _accuracy(positive, c.scores[used]) for number, c in enumerate(contenders)}
    found = resample(statistics, truth.patients[used], replicates=how.replicates, seed=how.seed)
    return {
        "unit": plural,
        "n": int(used.sum()),
        "patients": len(np.unique(truth.patients[used])),
        "left_out": {
            "not_exactly_one_finding": int((~one).sum()),
            "without_every_score": int((one & ~used).sum()),
        },
        "chance": round(1 / len(truth.findings), 6),
        "scores": [
            {
                "name": c.name,
                "accuracy": metric_document(as_metrics(found[number]["accuracy"], how.level)[0]),
                "findings": [
                    {"finding": name, "n": int(positive[:, place].sum()), "recall": metric_document(metric)}
                    for place, (name, metric) in enumerate(
                        zip(truth.findings, as_metrics(found[number]["recall"], how.level), strict=True)
                    )
                ],
            }
            for number, c in enumerate(contenders)
        ],
    }


def _accuracy(positive: np.ndarray[tuple[int, int], np.dtype[np.bool_]], scores: Floats) -> Statistic:
    highest = scores == scores.max(axis=1, keepdims=True, initial=-np.inf)
    share = np.where(positive & highest, 1 / np.maximum(highest.sum(axis=1, keepdims=True), 1), 0)

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        right, there = tally(weights, [share, positive.astype(np.float64)])
        whole = ratio(right.sum(axis=1, keepdims=True), there.sum(axis=1, keepdims=True))
        return {"accuracy": whole, "recall": ratio(right, there)}

    return statistic


def show_exclusive(content: Mapping[str, Any], console: Console) -> None:
    """Print the accuracy of each score set."""
    title = (
        f"Top-1 accuracy: {content['n']} {content['unit']} of {content['patients']} patients, "
        f"chance {content['chance']:.3f}"
    )
    table = Table(box=None, header_style="dim")
    table.add_column("scores", max_width=40, overflow="fold")
    for name in ("accuracy", "95% interval"):
        table.add_column(name, justify="right")
    for one in content["scores"]:
        accuracy = one["accuracy"]
        table.add_row(Text(printable(one["name"])), value_text(accuracy), Text(interval_text(accuracy)))
    put(console, title, table)
