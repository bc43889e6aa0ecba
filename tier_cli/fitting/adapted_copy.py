"""Write an adaptation into a copy of a checkpoint: its two files and a section of the model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tier_cli.model.checkpoint import CALIBRATION
from tier_cli.model.copying import checkpoint_copy, write_card_section
from tier_cli.scoring.adaptation import ADAPTATION, TENSORS, Adaptation, AdaptationKey, write_adaptation

OPTIMISM_WARNING = (
    "The AUCs are those of images whose patients were left out of the fit. The mixing weight was chosen by "
    "the same AUCs, so they are slightly too high: evaluate the copy on other patients."
)


def write_adapted(
    source: Path, output: Path, adaptation: Adaptation, key: AdaptationKey, facts: Mapping[str, Any]
) -> None:
    """Copy a checkpoint folder to `output` and add the adaptation and a section of the model card.

    A calibration is not copied, because it was fitted to other scores.
    """
    with checkpoint_copy(source, output, leave_out=[CALIBRATION, ADAPTATION, TENSORS]) as folder:
        write_adaptation(folder, adaptation, key, facts)
        write_card_section(folder, "Adaptation", card(facts))


def card(facts: Mapping[str, Any]) -> str:
    """Return the section of the model card, in Markdown."""
    fitted_on = facts["fitted_on"]
    lines = [
        f"The scores of this copy are a mixture of the checkpoint's own scores (weight "
        f"{1 - facts['mix']:.1f}) and a Gaussian discriminant analysis (weight {facts['mix']:.1f}; Wang et "
        f"al., ICLR 2024), which was fitted on {fitted_on['images_used']} labelled images of "
        f"{fitted_on['patients_used']} patients, split {fitted_on['split']}. They are no longer zero-shot "
        f"for the findings below. {OPTIMISM_WARNING}",
        "",
        "| finding | positives | own AUC | mixed AUC | GDA alone |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [f"| {' | '.join(row)} |" for row in adaptation_figures(facts)]
    lines += ["", *(f"- {line}" for line in not_adapted(facts))]
    return "\n".join(lines)


def adaptation_figures(facts: Mapping[str, Any]) -> list[list[str]]:
    """Return one row of text per finding: name, positives, and AUC of the own, mixed and GDA scores."""
    return [
        [name, f"{entry['positives']}/{entry['n']}", *(f"{area:.3f}" for area in entry["auc"].values())]
        for name, entry in facts["findings"].items()
    ]


def not_adapted(facts: Mapping[str, Any]) -> list[str]:
    """Return one line per finding that keeps its own score, with the reason."""
    return [f"{name}: keeps its own score, {reason}" for name, reason in facts["not_adapted"].items()]
