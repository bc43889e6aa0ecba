"""Show how well patches match regions as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tier_cli.console import printable
from tier_cli.evaluation.intervals import interval_text, value_text

if TYPE_CHECKING:
    from rich.console import Console

_SIGNED = {"cnr"}
_PUBLISHED = {
    "pointing": "hit",
    "hit_rate": "hit",
    "dice": "Dice",
    "miou_otsu": "IoU Otsu",
    "miou_tuned": "tuned",
}


def show_grounding(content: Mapping[str, Any], console: Console) -> None:
    """Print the pointing game, how well regions stand out, and the notes."""
    if content["findings"]:
        title = f"Grounding: {content['cases']} cases of {content['patients']} patients"
        console.print(_pointing(content, title))
        console.print(_standing_out(content))
        console.print(_segmentation(content))
        for protocol in content.get("protocols", ()):
            console.print(Text(f"As published by {protocol['source']}", style="bold"))
            console.print(_published(protocol))
            for name, meaning in protocol["measures"].items():
                console.print(Text(f"{_PUBLISHED[name]}: {meaning}", style="dim"))
        if content["outside_view"]:
            console.print(Text(f"regions cropped away, counted as misses: {content['outside_view']}"))
        for kind, meaning in content["similarities"].items():
            levels = ", ".join(f"{level:g}" for level in content["fixed_thresholds"][kind])
            console.print(Text(f"similarity: {meaning}; fixed threshold {levels}", style="dim"))
        console.print(Text(f"best threshold: {content['best_threshold']}", style="dim"))
        console.print(Text(f"threshold of Dice and IoU: {content['threshold_source']}", style="dim"))
    for note in content["notes"]:
        console.print(Text(printable(note), style="dim" if content["findings"] else "yellow"))


def _pointing(content: Mapping[str, Any], title: str) -> Table:
    table = _table(title, "n", "hit", "95% interval", "random", "centre", "usual", "AUC", "95% interval")
    for row in content["findings"]:
        table.add_row(_name(row), str(row["cases"]), *_pointing_cells(row))
    table.add_section()
    table.add_row(Text("mean", style="bold"), "", *_pointing_cells(content["macro"]))
    return table


def _pointing_cells(row: Mapping[str, Any]) -> list[Text]:
    return [
        *_with_interval(row, "pointing"),
        Text(value_text(row["pointing_random"], ".2f")),
        Text(value_text(row["pointing_centre"], ".2f")),
        Text(value_text(row["pointing_usual"], ".2f")),
        *_with_interval(row, "auc"),
    ]


def _standing_out(content: Mapping[str, Any]) -> Table:
    table = _table("", "CNR", "95% interval", "IoU best", "95% interval", "fixed", "whole view")
    for row in content["findings"]:
        table.add_row(_name(row), *_standing_out_cells(row))
    table.add_section()
    table.add_row(Text("mean", style="bold"), *_standing_out_cells(content["macro"]))
    return table


def _standing_out_cells(row: Mapping[str, Any]) -> list[Text]:
    return [
        *_with_interval(row, "cnr"),
        *_with_interval(row, "iou_best"),
        Text(value_text(row["iou_fixed"], ".2f")),
        Text(value_text(row["iou_view"], ".2f")),
    ]


def _segmentation(content: Mapping[str, Any]) -> Table:
    table = _table("", "Dice", "95% interval", "usual", "view", "IoU", "95% interval", "usual")
    for row in content["findings"]:
        table.add_row(_name(row), *_segmentation_cells(row))
    table.add_section()
    table.add_row(Text("mean", style="bold"), *_segmentation_cells(content["macro"]))
    return table


def _segmentation_cells(row: Mapping[str, Any]) -> list[Text]:
    return [
        *_with_interval(row, "dice"),
        Text(value_text(row["dice_usual"], ".2f")),
        Text(value_text(row["dice_view"], ".2f")),
        *_with_interval(row, "iou"),
        Text(value_text(row["iou_usual"], ".2f")),
    ]


def _published(protocol: Mapping[str, Any]) -> Table:
    measures = list(protocol["measures"])
    table = _table("", "n", *(head for name in measures for head in (_PUBLISHED[name], "95% interval")))
    for row in protocol["findings"]:
        table.add_row(_name(row), str(row["cases"]), *_published_cells(row, measures))
    table.add_section()
    table.add_row(Text("mean", style="bold"), "", *_published_cells(protocol["macro"], measures))
    return table


def _published_cells(row: Mapping[str, Any], measures: Sequence[str]) -> list[Text]:
    return [cell for name in measures for cell in _with_interval(row, name)]


def _with_interval(row: Mapping[str, Any], name: str) -> tuple[Text, Text]:
    form = "+.2f" if name in _SIGNED else ".2f"
    return Text(value_text(row[name], form)), Text(interval_text(row[name], form))


def _name(row: Mapping[str, Any]) -> Text:
    return Text(printable(row["finding"]) + (" (phrase)" if row["similarity"] == "phrase" else ""))


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=None,
        header_style="dim",
        padding=(0, 1, 0, 0),
    )
    table.add_column("finding", max_width=20, overflow="fold")
    for name in columns:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table
