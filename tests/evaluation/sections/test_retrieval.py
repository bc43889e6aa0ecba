"""Retrieval: ranks against counting by hand, chance against shuffling, medians against numpy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.sections import retrieval_measures as retrieval
from tier_cli.evaluation.sections.retrieval import measure_directions
from tier_cli.evaluation.sections.retrieval_measures import (
    Relevant,
    chance,
    finding_ranks,
    pair_up,
    precisions,
    ranks,
)
from tier_cli.evaluation.units import Units

GENERATOR = np.random.default_rng


def studies_of(index: list[int]) -> Units:
    return Units("study", np.array(index), max(index) + 1)


def unit(count: int, seed: int) -> Any:
    vectors = GENERATOR(seed).normal(size=(count, 5))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_images_match_reports_of_their_study_and_of_equal_wording() -> None:
    # Two images of study 0, of which one has the text; study 1 words it alike; study 2 has two texts.
    texts = ["No  effusion.", "", "No effusion. ", "Effusion.", "Large effusion."]
    pairing = pair_up(texts, studies_of([0, 0, 1, 2, 2]))
    assert pairing.texts == ("No effusion.", "Effusion.", "Large effusion.")
    images = np.split(pairing.by_image.members, pairing.by_image.starts[1:-1])
    assert [one.tolist() for one in images] == [[0], [0], [0], [1, 2], [1, 2]]
    reports = np.split(pairing.by_text.members, pairing.by_text.starts[1:-1])
    assert [one.tolist() for one in reports] == [[0, 1, 2], [3, 4], [3, 4]]
    assert pairing.queries.tolist() == [[0, 0], [1, 0], [2, 1], [2, 2]]
    assert pairing.shared == 1


@pytest.mark.parametrize("cells", [1, 40, 10_000])
def test_ranks_are_counted_as_by_hand_whatever_the_block(monkeypatch: Any, cells: int) -> None:
    monkeypatch.setattr(retrieval, "_CELLS", cells)
    queries, gallery = unit(17, 0), unit(23, 1)
    right = GENERATOR(2).random((17, 23)) < 0.15
    right[np.arange(17), np.arange(17)] = True
    found = ranks(queries, gallery, Relevant.of(np.argwhere(right), 17, 23))
    near = queries @ gallery.T
    for query in range(17):
        best = near[query, right[query]].max()
        assert found[query] == 1 + (near[query, ~right[query]] > best).sum()


def test_a_constant_model_finds_nothing() -> None:
    same = np.ones((4, 2), np.float32)
    own = Relevant.of(np.stack([np.arange(4)] * 2, axis=1), 4, 4)
    assert ranks(same, same, own).tolist() == [4, 4, 4, 4]


def test_weighted_numbers_are_those_of_repeated_queries() -> None:
    places = GENERATOR(0).integers(1, 30, 40)
    weights = GENERATOR(1).integers(0, 4, (25, 40))
    found = finding_ranks(places)(weights)
    for row, weight in enumerate(weights):
        repeated = np.repeat(places, weight)
        assert found["median_rank"][row, 0] == np.median(repeated)
        wanted = [(repeated <= k).mean() for k in (1, 5, 10)]
        np.testing.assert_allclose(found["recall"][row], wanted)


def test_chance_is_what_shuffling_gives() -> None:
    counts, gallery = np.array([1, 1, 2, 7]), 30
    drawn = GENERATOR(0).random((4000, 4, gallery)).argsort(axis=2)
    first = np.stack([drawn[:, q, : counts[q]].min(axis=1) + 1 for q in range(4)])
    recalls, median = chance(counts, gallery)
    np.testing.assert_allclose(recalls, [(first <= k).mean() for k in (1, 5, 10)], atol=0.012)
    assert abs(median - np.median(first)) <= 1
    assert chance(np.array([3]), 3) == ([1.0, 1.0, 1.0], 1)


def test_intervals_come_from_patients_and_hold_the_value() -> None:
    texts = [f"report {number // 2}" for number in range(40)]
    pairing = pair_up(texts, studies_of([number // 2 for number in range(40)]))
    reports = unit(20, 3)
    noise = GENERATOR(4).normal(size=(40, 5)) * 0.4
    images = (np.repeat(reports, 2, axis=0) + noise).astype(np.float32)
    patients = np.array([f"p{number // 8}" for number in range(40)])
    units = studies_of([number // 2 for number in range(40)])
    there, back = measure_directions(images, reports, pairing, units, patients, Resampling(200, 0))
    assert (there["queries"], there["gallery"], back["queries"], back["gallery"]) == (40, 20, 20, 40)
    for one in (there, back):
        for row in one["recall"]:
            assert row["low"] <= row["value"] <= row["high"]
        assert one["recall"][0]["value"] > 3 * one["recall"][0]["chance"]
        assert one["recall"][0]["low"] < one["recall"][0]["high"]
    assert back["recall"][0]["chance"] == pytest.approx(2 / 40)
    again = measure_directions(images, reports, pairing, units, patients, Resampling(200, 0))
    assert again == [there, back]


def test_precision_counts_rows_as_often_as_drawn() -> None:
    labels = GENERATOR(0).integers(0, 2, (60, 2)).astype(float)
    labels[::9, 0] = np.nan
    scores = GENERATOR(1).normal(size=(60, 2))
    weights = GENERATOR(2).integers(0, 3, (10, 60)) * (GENERATOR(3).random((10, 60)) < 0.5)
    found = precisions(labels, scores)(weights)
    for row, weight in enumerate(weights):
        for column in range(2):
            known = np.isfinite(labels[:, column])
            order = np.argsort(-scores[known, column])
            drawn = np.repeat(labels[known, column][order], weight[known][order])
            for k in (5, 10):
                assert found[f"precision@{k}"][row, column] == pytest.approx(drawn[:k].mean())
    few = precisions(labels[:7], scores[:7])(np.ones((1, 7)))
    assert np.isfinite(few["precision@5"]).all()
    assert np.isnan(few["precision@10"]).all()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six images of four studies; of the last, the only image with its report is missing."""
    from xrays import write_png

    rows = ["path,patient,study,effusion,text"]
    for number in range(6):
        if number != 5:
            write_png(tmp_path / f"{number}.png", number)
        text = "" if number == 4 else f"effusion {max(1, number)} is present"
        rows.append(f"{number}.png,p{number // 2},s{(1, 1, 2, 3, 5, 5)[number]},{number % 2},{text}")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    return tmp_path / "m.csv"


