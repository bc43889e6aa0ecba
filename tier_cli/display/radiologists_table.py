"""Show radiologists beside models as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tier_cli.console import printable
from tier_cli.display.table_parts import finding_table, p_text, print_table
from tier_cli.evaluation.intervals import value_text

if TYPE_CHECKING:
    from rich.console import Console

_HEADS = {"sensitivity": "sensitivity", "specificity": "specificity", "mcc": "MCC", "f1": "F1"}

_RATES = ("sensitivity", "specificity")


def show_readers(content: Mapping[str, Any], console: Console) -> None:
    """Print all means over findings, then each model against the mean of the radiologists."""
    people = [*content["readers"], {"name": "mean of the radiologists", **content["mean_of_readers"]}]
    random = content["random_readers"]
    if random is not None:
        people.append({"name": "the same, as a random sample", **random["mean_of_readers"]})
    models = [model for model in content["scores"] if model["macro"] is not None]
    title = (
        f"Radiologists: {content['n']} {content['unit']} of {content['patients']} patients, "
        "means over findings"
    )
    for names in (("sensitivity", "specificity"), ("mcc", "f1")):
        table = Table(box=None, header_style="dim")
        table.add_column("reader", max_width=38, overflow="fold")
        for name in names:
            table.add_column(_HEADS[name], justify="right", no_wrap=True)
        for one in [*people, *models]:
            table.add_row(Text(printable(one["name"])), *(_cell(one["macro"][name]) for name in names))
        print_table(console, title, table)
        title = ""
    for model in content["scores"]:
        title = f"{printable(model['name'])} minus the mean of the radiologists"
        print_table(console, title, _against(content, model))
    for model in random["scores"] if random is not None else ():
        if model["minus_readers"] is not None:
            title = f"{printable(model['name'])} minus the mean of radiologists, these being a random sample"
            print_table(console, title, _against_random(model["minus_readers"]))


def _against_random(minus: Mapping[str, Any]) -> Table:
    table = finding_table(*(head for name in _RATES for head in (_HEADS[name], "p Holm")))
    for finding, row in minus["findings"].items():
        if row[_RATES[0]]["value"] is not None:
            cells = (
                text
                for name in _RATES
                for text in (_cell(row[name], "+.2f"), Text(p_text(row[name]["p_holm"])))
            )
            table.add_row(Text(printable(finding.replace("_", " "))), *cells)
    table.add_section()
    means = (text for name in _RATES for text in (_cell(minus["macro"][name], "+.2f"), Text("")))
    table.add_row(Text("mean", style="bold"), *means)
    return table


def _against(content: Mapping[str, Any], model: Mapping[str, Any]) -> Table:
    table = Table(box=None, header_style="dim")
    table.add_column("finding", max_width=26, overflow="fold")
    for name in ("MCC", "F1", "under its ROC"):
        table.add_column(name, justify="right", no_wrap=True)
    differences = model["minus_readers"]
    for row in content["findings"]:
        name = row["finding"]
        if not row["readers"]:
            continue
        under = model["readers_under_curve"][name]
        share = "-" if under is None else f"{under} of {row['readers']}"
        table.add_row(Text(printable(name.replace("_", " "))), *_pair(differences, name), share)
    if differences is not None:
        table.add_section()
        table.add_row(
            Text("mean", style="bold"), *(_cell(differences["macro"][n], "+.2f") for n in ("mcc", "f1"))
        )
    return table


def _pair(differences: Mapping[str, Any] | None, finding: str) -> tuple[Text, Text]:
    if differences is None:
        return Text("-"), Text("-")
    row = differences["findings"][finding]
    return _cell(row["mcc"], "+.2f"), _cell(row["f1"], "+.2f")


def _cell(metric: Mapping[str, Any], form: str = ".2f") -> Text:
    bounds = "" if metric["low"] is None else f" [{metric['low']:{form}}, {metric['high']:{form}}]"
    return Text(f"{value_text(metric, form)}{bounds}")
