"""Make the figure of entropy and sparsity on the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tier_cli.evaluation.figures.figure import WIDE, Figure, Row, by_model, draw_points
from tier_cli.evaluation.figures.measured import SPREAD
from tier_cli.evaluation.figures.profiles import counts, intervals
from tier_cli.evaluation.intervals import documents

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from tier_cli.evaluation.figures.measured import Measured
    from tier_cli.evaluation.figures.question import Question
    from tier_cli.evaluation.measure import Resampling

HEADINGS = {
    "patch_entropy": "Patch entropy (nats)",
    "token_entropy": "Token entropy (nats)",
    "hoyer": "Hoyer sparsity",
    "share_above_0.1": "Share above 0.1",
    "hoyer_above_median": "Hoyer above median",
}


def spread_figure(models: Sequence[Measured], question: Question, how: Resampling) -> Figure:
    """Make the figure of entropy and sparsity of the similarities, with intervals over patients."""
    rows = []
    for one in models:
        for measure, numbers in zip(SPREAD, documents(one.spread, how.level), strict=True):
            if numbers["value"] is None:
                continue
            rows.append(
                {
                    "model": one.name,
                    "patches": one.grid[0] * one.grid[1],
                    "measure": measure,
                    "images": int(one.images.sum()),
                    "patients": one.patients,
                    **numbers,
                }
            )
    what = f"the tokens of {question.about}" if question.kind == "texts" else question.about
    caption = (
        f"Entropy and sparsity of the cosine similarities of patches to {what}, averaged within each image "
        f"and over {counts(models)}. Entropies are those of the softmax without a temperature (Palepu & "
        "Beam, 2023); the dotted line marks the entropy of equal weights, ln P for P patches. Hoyer's "
        "sparsity (Hoyer, 2004) is 0 if all patches are alike and 1 if one stands alone. The share counts "
        "similarities whose size exceeds 0.1. Above the median: Hoyer's sparsity of what exceeds the median "
        f"of the patches. Lower entropy is not more sparsity. {intervals(how, 'Bars')}"
    )
    height = 1.0 + 0.25 * len(models)
    return Figure("spread", "Entropy and sparsity", caption, rows, _paint, (WIDE, height))


def _paint(canvas: Canvas, rows: Sequence[Row]) -> None:
    measures = [name for name in SPREAD if any(row["measure"] == name for row in rows)]
    names = list(by_model(rows))
    panels = canvas.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        own = [row for row in rows if row["measure"] == measure]
        for row in own:
            number = names.index(row["model"])
            draw_points(axes, [row], [-number], number, row["model"])
            if measure == "patch_entropy":
                axes.axvline(math.log(row["patches"]), color="0.4", linestyle=":", linewidth=0.8, zorder=0)
        axes.set_xlabel(HEADINGS[measure])
        axes.locator_params(axis="x", nbins=3)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks([-number for number in range(len(names))], names)
    panels[0].set_ylim(0.5 - len(names), 0.5)
