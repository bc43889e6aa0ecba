"""The picture of a run, drawn from its metrics.jsonl: loss, entropies, sparsity, validation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from tier_cli.training.loop.log import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = "curves.png"
_COLOURS = ("#1f4e79", "#c55a11", "#3b7d3b")
# More findings than this are drawn in grey, without a name.
_NAMED = 8


def draw_curves(folder: Path, synthetic: bool = False) -> Path:
    """Write curves.png beside metrics.jsonl.

    Parameters
    ----------
    folder
        Of the run.
    synthetic
        The images were drawn, not taken: the picture says so.
    """
    lines = [json.loads(line) for line in (folder / METRICS).read_text("utf-8").splitlines()]
    steps = [line for line in lines if "contrastive" in line]
    epochs = [line for line in lines if "mean_auc" in line]
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    axes = figure.subplots(2, 2)
    _lines(axes[0][0], steps, "Loss", {"total": "total", "contrastive": "contrastive part"})
    _lines(axes[0][1], steps, "Entropy (nats)", {"patch_entropy": "of patches", "token_entropy": "of tokens"})
    sparsity = {"similarity_hoyer": "Hoyer sparsity", "similarity_share_above_0.1": "share above 0.1"}
    _lines(axes[1][0], steps, "Similarities of tokens and patches", sparsity)
    _aucs(axes[1][1], epochs)
    for panel in axes.flat:
        panel.set_xlabel("step")
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    if synthetic:
        figure.suptitle("Trained on SYNTHETIC images")
    figure.savefig(folder / CURVES, dpi=110, metadata={"Software": None})
    return folder / CURVES


def _lines(axes: Axes, steps: list[dict[str, Any]], title: str, names: dict[str, str]) -> None:
    for colour, (name, label) in zip(_COLOURS, names.items(), strict=False):
        points = [(line["step"], line[name]) for line in steps if name in line]
        axes.plot(*zip(*points, strict=True), color=colour, label=label, marker=_marker(points))
    axes.set_title(title)
    axes.legend(frameon=False)


def _aucs(axes: Axes, epochs: list[dict[str, Any]]) -> None:
    axes.set_title("Zero-shot AUC, watched patients")
    if not epochs:
        axes.text(0.5, 0.5, "nothing was watched", ha="center", va="center", transform=axes.transAxes)
        return
    findings = [name for name in epochs[-1] if name not in ("epoch_end", "step", "mean_auc")]
    places = [line["step"] for line in epochs]
    for name in findings:
        label = name if len(findings) <= _NAMED else None
        values = [line.get(name, math.nan) for line in epochs]
        axes.plot(places, values, color=None if label else "0.75", lw=1, label=label, alpha=0.7)
    means = [(line["step"], line["mean_auc"]) for line in epochs]
    axes.plot(*zip(*means, strict=True), color="black", lw=2, label="mean", marker=_marker(means))
    axes.axhline(0.5, color="0.4", ls=":", lw=1)
    axes.legend(frameon=False, fontsize="small", ncols=2)


def _marker(points: list[Any]) -> str:
    """A line of few points shows them."""
    return "o" if len(points) < 15 else ""
