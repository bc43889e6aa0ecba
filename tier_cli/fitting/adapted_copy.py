"""What an adaptation says about itself, in its file, in the model card and on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.model.checkpoint import CALIBRATION
from tier_cli.model.copying import checkpoint_copy, write_card_section
from tier_cli.scoring.adaptation import ADAPTATION, TENSORS, Adaptation, AdaptationKey, write_adaptation

if TYPE_CHECKING:
    from rich.console import Console

CHOSEN = (
    "AUCs are of images whose patients were left out of the fit. The mixing weight was chosen by them, so "
    "they flatter a little: judge the copy on other patients."
)


def write_adapted(
    source: Path, output: Path, adaptation: Adaptation, key: AdaptationKey, facts: Mapping[str, Any]
) -> None:
    """Copy a checkpoint folder to `output`, with the adaptation and a section in the card.

    A calibration is left behind: it was fitted for other scores.
    """
    with checkpoint_copy(source, output, leave_out=[CALIBRATION, ADAPTATION, TENSORS]) as folder:
        write_adaptation(folder, adaptation, key, facts)
        write_card_section(folder, "Adaptation", card(facts))


def card(facts: Mapping[str, Any]) -> str:
    """Give the section of the model card, in Markdown."""
    on = facts["fitted_on"]
    lines = [
        f"Scores of this copy are the checkpoint's own ({1 - facts['mix']:.1f}) mixed with a Gaussian "
        f"discriminant analysis ({facts['mix']:.1f}; Wang et al., ICLR 2024) of {on['images_used']} labelled "
        f"images of {on['patients_used']} patients, split {on['split']}. They are no longer zero-shot for "
        f"the findings below. {CHOSEN}",
        "",
        "| finding | positives | own AUC | mixed | alone |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [f"| {' | '.join(row)} |" for row in _rows(facts)]
    lines += ["", *(f"- {name}: as it was, {why}" for name, why in facts["not_adapted"].items())]
    return "\n".join(lines)


def show(facts: Mapping[str, Any], notes: Sequence[str], console: Console) -> None:
    """Print the cross-validated figures."""
    from tier_cli.display.fitted_table import show_figures

    said = [f"mixed: {1 - facts['mix']:.1f} own + {facts['mix']:.1f} fitted", CHOSEN, *notes]
    said += [f"{name}: as it was, {why}" for name, why in facts["not_adapted"].items()]
    show_figures(("positives", "own AUC", "mixed", "alone"), _rows(facts), said, console, 30)


def _rows(facts: Mapping[str, Any]) -> list[list[str]]:
    return [
        [name, f"{entry['positives']}/{entry['n']}", *(f"{area:.3f}" for area in entry["auc"].values())]
        for name, entry in facts["findings"].items()
    ]
