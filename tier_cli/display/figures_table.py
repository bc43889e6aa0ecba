"""Show the main numbers of a set of figures as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tier_cli.console import is_quiet, printable
from tier_cli.evaluation.figures.spread import HEADINGS
from tier_cli.evaluation.intervals import interval_text, value_text

if TYPE_CHECKING:
    from rich.console import Console

_AUC = "AUC in regions"


def show_figures(document: Mapping[str, Any], console: Console) -> None:
    """Print entropy, sparsity and the AUC in regions of each model, with intervals."""
    if is_quiet():
        return
    models = document["models"]
    title = f"{document['images']} images of {document['patients']} patients, split {document['split']}"
    table = Table(title=Text(printable(title)), title_justify="left", box=None, pad_edge=False)
    for heading in ("", "model", "value", "95% interval"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    measures = {heading: [model["spread"][name] for model in models] for name, heading in HEADINGS.items()}
    if any("regions" in model for model in models):
        nothing = {"value": None, "low": None, "high": None}
        measures[_AUC] = [model.get("regions", {}).get("auc", nothing) for model in models]
    for heading, numbers in measures.items():
        known = [(model, one) for model, one in zip(models, numbers, strict=True) if one["value"] is not None]
        for place, (model, one) in enumerate(known):
            cells = ("" if place else heading, printable(model["name"]), value_text(one), interval_text(one))
            table.add_row(*map(Text, cells))
    console.print(table)
