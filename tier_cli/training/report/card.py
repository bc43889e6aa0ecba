"""The model card of a run, written from what the run left in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tier_cli.model.checkpoint import TRAINING
from tier_cli.model.copying import CARD
from tier_cli.training.report.curves import CURVES

# What a record or a log that is not as it should be raises: no reason to lose weights that are written.
CARD_ERRORS = (ValueError, LookupError, TypeError)

VALIDATION = "validation.json"
_AGREEMENT = (
    "**TO BE FILLED IN by whoever trained this: under which licence these weights may be used and passed on,"
    " and under which agreement the data were used.** Agreements for data such as MIMIC-CXR, PadChest or"
    " CheXpert may forbid or limit passing on weights that learned from them, and the starting weights have"
    " licences of their own."
)
_UNCHOSEN = (
    "Nothing was chosen by the numbers below: these are the weights at the end of the run. Whoever compared"
    " several such runs by them has chosen by them, and should say so here. No test image was used."
)


def write_card(folder: Path, selection: str = _UNCHOSEN) -> Path:
    """Write README.md: what it is, what it saw, what it scores on the watched patients.

    Parameters
    ----------
    folder
        Of the checkpoint, with training.json, curves.png and, where anything was watched, validation.json.
    selection
        What chose these weights among others.
    """
    run = json.loads((folder / TRAINING).read_text("utf-8"))
    file = folder / VALIDATION
    judged = json.loads(file.read_text("utf-8")) if file.is_file() else None
    parts = [
        f"# {folder.resolve().name}",
        _what(run),
        "## Licence and data agreement",
        _AGREEMENT,
        "## Data",
        _data(run),
        "## Numbers on the watched patients",
        _numbers(judged, run),
        "## What chose these weights",
        _ended(run) + selection + _best_epochs(run),
        "## Training",
        f"![Loss, entropies, sparsity and validation over the run]({CURVES})",
        _training(run),
    ]
    (folder / CARD).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return folder / CARD


def _what(run: dict[str, Any]) -> str:
    what = (
        "A TIER model (text-image entropy regularisation, Palepu & Beam, MLHC 2023) of chest radiographs,"
        " trained with `tier train`. **For research only: not a medical device, not for decisions about"
        " patients.** Its scores are no probabilities."
    )
    if run["data"].get("synthetic"):
        what += (
            "\n\n**Trained on SYNTHETIC images**, drawn by a program. No number here says anything about"
            " patients."
        )
    if run["settings"]["shuffle_captions"]:
        what += "\n\n**A control**: texts were shuffled among the images, so there was nothing to learn."
    return what


def _data(run: dict[str, Any]) -> str:
    data = run["data"]
    rows = data.get("rows", {})
    lines = [
        f"- {data.get('title') or 'A manifest'} (`{data['name']}`); texts: {data.get('texts')};"
        f" views trained on: {data.get('views')}",
        f"- split: {data.get('split')}",
        f"- left out for want of a text: {data['images_without_text']} images;"
        f" unreadable: {run['unreadable_images']}",
        f"- SHA-256 of the rows used: `{data['rows_sha256']}`",
    ]
    if data["manifest_sha256"]:
        lines.append(f"- SHA-256 of `{data['name']}`: `{data['manifest_sha256']}`")
    if watched := data.get("watched"):
        lines += _watched(watched)
    titles = {"train": "trained on", "valid": "watched"}
    table = _table(
        ["split", "images", "patients", "different reports"],
        [
            [titles[name], *(str(counts[what]) for what in ("images", "patients", "texts"))]
            for name, counts in rows.items()
        ],
    )
    return "\n".join(lines) + "\n\n" + table


def _watched(watched: dict[str, Any]) -> list[str]:
    split = f", split {watched['split']}" if watched["split"] else ""
    lines = [
        f"- watched, other data: {watched['title'] or 'a manifest'} (`{watched['name']}`){split}, for the"
        f" findings of `{watched['findings']}`",
        f"- SHA-256 of the rows watched: `{watched['rows_sha256']}`",
    ]
    if watched["manifest_sha256"]:
        lines.append(f"- SHA-256 of `{watched['name']}`: `{watched['manifest_sha256']}`")
    return lines


def _numbers(judged: dict[str, Any] | None, run: dict[str, Any]) -> str:
    if judged is None:
        return (
            "Nothing was watched: no patients were held out, or none had a label. Measure with `tier eval`."
        )
    seen = run["data"].get("watched", run["data"])
    kind = " synthetic" if seen.get("synthetic") else ""
    named = {name: entry for name, entry in judged["findings"].items() if entry["n"]}
    rows = [
        [name, str(entry["n"]), str(entry["positives"]), _interval(entry)] for name, entry in named.items()
    ]
    with_auc = sum(entry["auc"] is not None for entry in named.values())
    rows.append([f"**mean of {with_auc}**", "", "", f"**{_interval(judged['mean_auc'])}**"])
    return (
        f"Zero-shot AUC on {judged['images']}{kind} images of {judged['patients']} patients who were not"
        f" trained on, with 95 % intervals from {judged['replicates']} resamplings of patients. n counts"
        " labels of 1 and 0. These are no test results.\n\n"
        + _table(["finding", "n", "positives", "AUC"], rows)
    )


def _interval(entry: dict[str, Any]) -> str:
    if entry["auc"] is None:
        return "one class only"
    if entry["low"] is None:
        return f"{entry['auc']:.3f}"
    return f"{entry['auc']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"


def _ended(run: dict[str, Any]) -> str:
    decay, epoch = run["settings"]["average_decay"], run.get("epoch")
    end = "the run" if epoch is None else f"epoch {epoch}"
    if decay:
        return f"The weights are the exponential average over steps (decay {decay}) at the end of {end}. "
    return f"The weights are those of the last step{'' if epoch is None else f' of {end}'}. "


def _best_epochs(run: dict[str, Any]) -> str:
    kept = run.get("kept_epochs")
    if not kept or "epoch" in run:
        return ""
    return (
        f" The folder `epochs` has those of epochs {', '.join(map(str, kept))}, which were chosen: they have"
        " the highest mean AUC on the watched patients."
    )


def _training(run: dict[str, Any]) -> str:
    settings = run["settings"]
    lines = [f"```console\n$ {run['command']}\n```\n"] if run.get("command") else []
    lines += [
        f"- starting weights, {name.replace('_', ' ')}: `{part['name']}`, SHA-256 `{part['sha256']}`"
        for name, part in run["starting_weights"].items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    lines += [
        f"- seed {settings['seed']}; {run['seconds']} seconds on {run['processes']} x {run['device']}",
        f"- versions: {versions}",
        "",
        _table(["setting", "value"], [[f"`{name}`", f"{value}"] for name, value in settings.items()]),
    ]
    return "\n".join(lines)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
