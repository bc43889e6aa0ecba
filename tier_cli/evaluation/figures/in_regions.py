"""Make the figures of similarities inside and outside the regions of findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.evaluation.drawing import colour
from tier_cli.evaluation.figures.figure import WIDE, Figure, Row, by_model, column, draw_points
from tier_cli.evaluation.figures.profiles import intervals
from tier_cli.evaluation.figures.regions import LEVELS
from tier_cli.evaluation.intervals import documents
from tier_cli.maps.similarity import SIMILARITIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from tier_cli.evaluation.figures.measured import Measured
    from tier_cli.evaluation.figures.regions import InRegions
    from tier_cli.evaluation.measure import Resampling

_COLUMNS = 3
_MEAN = "mean"
_INSIDE = {"inside": "-", "outside": "--"}


def distribution(models: Sequence[Measured], how: Resampling) -> Figure:
    """Make the figure of the distributions of similarity inside and outside regions, one panel per model."""
    found = [(one.name, one.regions) for one in models if one.regions is not None]
    rows = [row for name, regions in found for row in _levels(name, regions, how)]
    caption = (
        "Distribution of the similarity of pixels inside (solid) and outside (dashed) the regions of "
        "findings: share of the pixels whose patch has at most this similarity, a mean over "
        f"{_counts(found)}. {_similarities(found)} Similarities are those of the patches, without smoothing. "
        "If a model finds the regions, the solid line lies to the right of the dashed one. "
        f"{intervals(how)}"
    )
    lines = -(-len(found) // _COLUMNS)
    width = WIDE if len(found) > 1 else WIDE / 2
    return Figure(
        "in-regions", "Similarity in and outside regions", caption, rows, _paint_levels, (width, 2.6 * lines)
    )


def aucs(models: Sequence[Measured], labels: Mapping[str, str], how: Resampling) -> Figure:
    """Make the figure of the AUC of pixels inside against outside, by finding."""
    found = [(one.name, one.regions) for one in models if one.regions is not None]
    rows = [row for name, regions in found for row in _aucs(name, regions, labels, how)]
    caption = (
        "AUC of the similarity of pixels inside the region of a finding against the other pixels that the "
        f"model sees, within each image, a mean over {_counts(found)}; 0.5 is chance. Numbers of regions are "
        f"in brackets; the last line is the mean over findings. {_similarities(found)} "
        f"`tier eval --grounding` gives the same AUC. {intervals(how, 'Bars')}"
    )
    height = 0.8 + 0.24 * len({row["finding"] for row in rows})
    return Figure(
        "in-regions-auc", "AUC of patches in regions", caption, rows, _paint_aucs, (WIDE / 2 + 1, height)
    )


def _counts(found: Sequence[tuple[str, InRegions]]) -> str:
    texts = dict.fromkeys(_count(regions) for _, regions in found)
    if len(texts) == 1:
        return next(iter(texts))
    return "; ".join(f"{_count(regions)} ({name})" for name, regions in found)


def _count(regions: InRegions) -> str:
    return f"{sum(regions.cases):,} regions of findings in images of {regions.all_patients:,} patients"


def _similarities(found: Sequence[tuple[str, InRegions]]) -> str:
    kinds = {regions.similarity: None for _, regions in found}
    return "Similarity: " + "; ".join(SIMILARITIES[kind] for kind in kinds) + "."


def _levels(name: str, regions: InRegions, how: Resampling) -> list[Row]:
    """Return one row per level, without the levels below and above all similarities."""
    numbers = documents(regions.curves, how.level)
    inside, outside = numbers[: len(LEVELS)], numbers[len(LEVELS) :]
    point = regions.curves.point.reshape(2, -1)
    first = max(int((point.max(axis=0) <= 0).sum()) - 1, 0)
    last = int((point.min(axis=0) < 1 - 1e-9).sum()) + 1
    return [
        {
            "model": name,
            "similarity": regions.similarity,
            "place": place,
            "at_most": float(LEVELS[level]),
            "cases": sum(regions.cases),
            "patients": regions.all_patients,
            **values[level],
        }
        for place, values in (("inside", inside), ("outside", outside))
        for level in range(first, min(last, len(LEVELS)))
    ]


def _aucs(name: str, regions: InRegions, labels: Mapping[str, str], how: Resampling) -> list[Row]:
    numbers = documents(regions.auc, how.level)
    known = [place for place, one in enumerate(numbers) if one["value"] is not None]
    rows: list[dict[str, Any]] = [
        {
            "model": name,
            "similarity": regions.similarity,
            "finding": regions.findings[place],
            "label": labels.get(regions.findings[place], regions.findings[place]),
            "cases": regions.cases[place],
            "patients": regions.patients[place],
            **numbers[place],
        }
        for place in known
    ]
    mean = documents(regions.auc.macro, how.level)[0]
    whole = {"finding": _MEAN, "label": "Mean", "cases": sum(regions.cases), "patients": regions.all_patients}
    return [*rows, {"model": name, "similarity": regions.similarity, **whole, **mean}]


def _paint_levels(canvas: Canvas, rows: Sequence[Row]) -> None:
    models = by_model(rows)
    wide = min(_COLUMNS, len(models))
    panels = canvas.subplots(-(-len(models) // wide), wide, sharex=True, sharey=True, squeeze=False)
    for number, axes in enumerate(panels.flat):
        if number >= len(models):
            axes.set_visible(False)
            continue
        name, own = list(models.items())[number]
        for place, style in _INSIDE.items():
            points = [row for row in own if row["place"] == place]
            ink = colour(number) if place == "inside" else "0.35"
            levels = column(points, "at_most")
            axes.fill_between(
                levels, column(points, "low"), column(points, "high"), color=ink, alpha=0.2, linewidth=0
            )
            axes.plot(levels, column(points, "value"), style, color=ink, label=place)
        axes.set_title(name)
        axes.set_ylim(0, 1)
        axes.set_xlabel("Similarity of patch and finding")
        axes.legend(title=f"n = {own[0]['cases']:,} regions", loc="upper left")
    for line in panels:
        line[0].set_ylabel("Share of pixels with at most\nthis similarity")


def _paint_aucs(canvas: Canvas, rows: Sequence[Row]) -> None:
    axes = canvas.add_subplot()
    models = by_model(rows)
    findings = [name for name in dict.fromkeys(row["finding"] for row in rows) if name != _MEAN] + [_MEAN]
    offsets = np.linspace(0.22, -0.22, len(models)) if len(models) > 1 else [0.0]
    for number, ((name, own), offset) in enumerate(zip(models.items(), offsets, strict=True)):
        heights = [offset - findings.index(row["finding"]) for row in own]
        draw_points(axes, own, heights, number, name)
    first = {row["finding"]: row for row in reversed(rows)}
    names = [f"{first[name]['label']} ({first[name]['cases']})" for name in findings]
    axes.set_yticks([-place for place in range(len(findings))], names)
    axes.set_ylim(0.5 - len(findings), 0.5)
    axes.axhline(1.5 - len(findings), color="0.6", linewidth=0.6)
    axes.axvline(0.5, color="0.4", linestyle=":", linewidth=0.8, zorder=0)
    axes.set_xlabel("AUC of pixels inside against outside the region")
    axes.grid(axis="x", alpha=0.3)
    if len(models) > 1:
        canvas.legend(loc="outside upper right", ncols=min(3, len(models)))
