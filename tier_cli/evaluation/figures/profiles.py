"""Make the figures of rank-ordered similarities and of relative importance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tier_cli.evaluation.figures.figure import NARROW, WIDE, Figure, Row, by_model, column, draw_line
from tier_cli.evaluation.intervals import documents

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

    from tier_cli.evaluation.figures.measured import Measured
    from tier_cli.evaluation.figures.question import Question
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.metrics.bootstrap import Estimate


def rank_profile(models: Sequence[Measured], question: Question, how: Resampling) -> Figure:
    """Make the figure of the mean similarity at each rank (Palepu & Beam, MLHC 2023)."""
    rows = [row for one in models for row in _ranks(one, one.profile, (one.pairs, one.patients), how)]
    caption = (
        f"Cosine similarity of image patches to {_whole(question)}. For each image"
        f"{'' if question.kind == 'texts' else ' and finding'} the patches are sorted, the most similar "
        f"first, and each rank is averaged over {counts(models)}. {intervals(how)} "
        "A profile that falls steeply to 0 means that few patches resemble the text. "
        "As in figures 6 and 7 of Palepu & Beam (2023), whose bars are standard deviations over images."
    )
    return Figure(
        "rank-profile", "Rank-ordered patch similarity", caption, rows, _paint_profile, _size(NARROW, models)
    )


def importance(models: Sequence[Measured], question: Question, how: Resampling) -> Figure:
    """Make the figure of the relative importance at each rank (Palepu & Beam, MLHC 2023)."""
    rows = []
    for one in models:
        for share, estimate, numbers in (
            ("total similarity", one.importance, (one.positive_pairs, one.positive_patients)),
            ("softmax weight", one.weight, (one.pairs, one.patients)),
        ):
            rows += [{"share": share, **row} for row in _ranks(one, estimate, numbers, how)]
    left_out = ", ".join(f"{one.name} {one.pairs - one.positive_pairs} of {one.pairs}" for one in models)
    caption = (
        "Relative importance of the patches by rank, as a multiple of an equal share (1 / number of "
        f"patches). Left: similarity of each patch to {_whole(question)}, divided by the sum over the "
        "patches of the image (as in figures 6 and 7 of Palepu & Beam, 2023). This share means something "
        f"only where that sum is above 0; others are left out ({left_out}), and sums close to 0 make it "
        "large and uncertain. Right: the softmax weight of each patch, whose entropy TIER penalises; it "
        f"exists for all. Averages over {counts(models)}. {intervals(how)}"
    )
    return Figure(
        "relative-importance",
        "Relative patch importance",
        caption,
        rows,
        _paint_importance,
        _size(WIDE, models),
    )


def intervals(how: Resampling, marks: str = "Bands") -> str:
    """Say how the intervals were made that `marks` show."""
    level, replicates = f"{how.level:.0%}".replace("%", " %"), f"{how.replicates:,}"
    return (
        f"{marks} are {level} intervals over patients (bootstrap, {replicates} resamplings, seed {how.seed})."
    )


def _whole(question: Question) -> str:
    return f"the embedding of {question.about}" if question.kind == "texts" else question.about


def counts(models: Sequence[Measured]) -> str:
    """Say how many images and patients the averages of the models are over."""
    texts = dict.fromkeys(_count(one) for one in models)
    if len(texts) == 1:
        return next(iter(texts))
    return "; ".join(f"{_count(one)} ({one.name})" for one in models)


def _count(one: Measured) -> str:
    images = int(one.images.sum())
    pairs = f"{one.pairs:,} pairs of image and finding, " if one.pairs != images else ""
    return f"{pairs}{images:,} images of {one.patients:,} patients"


def _ranks(one: Measured, estimate: Estimate, numbers: tuple[int, int], how: Resampling) -> list[Row]:
    """Return one row per rank; `numbers` are those of pairs and of patients."""
    count = one.grid[0] * one.grid[1]
    return [
        {
            "model": one.name,
            "patches": count,
            "rank": rank,
            "relative_rank": round((rank - 0.5) / count, 6),
            "pairs": numbers[0],
            "patients": numbers[1],
            **value,
        }
        for rank, value in enumerate(documents(estimate, how.level), 1)
    ]


def _paint_profile(canvas: Canvas, rows: Sequence[Row]) -> None:
    axes = canvas.add_subplot()
    _lines(axes, rows)
    axes.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    axes.set_ylabel("Cosine similarity of patch and text")


def _paint_importance(canvas: Canvas, rows: Sequence[Row]) -> None:
    for axes, share in zip(canvas.subplots(1, 2), ("total similarity", "softmax weight"), strict=True):
        _lines(axes, [row for row in rows if row["share"] == share])
        axes.axhline(1, color="0.6", linewidth=0.6, zorder=0)
        name = "Similarity / total similarity" if share == "total similarity" else "Softmax of similarities"
        axes.set_ylabel(f"{name}\n(multiple of an equal share)")


def _lines(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw one line per model, over ranks if all have as many patches, else over relative ranks."""
    same = len({row["patches"] for row in rows}) == 1
    for number, (name, own) in enumerate(by_model(rows).items()):
        known = [row for row in own if row["value"] is not None]
        if known:
            label = f"{name} (n = {known[0]['pairs']:,})" if same else _with_grid(name, known[0])
            draw_line(axes, known, "rank" if same else "relative_rank", number, label)
    if same:
        patches = column(rows[:1], "patches")[0]
        axes.set_xlabel(f"Rank of the patch, 1 = most similar of {patches:.0f}")
        axes.set_xlim(0, patches + 1)
    else:
        axes.set_xlabel("Relative rank of the patch, 0 = most similar")
        axes.set_xlim(0, 1)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1))


def _size(width: float, models: Sequence[Measured]) -> tuple[float, float]:
    """Return width and height in inches, with room for the legend."""
    return width, 2.5 + 0.17 * len(models)


def _with_grid(name: str, row: Row) -> str:
    return f"{name} ({row['patches']} patches, n = {row['pairs']:,})"
