"""Make the figure of entropy and sparsity over training, from the logs in checkpoint folders."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError
from tier_cli.evaluation.drawing import MARKERS, STYLES, colour
from tier_cli.evaluation.figures.figure import WIDE, Figure, Row, by_model, column
from tier_cli.evaluation.intervals import number
from tier_cli.training.loop.log import METRICS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_MEASURES = {
    "patch_entropy": "Patch entropy (nats)",
    "token_entropy": "Token entropy (nats)",
    "similarity_hoyer": "Hoyer sparsity",
    "similarity_share_above_0.1": "Share above 0.1",
}
_FEW = 15


def training_figure(checkpoints: Mapping[str, Path]) -> Figure | None:
    """Make the figure of entropy and sparsity over training steps; None if no folder has a log.

    Parameters
    ----------
    checkpoints
        Folders by the models' names.

    Raises
    ------
    CheckpointError
        A log is not one of `tier train`.
    """
    rows = [row for name, folder in checkpoints.items() for row in _logged(name, folder)]
    if not rows:
        return None
    warm = {row["model"]: row["entropy_temperature"] for row in rows if row["entropy_temperature"] != 1}
    divided = ", ".join(f"{name} by {value:g}" for name, value in warm.items())
    caption = (
        "Entropy and sparsity of the similarities of tokens and patches over training, on the training "
        "batches, as `tier train` logs them: entropies of the softmax over patches and over tokens, Hoyer's "
        "sparsity, and the share of similarities above 0.1 in size."
        + (f" Similarities were divided before that softmax: {divided}." if divided else "")
        + " Single runs without intervals; a batch is not a sample of unseen patients."
    )
    return Figure("training", "Entropy and sparsity over training", caption, rows, _paint, (WIDE, 4.2))


def _logged(name: str, folder: Path) -> list[Row]:
    """Return one row per logged step and measure."""
    file = folder / METRICS
    if not file.is_file():
        return []
    temperature = _temperature(folder)
    try:
        lines = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
        return [
            {
                "model": name,
                "entropy_temperature": temperature,
                "step": int(line["step"]),
                "measure": measure,
                "value": number(float(line[measure])),
            }
            for line in lines
            for measure in _MEASURES
            if measure in line
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "is not a log of `tier train`", where=str(file), remedy="delete it, or copy it again"
        ) from error


def _temperature(folder: Path) -> float:
    """Return what similarities were divided by before the softmax of the entropies; 1 if unknown."""
    from tier_cli.model.checkpoint import TRAINING, read_json

    file = folder / TRAINING
    settings: Any = read_json(file).get("settings") if file.is_file() else None
    value = settings.get("entropy_temperature", 1.0) if isinstance(settings, dict) else 1.0
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 1.0


def _paint(canvas: Canvas, rows: Sequence[Row]) -> None:
    models = by_model(rows)
    panels = canvas.subplots(2, 2, sharex=True)
    for axes, (measure, heading) in zip(panels.flat, _MEASURES.items(), strict=True):
        for place, (name, own) in enumerate(models.items()):
            points = [row for row in own if row["measure"] == measure]
            temperature = own[0]["entropy_temperature"]
            axes.plot(
                column(points, "step"),
                column(points, "value"),
                color=colour(place),
                linestyle=STYLES[place % len(STYLES)],
                marker=MARKERS[place % len(MARKERS)] if len(points) < _FEW else "",
                label=name if temperature == 1 else f"{name}, entropies of similarity / {temperature:g}",
            )
        axes.set_ylabel(heading)
        axes.grid(alpha=0.3)
    for axes in panels[1]:
        axes.set_xlabel("Training step")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=min(2, len(models)))
