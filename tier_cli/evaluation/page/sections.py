"""The optional sections of a report as parts of a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.evaluation.intervals import interval_text, value_text
from tier_cli.evaluation.page import figures as draw
from tier_cli.evaluation.page.parts import DASH, Part, Table, p_value, whole

if TYPE_CHECKING:
    from tier_cli.evaluation.page.parts import Figure

Content = Mapping[str, Any]
Labels = Mapping[str, str]
_READS = {"sensitivity": "sensitivity", "specificity": "specificity", "f1": "F1", "mcc": "MCC"}
_SPREAD = {"combined": "together", "min": "lowest", "median": "median", "max": "highest", "sd": "SD"}
_PLACES = {
    "pointing": "hit",
    "pointing_random": "hit by chance",
    "pointing_centre": "hit by the middle",
    "pointing_usual": "hit by the usual place",
    "auc": "AUC of patches",
    "cnr": "CNR",
    "iou_best": "IoU, best",
    "iou_fixed": "IoU, fixed",
    "iou_view": "IoU of the whole view",
}


def section_parts(sections: Mapping[str, Content], labels: Labels) -> Iterator[Part]:
    """Give each section as a part; one that has no layout of its own as the JSON document has it."""
    for name, content in sections.items():
        own = _LAYOUTS.get(name)
        if own is not None:
            yield own(content, labels)
        else:
            text = json.dumps(content, indent=2, ensure_ascii=False)
            yield Part(name.replace("_", " ").capitalize(), codes=(("", text),))


def _readers(content: Content, labels: Labels) -> Part:
    who = [("mean of radiologists", content["mean_of_readers"])]
    who += [(one["name"], one) for one in content["readers"]]
    who += [(one["name"], one) for one in content["scores"] if one["findings"] is not None]
    rows = [(name, *(_both(one["macro"][metric]) for metric in _READS)) for name, one in who]
    tables = [Table("Means over findings", ("", *_READS.values()), rows)]
    for one in content["scores"]:
        if one["minus_readers"] is not None:
            tables.append(_minus_readers(one, labels))
    text = (
        f"Everybody on the same {content['n']} {content['unit']} of {content['patients']} patients, those "
        "that everybody has read or scored. Crosses on the ROC curves are these radiologists.",
    )
    return Part("Radiologists", text, tables=tables)


def _minus_readers(one: Content, labels: Labels) -> Table:
    less = one["minus_readers"]
    metrics = list(less["macro"])
    rows = [
        (
            _name(name, labels),
            *(c for m in metrics for c in (_both(row[m], "+.3f"), p_value(row[m].get("p_holm")))),
        )
        for name, row in less["findings"].items()
    ]
    heads = ("finding", *(head for m in metrics for head in (_READS[m], "p (Holm)")))
    last = (
        "mean",
        *(c for m in metrics for c in (_both(less["macro"][m], "+.3f"), p_value(less["macro"][m].get("p")))),
    )
    return Table(f"{one['name']} minus the mean of radiologists", heads, rows, last)


def _exclusive(content: Content, labels: Labels) -> Part:
    rows = [(one["name"], _both(one["accuracy"])) for one in content["scores"]]
    recalls = [
        Table(
            f"{one['name']}: share of each finding's {content['unit']} where it has the highest score",
            ("finding", "n", "share"),
            [(_name(row["finding"], labels), str(row["n"]), _both(row["recall"])) for row in one["findings"]],
        )
        for one in content["scores"]
    ]
    left = content["left_out"]
    text = (
        f"How often the finding with the highest score is the one that is there: {content['n']} "
        f"{content['unit']}, chance {content['chance']:.3f}. Left out: "
        f"{left['not_exactly_one_finding']} without exactly one finding, "
        f"{left['without_every_score']} without every score.",
    )
    return Part(
        "Top-1 accuracy", text, tables=[Table("Top-1 accuracy", ("scores", "accuracy"), rows), *recalls]
    )


def _robustness(content: Content, labels: Labels) -> Part:
    clean, figures = content["clean"], []
    bounds = [
        _value(one["auc"][part]) for one in (clean, *content["corruptions"]) for part in ("low", "high")
    ]
    span = draw.span(bounds)
    for kind in content["meanings"]:
        rows = [row for row in content["corruptions"] if row["corruption"] == kind]
        each = [clean["auc"], *(row["auc"] for row in rows)]
        value, low, high = (
            np.array([_value(one[part]) for one in each]) for part in ("value", "low", "high")
        )
        names = ["clean", *(f"{row['level']:g}" for row in rows)]
        figures.append(draw.levels(kind, names, value, low, high, "mean AUC", span))
    table = Table(
        "Mean AUC, and how much less it is than without damage",
        ("damage", "level", "AUC", "drop"),
        [
            (row["corruption"], f"{row['level']:g}", _both(row["auc"]), _both(row["drop"], "+.3f"))
            for row in content["corruptions"]
        ],
        folded=True,
    )
    text = (
        f"The same {content['n']} {content['plural']}, damaged more and more. Mean AUC of "
        f"{clean['averaged']} findings; drops are paired.",
    )
    return Part("Damaged images", text, (), figures, [table], facts=tuple(content["meanings"].items()))


def _prompts(content: Content, labels: Labels) -> Part:
    lines = [
        draw.Line(
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
        Table("Every pair", ("finding", "positive prompt", "negative prompt", "AUC"), pairs, folded=True),
    ]
    text = (
        f"Each positive prompt with each negative one on its own, {content['n']} {content['plural']}. The "
        "mark is all prompts together, the line goes from the lowest to the highest pair, the "
        "tick is the median.",
    )
    drawn = draw.intervals("AUC over pairs of prompts", lines, "AUC")
    return Part("Prompts", text, figures=[drawn] if drawn else [], tables=tables)


def _grounding(content: Content, labels: Labels) -> Part:
    if not content["findings"]:
        return Part("Places", content["notes"])
    measures = [name for name in _PLACES if name in content["macro"]]
    named = [(_place_name(row, labels), row) for row in content["findings"]]
    lines = [_pointing_line(name, row) for name, row in named]
    rows = [(name, str(row["cases"]), *(_both(row[m], ".2f") for m in measures)) for name, row in named]
    last = ("mean", "", *(_both(content["macro"][m], ".2f") for m in measures))
    text = [
        f"{content['cases']} cases of {content['patients']} patients; {content['outside_view']} lie outside "
        "of the model's view and count as misses. In the drawing the tick is a hit by chance.",
        *(f"Similarity ({kind}): {meaning}." for kind, meaning in content["similarities"].items()),
        f"Best threshold: {content['best_threshold']}.",
        *content["notes"],
    ]
    drawn: Figure | None = draw.intervals("Pointing game", lines, "share of hits")
    table = Table("Places", ("finding", "cases", *(_PLACES[m] for m in measures)), rows, last)
    return Part("Places", text, figures=[drawn] if drawn else [], tables=[table])


def _retrieval(content: Content, labels: Labels) -> Part:
    tables = []
    for one in content["directions"]:
        median = one["median_rank"]
        rows = [(f"recall at {row['k']}", _both(row), _plain(row["chance"])) for row in one["recall"]]
        rows.append(("median rank", _both(median, ".1f"), str(median["chance"])))
        kind = one["direction"].replace("_", " ")
        caption = f"{kind}: {one['queries']} queries among {one['gallery']}"
        tables.append(Table(caption, ("", "value", "by chance"), rows))
    if content["findings"]:
        ranks = [f"first {one['k']}" for one in content["findings"][0]["precision"]]
        found = [
            (
                _name(row["finding"], labels),
                str(row["n"]),
                str(row["positives"]),
                *(_both(one) for one in row["precision"]),
                _plain(row["chance"]),
            )
            for row in content["findings"]
        ]
        heads = ("finding", "n", "positives", *ranks, "by chance")
        tables.append(Table("Images nearest to a finding's prompts: share that have it", heads, found))
    return Part("Retrieval", (content["rule"],), tables=tables)


_LAYOUTS: Mapping[str, Callable[[Content, Labels], Part]] = {
    "readers": _readers,
    "exclusive": _exclusive,
    "robustness": _robustness,
    "prompts": _prompts,
    "grounding": _grounding,
    "retrieval": _retrieval,
}


def _pointing_line(name: str, row: Content) -> draw.Line:
    hits, chance = row["pointing"], row["pointing_random"]["value"]
    value, low, high = (_value(hits[part]) for part in ("value", "low", "high"))
    return draw.Line(name, value, low, high, ticks=[_value(chance)])


def _place_name(row: Content, labels: Labels) -> str:
    return _name(row["finding"], labels) + (" (phrase)" if row["similarity"] == "phrase" else "")


def _name(finding: str, labels: Labels) -> str:
    return labels.get(finding, finding)


def _value(value: float | None) -> float:
    return float("nan") if value is None else value


def _plain(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def _both(content: Content, form: str = ".3f") -> str:
    if content["value"] is None:
        return DASH
    return whole(f"{value_text(content, form)} {interval_text(content, form)}".rstrip())
