"""Show the drop in AUC under corruptions as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tier_cli.evaluation.intervals import interval_text, value_text

if TYPE_CHECKING:
    from rich.console import Console


def show_robustness(content: Mapping[str, Any], console: Console) -> None:
    """Print one line per corruption and level."""
    clean = content["clean"]
    title = (
        f"Corrupted images: mean AUC of {clean['averaged']}, clean {value_text(clean['auc'])}, "
        f"{content['n']} {content['plural']}"
    )
    table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim")
    table.add_column("corruption")
    for name in ("level", "AUC", "drop", "95% interval"):
        table.add_column(name, justify="right")
    table.add_column("largest drop", max_width=30, overflow="fold")
    before = None
    for row in content["corruptions"]:
        # The kind is named once, at its first level.
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
