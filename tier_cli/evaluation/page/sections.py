"""Build the parts for the optional sections of a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.evaluation.intervals import interval_text, value_text
from tier_cli.evaluation.measure import HEADINGS
from tier_cli.evaluation.page.figures import (
    Line,
    draw_intervals,
    draw_levels,
    draw_net_benefit,
    shared_range,
)
from tier_cli.evaluation.page.parts import DASH, MAX_FIGURES, Part, Table, p_value, unbroken

if TYPE_CHECKING:
    from tier_cli.evaluation.page.parts import Figure

Content = Mapping[str, Any]
Labels = Mapping[str, str]
_READER_METRICS = {name: HEADINGS[name] for name in ("sensitivity", "specificity", "f1", "mcc")}
_SPREAD = {"combined": "all prompts", "min": "lowest", "median": "median", "max": "highest", "sd": "SD"}
_GROUNDING = {
    "pointing": "hit",
    "pointing_random": "random hit",
    "pointing_centre": "hit at the centre",
    "pointing_usual": "hit at the usual place",
    "auc": "AUC of patches",
    "cnr": "CNR",
    "iou_best": "IoU, best threshold",
    "iou_fixed": "IoU, fixed threshold",
    "iou_view": "IoU of the whole view",
}
_SEGMENTATION = {
    "dice": "Dice",
    "dice_usual": "Dice of the usual place",
    "dice_view": "Dice of the whole view",
    "iou": "IoU",
    "iou_usual": "IoU of the usual place",
    "iou_view": "IoU of the whole view",
}


def section_parts(sections: Mapping[str, Content], labels: Labels) -> Iterator[Part]:
    """Yield each section as a part; a section without a layout is shown as in the JSON document."""
    for name, content in sections.items():
        own = _LAYOUTS.get(name)
        if own is not None:
            yield own(content, labels)
        else:
            text = json.dumps(content, indent=2, ensure_ascii=False)
            yield Part(name.replace("_", " ").capitalize(), codes=(("", text),))


def _readers(content: Content, labels: Labels) -> Part:
    who = [("mean of radiologists", content["mean_of_readers"])]
    random = content["random_readers"]
    if random is not None:
        who.append(("the same, as a random sample", random["mean_of_readers"]))
    who += [(one["name"], one) for one in content["readers"]]
    who += [(one["name"], one) for one in content["scores"] if one["findings"] is not None]
    rows = [
        (name, *(_with_interval(one["macro"][metric]) for metric in _READER_METRICS)) for name, one in who
    ]
    tables = [Table("Means over findings", ("", *_READER_METRICS.values()), rows)]
    for one in content["scores"]:
        if one["minus_readers"] is not None:
            tables.append(_minus_readers(one, labels, "minus the mean of radiologists"))
    for one in random["scores"] if random is not None else ():
        if one["minus_readers"] is not None:
            caption = "minus the mean of radiologists, these being a random sample"
            tables.append(_minus_readers(one, labels, caption))
    text = (
        f"Radiologists and score sets are compared on the same {content['n']} {content['unit']} of "
        f"{content['patients']} patients, which all of them have read or scored. The crosses on the ROC "
        "curves are these radiologists.",
        *([f"A random sample: {random['method']}."] if random is not None else []),
    )
    return Part("Radiologists", text, tables=tables)


def _minus_readers(one: Content, labels: Labels, caption: str) -> Table:
    minus = one["minus_readers"]
    metrics = list(minus["macro"])
    rows = [
        (
            _name(name, labels),
            *(c for m in metrics for c in (_with_interval(row[m], "+.3f"), p_value(row[m].get("p_holm")))),
        )
        for name, row in minus["findings"].items()
    ]
    heads = ("finding", *(head for m in metrics for head in (_READER_METRICS[m], "p (Holm)")))
    last = (
        "mean",
        *(
            c
            for m in metrics
            for c in (_with_interval(minus["macro"][m], "+.3f"), p_value(minus["macro"][m].get("p")))
        ),
    )
    return Table(f"{one['name']} {caption}", heads, rows, last)


def _exclusive(content: Content, labels: Labels) -> Part:
    rows = [(one["name"], _with_interval(one["accuracy"])) for one in content["scores"]]
    recalls = [
        Table(
            f"{one['name']}: share of each finding's {content['unit']} in which it scores highest",
            ("finding", "n", "share"),
            [
                (_name(row["finding"], labels), str(row["n"]), _with_interval(row["recall"]))
                for row in one["findings"]
            ],
        )
        for one in content["scores"]
    ]
    left = content["left_out"]
    text = (
        f"How often the finding that is present has the highest score: {content['n']} {content['unit']}, "
        f"chance {content['chance']:.3f}. Left out: {left['not_exactly_one_finding']} without exactly one "
        f"finding, {left['without_every_score']} with missing scores.",
    )
    return Part(
        "Top-1 accuracy", text, tables=[Table("Top-1 accuracy", ("scores", "accuracy"), rows), *recalls]
    )


def _robustness(content: Content, labels: Labels) -> Part:
    clean, figures = content["clean"], []
    bounds = [
        _value(one["auc"][part]) for one in (clean, *content["corruptions"]) for part in ("low", "high")
    ]
    limits = shared_range(bounds)
    for kind in content["meanings"]:
        rows = [row for row in content["corruptions"] if row["corruption"] == kind]
        each = [clean["auc"], *(row["auc"] for row in rows)]
        value, low, high = (
            np.array([_value(one[part]) for one in each]) for part in ("value", "low", "high")
        )
        names = ["clean", *(f"{row['level']:g}" for row in rows)]
        figures.append(draw_levels(kind, names, value, low, high, "mean AUC", limits))
    table = Table(
        "Mean AUC, and its drop compared with clean images",
        ("corruption", "level", "AUC", "drop"),
        [
            (
                row["corruption"],
                f"{row['level']:g}",
                _with_interval(row["auc"]),
                _with_interval(row["drop"], "+.3f"),
            )
            for row in content["corruptions"]
        ],
        folded=True,
    )
    text = (
        f"Mean AUC of {clean['averaged']} findings on the same {content['n']} {content['plural']}, corrupted "
        "at increasing levels. Drops are paired differences.",
    )
    return Part("Corrupted images", text, (), figures, [table], facts=tuple(content["meanings"].items()))


def _prompts(content: Content, labels: Labels) -> Part:
    lines = [
        Line(
            _name(row["finding"], labels),
            _value(row["combined"]),
            _value(row["min"]),
            _value(row["max"]),
            ticks=[] if row["median"] is None else [row["median"]],
        )
        for row in content["findings"]
    ]
    rows = [
        (_name(row["finding"], labels), str(len(row["pairs"])), *(_plain(row[name]) for name in _SPREAD))
        for row in content["findings"]
    ]
    last = (f"mean of {content['averaged']}", "", *(_plain(content["macro"][name]) for name in _SPREAD))
    pairs = [
        (_name(row["finding"], labels), pair["positive"], pair["negative"] or "", _plain(pair["auc"]))
        for row in content["findings"]
        for pair in row["pairs"]
    ]
    tables = [
        Table("AUC over pairs of prompts", ("finding", "pairs", *_SPREAD.values()), rows, last),
        Table("All pairs", ("finding", "positive prompt", "negative prompt", "AUC"), pairs, folded=True),
    ]
    text = (
        f"Each positive prompt is paired with each negative prompt, on {content['n']} {content['plural']}. "
        "The marker is the AUC of all prompts together, the line spans the lowest to the highest pair, and "
        "the tick is the median.",
    )
    drawn = draw_intervals("AUC over pairs of prompts", lines, "AUC")
    return Part("Prompts", text, figures=[drawn] if drawn else [], tables=tables)


def _grounding(content: Content, labels: Labels) -> Part:
    if not content["findings"]:
        return Part("Grounding", content["notes"])
    lines = [_pointing_line(_grounding_name(row, labels), row) for row in content["findings"]]
    text = [
        f"{content['cases']} cases of {content['patients']} patients; {content['outside_view']} lie outside "
        "the model's view and count as misses. The ticks are the shares of random hits.",
        *(f"Similarity ({kind}): {meaning}." for kind, meaning in content["similarities"].items()),
        f"Best threshold: {content['best_threshold']}.",
        f"Threshold of the segmentation: {content['threshold_source']}.",
        *content["notes"],
    ]
    drawn: Figure | None = draw_intervals("Pointing game", lines, "share of hits")
    tables = [
        _grounding_table("Grounding", content, _GROUNDING, labels),
        _grounding_table("Segmentation with one threshold per finding", content, _SEGMENTATION, labels),
    ]
    facts = []
    for protocol in content.get("protocols", ()):
        heads = {name: name.replace("_", " ").replace("iou", "IoU") for name in protocol["measures"]}
        tables.append(_grounding_table(f"As published by {protocol['source']}", protocol, heads, labels))
        facts += [
            (f"{protocol['name']}: {heads[name]}", meaning) for name, meaning in protocol["measures"].items()
        ]
    return Part("Grounding", text, figures=[drawn] if drawn else [], tables=tables, facts=tuple(facts))


def _grounding_table(caption: str, content: Content, measures: Mapping[str, str], labels: Labels) -> Table:
    rows = [
        (
            _grounding_name(row, labels),
            str(row["cases"]),
            *(_with_interval(row[name], ".2f") for name in measures),
        )
        for row in content["findings"]
    ]
    last = ("mean", "", *(_with_interval(content["macro"][name], ".2f") for name in measures))
    return Table(caption, ("finding", "cases", *measures.values()), rows, last)


def _retrieval(content: Content, labels: Labels) -> Part:
    tables = []
    for one in content["directions"]:
        median = one["median_rank"]
        rows = [
            (f"recall at {row['k']}", _with_interval(row), _plain(row["chance"])) for row in one["recall"]
        ]
        rows.append(("median rank", _with_interval(median, ".1f"), str(median["chance"])))
        kind = one["direction"].replace("_", " ")
        caption = f"{kind}: {one['queries']} queries, {one['gallery']} candidates"
        tables.append(Table(caption, ("", "value", "chance"), rows))
    if content["findings"]:
        ranks = [f"first {one['k']}" for one in content["findings"][0]["precision"]]
        found = [
            (
                _name(row["finding"], labels),
                str(row["n"]),
                str(row["positives"]),
                *(_with_interval(one) for one in row["precision"]),
                _plain(row["chance"]),
            )
            for row in content["findings"]
        ]
        heads = ("finding", "n", "positives", *ranks, "chance")
        tables.append(
            Table("Images nearest to a finding's prompts: share that have the finding", heads, found)
        )
    return Part("Retrieval", (content["rule"],), tables=tables)


def _decision_curve(content: Content, labels: Labels) -> Part:
    sets = content["scores"]
    figures = []
    for row in sets[0]["findings"][:MAX_FIGURES]:
        curves = [
            {found["finding"]: found["net_benefit"] for found in one["findings"]}.get(row["finding"])
            for one in sets
        ]
        drawn = [np.array(one if one else np.full(len(content["thresholds"]), np.nan)) for one in curves]
        name = _name(row["finding"], labels)
        figures.append(draw_net_benefit(name, content["thresholds"], drawn, np.array(row["of_all"])))
    text = (
        "Net benefit is the share of true positives minus that of false positives, weighted by t / (1 - t), "
        "if everyone with a probability of at least t is acted on. The dashed line acts on everyone, the "
        "horizontal line on no one. It holds only for the prevalence of these images.",
    )
    return Part("Decision curves", text, [one["name"] for one in sets], figures)


def _uncertain(content: Content, labels: Labels) -> Part:
    policies = content["policies"]
    heads = ("finding", *(f"{one['uncertain']} (positives of n)" for one in policies))
    tables = []
    for number, first in enumerate(policies[0]["scores"]):
        sets = [one["scores"][number] for one in policies]
        rows = [
            (
                _name(row["finding"], labels),
                *(_counted(one["findings"][place]) for one in sets),
            )
            for place, row in enumerate(first["findings"])
        ]
        last = ("mean", *(_with_interval(one["macro"]) for one in sets))
        tables.append(Table(f"{first['name']}: AUC if uncertain labels are", heads, rows, last))
    text = (
        f"{content['uncertain_labels']} labels of these units are uncertain. Ignored, they do not count; "
        "otherwise, they count as positive or as negative.",
    )
    return Part("Uncertain labels", text, tables=tables)


def _counted(row: Content) -> str:
    return f"{_with_interval(row['auc'])} ({row['positives']} of {row['n']})"


_LAYOUTS: Mapping[str, Callable[[Content, Labels], Part]] = {
    "readers": _readers,
    "exclusive": _exclusive,
    "robustness": _robustness,
    "prompts": _prompts,
    "grounding": _grounding,
    "retrieval": _retrieval,
    "decision_curve": _decision_curve,
    "uncertain": _uncertain,
}


def _pointing_line(name: str, row: Content) -> Line:
    hits, chance = row["pointing"], row["pointing_random"]["value"]
    value, low, high = (_value(hits[part]) for part in ("value", "low", "high"))
    return Line(name, value, low, high, ticks=[_value(chance)])


def _grounding_name(row: Content, labels: Labels) -> str:
    return _name(row["finding"], labels) + (" (phrase)" if row["similarity"] == "phrase" else "")


def _name(finding: str, labels: Labels) -> str:
    return labels.get(finding, finding)


def _value(value: float | None) -> float:
    return float("nan") if value is None else value


def _plain(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def _with_interval(content: Content, form: str = ".3f") -> str:
    if content["value"] is None:
        return DASH
    return unbroken(f"{value_text(content, form)} {interval_text(content, form)}".rstrip())
