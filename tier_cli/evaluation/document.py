"""An evaluation as a JSON document and as rows of CSV: the same numbers, rounded alike."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tier_cli.evaluation.intervals import number
from tier_cli.evaluation.subgroups import RULE as SMALL_RULE
from tier_cli.evaluation.units import RULE as UNIT_RULE
from tier_cli.metrics.statistics import ECE_BINS, METRICS

if TYPE_CHECKING:
    from tier_cli.evaluation.measure import Measured, Metric, Row
    from tier_cli.evaluation.report import Protocol, Report
    from tier_cli.evaluation.subgroups import Gap, Group
    from tier_cli.evaluation.yardsticks import Yardstick

SCHEMA_VERSION = 3
COLUMNS = (
    "by", "group", "scores", "finding", "n", "positives",
    *(f"{name}{part}" for name in METRICS for part in ("", "_low", "_high")),
    "threshold",
    *(f"{name}{part}" for name in METRICS for part in ("_p", "_p_holm")),
)  # fmt: skip


def report_document(report: Report) -> dict[str, Any]:
    """Give the JSON document; what is not a number is null."""
    return {
        "schema_version": SCHEMA_VERSION,
        "origin": asdict(report.origin),
        **_protocol(report.protocol),
        "scores": [
            {**measured_document(measured), "model": model}
            for measured, model in zip(report.measured, report.protocol.models, strict=True)
        ],
        "differences": [measured_document(difference) for difference in report.differences],
        "groups": [_group(group) for group in report.groups],
        "gaps": [_gap(gap) for gap in report.gaps],
        "yardsticks": [_yardstick(one) for one in report.yardsticks],
        "sections": dict(report.sections),
        "unscored": [vars(image) for image in report.unscored],
        "notes": list(report.notes),
    }


def report_rows(report: Report) -> str:
    """Give CSV: one row a finding, score set and group; the macro mean is the row ``macro``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for measured in (*report.measured, *report.differences):
        writer.writerows(_cells("", "", measured))
    for group in report.groups:
        for measured in group.measured:
            writer.writerows(_cells(group.by, group.value, measured))
    return text.getvalue()


def measured_document(measured: Measured) -> dict[str, Any]:
    """Give one score set's numbers, or a difference's."""
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
    """The mean over findings alone, where others are measured too."""
    if not measured.macro_without:
        return {}
    numbers = _numbers(measured.macro_without)
    return {"macro_without": {"left_out": list(measured.left_out), **numbers}}


def metric_document(metric: Metric) -> dict[str, Any]:
    """Give a number with its interval, and p values where it has any."""
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


def _protocol(protocol: Protocol) -> dict[str, Any]:
    how, selected = protocol.resampling, protocol.selected_on
    return {
        "data": protocol.data,
        "dataset": protocol.dataset,
        "split": protocol.split,
        "images": protocol.images,
        "views": protocol.views,
        "excluded": list(protocol.excluded),
        "uncertain": protocol.uncertain,
        "finding_set": protocol.finding_set,
        "model": next((model for model in protocol.models if model is not None), None),
        "scoring": protocol.scoring or None,
        "unit": protocol.unit,
        "unit_rule": UNIT_RULE,
        "interval": {
            "level": how.level,
            "method": "percentile bootstrap over patients",
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
        "ece": {"bins": ECE_BINS, "kind": "equal mass"},
        "group_too_small": SMALL_RULE,
    }


def _yardstick(one: Yardstick) -> dict[str, Any]:
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
        "threshold": number(row.threshold),
        **_numbers(row.metrics),
    }


def _numbers(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: metric_document(metric) for name, metric in metrics.items()}


def _group(group: Group) -> dict[str, Any]:
    scores = []
    for place, measured in enumerate(group.measured):
        document = measured_document(measured)
        for row in document["findings"]:
            rest = group.against_rest[place].get(row["finding"])
            row["against_rest"] = None if rest is None else metric_document(rest)
            row["too_small"] = group.too_small[place][row["finding"]] or None
        scores.append(document)
    return {"by": group.by, "value": group.value, "scores": scores}


def _gap(gap: Gap) -> dict[str, Any]:
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
            *_flat(row.metrics, row.threshold),
        ]
    yield [by, group, measured.name, "macro", measured.n, "", *_flat(measured.macro, float("nan"))]


def _flat(metrics: Mapping[str, Metric], threshold: float) -> list[float | None]:
    found = {name: metric_document(metric) for name, metric in metrics.items()}
    values = [found.get(name, {}).get(part) for name in METRICS for part in ("value", "low", "high")]
    tests = [found.get(name, {}).get(part) for name in METRICS for part in ("p", "p_holm")]
    return [*values, number(threshold), *tests]