def test_from_the_command_line(data: Path, tmp_path: Path, capfd: Any) -> None:
    from tiny import tiny_checkpoint

    from tier_cli.app import main

    model = tiny_checkpoint(tmp_path / "tiny")
    run: Callable[..., int] = lambda *given: main([str(one) for one in given])  # noqa: E731
    common = ("--data", data, "--findings", "chexpert5", "--device", "cpu", "--workers", 0)
    out = tmp_path / "out.json"
    code = run("eval", *common, "--model", model, "--retrieval", "--replicates", 20, "-o", out)
    told = capfd.readouterr().err
    assert code == 3, "one image is missing"
    section = json.loads(out.read_text())["sections"]["retrieval"]
    assert (section["images"], section["studies"], section["texts"]) == (4, 3, 3)
    assert section["left_out"] == {"without_report": 1, "unusable": 1}
    assert [one["queries"] for one in section["directions"]] == [4, 3]
    assert [one["recall"][1]["value"] for one in section["directions"]] == [1, 1]
    assert section["findings"][0]["precision"][0]["value"] == pytest.approx(2 / 5)
    assert "Retrieval, image to report: 4 queries, 3 candidates\n" in told
    bare = tmp_path / "bare.csv"
    bare.write_text("path,effusion\n0.png,1\n")
    assert run("eval", "--data", bare, "--model", "no-such-model", "--retrieval") == 2
    assert "no image has a report; --retrieval needs a column text" in " ".join(
        capfd.readouterr().err.split()
    )
