"""Build the parts that describe what was done, so that others can judge and reproduce it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.evaluation.document import INTERVALS
from tier_cli.evaluation.page.parts import Part, Table
from tier_cli.evaluation.units import PLURALS
from tier_cli.evaluation.units import RULE as UNIT_RULE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.report import Report
    from tier_cli.evaluation.scores import Unscored


def images(report: Report, paths: bool) -> Part:
    """Return the part that counts the images, and says which have no scores and why."""
    protocol = report.protocol
    missing = len(report.unscored)
    text = [f"{protocol.images} images, {_without_scores(missing)}."]
    if missing:
        text.append("Images without scores count in no number, and no score was substituted.")
    selected = protocol.selected_on
    if selected is not None:
        text.append(
            f"Thresholds were chosen on {selected.images} images of split {selected.split}, "
            f"{_without_scores(len(selected.unscored))}."
        )
    tables = _reasons(report.unscored, paths, protocol.split)
    if selected is not None:
        tables += _reasons(selected.unscored, paths, selected.split)
    return Part("Images", text, tables=tables)


def _without_scores(count: int) -> str:
    return f"{count} of them without scores" if count else "all with scores"


def _reasons(unscored: Sequence[Unscored], paths: bool, split: str) -> list[Table]:
    if not unscored:
        return []
    counts = Counter(image.kind.replace("_", " ") for image in unscored)
    tables = [
        Table(
            f"Images without scores, split {split}",
            ("reason", "images"),
            [(kind, str(count)) for kind, count in counts.items()],
        )
    ]
    if paths:
        rows = [(image.path, image.message) for image in unscored]
        tables.append(Table(f"Paths of these images, split {split}", ("path", "reason"), rows, folded=True))
    return tables


def notes(report: Report, manifest_paths: Sequence[str], root: str, paths: bool) -> Part | None:
    """Return the part with the notes; without `paths`, a note is cut where it names an image."""
    kept = report.notes if paths else [_without_paths(note, manifest_paths, root) for note in report.notes]
    return Part("Notes", kept) if kept else None


def _without_paths(note: str, manifest_paths: Sequence[str], root: str) -> str:
    # File names often contain a patient's key; notes may give them relative to the data folder.
    base = root.rstrip("/") + "/"
    for path in manifest_paths:
        for form in (path, path.removeprefix(base)):
            if form in note:
                return note[: note.index(form)].rstrip(" :,'\"") + " (paths omitted)"
    return note


def protocol_part(report: Report, evaluation: Evaluation) -> Part:
    """Return the part with images, unit, prompts, scoring, thresholds and resampling."""
    protocol, how = report.protocol, report.protocol.resampling
    selected = protocol.selected_on
    thresholds = "none"
    if selected is not None:
        thresholds = (
            f"chosen on split {selected.split}, {selected.images} images of other patients; "
            f"rule: {selected.rule}"
        )
    elif any(one.thresholds is not None for one in report.measured):
        thresholds = "; ".join(
            f"{one.name}: {one.thresholds.source}" for one in report.measured if one.thresholds is not None
        )
    facts = [
        ("data", f"{protocol.data}, read as {protocol.dataset}"),
        ("split", protocol.split),
        ("images", f"{protocol.images}, views: {protocol.views}"),
        ("excluded rows", ", ".join(protocol.excluded) or "none"),
        ("uncertain labels", protocol.uncertain),
        ("unit", protocol.unit + ("" if protocol.unit == "image" else f"; {UNIT_RULE}")),
        ("finding set", f"{protocol.finding_set['name']}, SHA-256 {protocol.finding_set['hash']}"),
        ("scoring", protocol.scoring or "scores from a file"),
        (
            "pixels decoded",
            {"fast": "as many as the model needs", "full": "all"}.get(protocol.decode, "none"),
        ),
        ("thresholds", thresholds),
        (
            "intervals",
            f"{how.level:.0%}, {INTERVALS}; {how.replicates} resamplings of patients with replacement, "
            f"seed {how.seed}, shared by all numbers",
        ),
    ]
    measured = set(report.measured[0].rows and (row.finding for row in report.measured[0].rows))
    prompts = [
        (finding.label, " | ".join(finding.positive), " | ".join(finding.negative))
        for finding in evaluation.findings.findings
        if finding.id in measured
    ]
    tables = []
    if evaluation.job is not None:
        tables.append(
            Table("Prompts", ("finding", "positive prompts", "negative prompts"), prompts, folded=True)
        )
    return Part("Protocol", facts=facts, tables=tables)


def reproduction_part(report: Report) -> Part:
    """Return the part with the command, versions and hashes."""
    origin = report.origin
    facts = [(f"SHA-256 of {name}", value) for name, value in origin.files.items()]
    if origin.rows_sha256:
        facts.append(("SHA-256 of rows and labels", origin.rows_sha256))
    for model in report.protocol.models:
        if model is not None:
            facts += [(f"{model['name']}: {kind}, SHA-256", value) for kind, value in model["hashes"].items()]
            for member in model.get("members", []):
                facts += [(f"{member['name']}: {k}, SHA-256", v) for k, v in member["hashes"].items()]
    facts.append(("versions", ", ".join(f"{name} {value}" for name, value in origin.versions.items())))
    codes = (("Command", origin.command),) if origin.command else ()
    return Part("How to reproduce", facts=facts, codes=codes)


def sentence(report: Report) -> str:
    """Return one sentence on what was evaluated."""
    first, protocol = report.measured[0], report.protocol
    names = [one.name for one in report.measured]
    who = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    verb = "was" if len(names) == 1 else "were"
    on = f"{first.n} {PLURALS[protocol.unit]} of {first.patients} patients"
    split = "all splits" if protocol.split == "all" else f"split {protocol.split}"
    findings = f"{len(first.rows)} finding{'s' * (len(first.rows) != 1)}"
    return f"{who} {verb} evaluated for {findings} on {on} ({Path(protocol.data).name}, {split})."
