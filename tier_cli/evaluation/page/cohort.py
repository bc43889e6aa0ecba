"""Build the part about the cohort: who was evaluated, how they were selected, and who labelled them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tier_cli.evaluation.page.parts import DASH, Part, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tier_cli.evaluation.report import Report


def cohort_part(report: Report, labels: Mapping[str, str]) -> Part | None:
    """Return the part with the flow of exclusions, the patients, and the findings; None without a cohort."""
    cohort = report.cohort
    if cohort is None:
        return None
    flow = [
        (str(one["step"]), str(one["left_out"]), str(one["images"]), str(one["patients"]))
        for one in cohort.flow
    ]
    people = [("images", str(cohort.images)), ("patients", str(cohort.patients))]
    people += [(f"patients, sex {sex}", _share(n, cohort.patients)) for sex, n in cohort.sexes.items()]
    people += [(f"images, view {view}", _share(n, cohort.images)) for view, n in cohort.views.items()]
    ages = cohort.ages
    if ages is not None:
        people.append(
            (
                f"age in years, median (quartiles; range) of {ages.known} patients",
                f"{ages.median:.0f} ({ages.low_quartile:.0f}, {ages.high_quartile:.0f}; "
                f"{ages.youngest:.0f} to {ages.oldest:.0f})",
            )
        )
    first = report.measured[0]
    rows = [
        (
            labels.get(row.finding, row.finding),
            f"{row.positives / row.n:.1%}" if row.n else DASH,
            str(row.positives),
            str(row.n),
            str(row.positive_patients),
            str(row.negative_patients),
        )
        for row in first.rows
    ]
    heads = ("finding", "prevalence", "positives", "n", "patients with it", "patients without it")
    text = [f"Labels: {report.protocol.labels}."] if report.protocol.labels else []
    return Part(
        "Cohort",
        text,
        tables=(
            Table("Selection of images", ("step", "left out", "images", "patients"), flow),
            Table("Patients and images", ("", "number"), people),
            Table("Findings", heads, rows),
        ),
    )


def _share(count: int, total: int) -> str:
    return f"{count} ({count / max(total, 1):.0%})"
