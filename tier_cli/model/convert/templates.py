"""Write finding sets with the prompt templates of a model's authors."""

from __future__ import annotations

from tier_cli.findings.load import builtin
from tier_cli.findings.schema import Finding, FindingSet

# CheXpert's own labels, which the authors put into prompts, where the built-in set has another display name.
_LABELS = {"edema": "Edema", "pleural_other": "Pleural Other"}


def chexpert_findings(name: str, negative: str) -> FindingSet:
    """Return CheXpert's findings with their labels as positive prompts.

    "No finding" is left out: a template would state its opposite.

    Parameters
    ----------
    name
        Name of the set.
    negative
        Template of the negative prompt, with ``{}`` in place of the label.
    """
    findings = []
    for finding in builtin("chexpert14").findings:
        if finding.id != "no_finding":
            label = _LABELS.get(finding.id, finding.label)
            prompts = (label,), (negative.format(label),)
            findings.append(Finding(finding.id, label, finding.aliases, *prompts, finding.code))
    return FindingSet(name, tuple(findings))
