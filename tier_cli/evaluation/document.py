"""Write measurements as JSON documents and as rows of CSV, with the same rounding."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tier_cli.evaluation.intervals import number
from tier_cli.evaluation.subgroups import RULE as SMALL_RULE
from tier_cli.evaluation.units import RULE as UNIT_RULE
from tier_cli.files.csv_cells import safe_cell
from tier_cli.metrics.statistics import ECE_BINS, METRICS, SIMULATIONS

if TYPE_CHECKING:
    from tier_cli.evaluation.measure import Measured, Metric, Row
    from tier_cli.evaluation.protocol import Protocol
    from tier_cli.evaluation.subgroups import Gap, Group
    from tier_cli.evaluation.yardsticks import Yardstick

SCHEMA_VERSION = 3
INTERVALS = (
    "by patient; AUC: DeLong's variance, on the logit scale; shares: Wilson, for the effective number of "
    "patients; likelihood ratios and predictive values at a prevalence: from the intervals of sensitivity "
    "and specificity; AUPRC and F1: bootstrap variance, on the logit scale; differences of AUC: DeLong; "
    "differences of shares, AUPRC and F1: from both intervals and their correlation; all else: percentiles "
    "of the bootstrap"
)
COLUMNS = (
    "by", "group", "scores", "finding", "n", "positives",
    *(f"{name}{part}" for name in METRICS for part in ("", "_low", "_high")),
    "threshold", "prevalence",
    *(f"{name}{part}" for name in METRICS for part in ("_p", "_p_holm")),
)  # fmt: skip


def csv_text(whole: Iterable[Measured], groups: Sequence[Group]) -> str:
    """Return CSV with one row per finding, score set and group; the mean is the row ``macro``.

    Parameters
    ----------
    whole
        Score sets and differences over all units.
    groups
        The same within groups.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for measured in whole:
        writer.writerows(map(_safe, _cells("", "", measured)))
    for group in groups:
        for measured in group.measured:
            writer.writerows(map(_safe, _cells(group.by, group.value, measured)))
    return text.getvalue()


def measured_document(measured: Measured) -> dict[str, Any]:
    """Return the numbers of a score set or of a difference."""
    thresholds = measured.thresholds
    return {
        "name": measured.name,
        "n": measured.n,
        "patients": measured.patients,
        "thresholds": None if thresholds is None else {"source": thresholds.source, "rule": thresholds.rule},
        "findings": [_finding(row) for row in measured.rows],
        "macro": {"findings": measured.averaged, **_numbers(measured.macro)},
        **_without(measured),
    }


def _without(measured: Measured) -> dict[str, Any]:
    """Return the mean without labels that are not findings, if there are such."""
    if not measured.macro_without:
        return {}
    numbers = _numbers(measured.macro_without)
    return {"macro_without": {"left_out": list(measured.left_out), **numbers}}


def metric_document(metric: Metric) -> dict[str, Any]:
    """Return a number with its interval, and its p values if it has any."""
    document: dict[str, Any] = {
        "value": number(metric.value),
        "low": number(metric.low),
        "high": number(metric.high),
        "replicates": metric.replicates,
    }
    if metric.findings is not None:
        document["findings"] = metric.findings
    for name, p in (("p", metric.p), ("p_holm", metric.p_holm)):
        if p is not None:
            document[name] = number(p)
    return document


def protocol_document(protocol: Protocol) -> dict[str, Any]:
    """Return the part of a report's document that says what was evaluated and how."""
    how, selected = protocol.resampling, protocol.selected_on
    return {
        "data": protocol.data,
        "dataset": protocol.dataset,
        "split": protocol.split,
        "images": protocol.images,
        "views": protocol.views,
        "excluded": list(protocol.excluded),
        "uncertain": protocol.uncertain,
        "labels": protocol.labels or None,
        "finding_set": protocol.finding_set,
        "model": next((model for model in protocol.models if model is not None), None),
        "scoring": protocol.scoring or None,
        "decode": protocol.decode or None,
        "unit": protocol.unit,
        "unit_rule": UNIT_RULE,
        "interval": {
            "level": how.level,
            "method": INTERVALS,
            "replicates": how.replicates,
            "seed": how.seed,
        },
        "selected_on": None
        if selected is None
        else {
            "split": selected.split,
            "operating_point": selected.rule,
            "images": selected.images,
            "unscored": [vars(image) for image in selected.unscored],
        },
        "prevalence": dict(protocol.prevalence) or None,
        "ece": {"bins": ECE_BINS, "kind": "equal mass", "simulations": SIMULATIONS},
        "group_too_small": SMALL_RULE,
    }


def yardstick_document(one: Yardstick) -> dict[str, Any]:
    """Return a published result."""
    return {
        "model": one.model,
        "auc": one.auc,
        "prompts": one.prompts,
        "selection": one.selection,
        "source": one.source,
    }


def _finding(row: Row) -> dict[str, Any]:
    return {
        "finding": row.finding,
        "n": row.n,
        "positives": row.positives,
        "positive_patients": row.positive_patients,
        "negative_patients": row.negative_patients,
        "threshold": number(row.threshold),
        "prevalence": number(row.prevalence),
        **_numbers(row.metrics),
    }


def _numbers(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: metric_document(metric) for name, metric in metrics.items()}


def group_document(group: Group) -> dict[str, Any]:
    """Return the numbers within a group."""
    scores = []
    for place, measured in enumerate(group.measured):
        document = measured_document(measured)
        for row in document["findings"]:
            rest = group.against_rest[place].get(row["finding"])
            row["against_rest"] = None if rest is None else metric_document(rest)
            calls = group.calls_against_rest[place].get(row["finding"]) if group.calls_against_rest else None
            row["calls_against_rest"] = (
                None if calls is None else {name: metric_document(metric) for name, metric in calls.items()}
            )
            row["too_small"] = group.too_small[place][row["finding"]] or None
        scores.append(document)
    return {"by": group.by, "value": group.value, "scores": scores}


def gap_document(gap: Gap) -> dict[str, Any]:
    """Return a gap between groups."""
    return {
        "by": gap.by,
        "scores": gap.scores,
        "finding": gap.finding,
        "averaged": gap.averaged,
        "highest": gap.highest,
        "lowest": gap.lowest,
        "auc": metric_document(gap.metric),
    }


def _cells(by: str, group: str, measured: Measured) -> Iterator[list[Any]]:
    for row in measured.rows:
        yield [
            by,
            group,
            measured.name,
            row.finding,
            row.n,
            row.positives,
            *_flat(row.metrics, row.threshold, row.prevalence),
        ]
    yield [by, group, measured.name, "macro", measured.n, "", *_flat(measured.macro)]


def _safe(row: list[Any]) -> list[Any]:
    """Keep a spreadsheet from running names of groups and files of scores."""
    return [safe_cell(cell) if isinstance(cell, str) else cell for cell in row]


def _flat(
    metrics: Mapping[str, Metric], threshold: float = math.nan, prevalence: float = math.nan
) -> list[float | None]:
    found = {name: metric_document(metric) for name, metric in metrics.items()}
    values = [found.get(name, {}).get(part) for name in METRICS for part in ("value", "low", "high")]
    tests = [found.get(name, {}).get(part) for name in METRICS for part in ("p", "p_holm")]
    return [*values, number(threshold), number(prevalence), *tests]
