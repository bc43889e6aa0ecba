"""Drops under corruption: AUCs as in scikit-learn, paired by image and resampling."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tier_cli.display.robustness_table import show_robustness
from tier_cli.errors import UsageError
from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.sections.robustness import measure_robustness, robustness_section
from tier_cli.evaluation.truth import Labelled
from tier_cli.imaging.corrupt import Corruption

RNG = np.random.default_rng(1)
CHOSEN = (Corruption("noise", 0.1), Corruption("inversion", 1))
HOW = Resampling(50)


@pytest.fixture
def truth() -> Labelled:
    """Sixty images of twenty patients; the second finding has blanks, the third is always absent."""
    labels = RNG.integers(0, 2, size=(60, 3)).astype(float)
    labels[:5, 1] = np.nan
    labels[:, 2] = 0
    return Labelled(("effusion", "nodule", "hernia"), labels, np.array([f"p{n // 3}" for n in range(60)]))


def _scores(truth: Labelled) -> tuple[np.ndarray, np.ndarray]:
    clean = np.nan_to_num(truth.labels) + RNG.normal(size=(60, 3))
    return clean, np.stack([clean, -clean])


def test_drops_are_differences_of_aucs(truth: Labelled) -> None:
    clean, damaged = _scores(truth)
    content = measure_robustness(truth, clean, damaged, CHOSEN, HOW)
    expected = [
        roc_auc_score(truth.labels[known, f], clean[known, f])
        for f, known in ((0, np.ones(60, bool)), (1, np.isfinite(truth.labels[:, 1])))
    ]
    found = [row["auc"]["value"] for row in content["clean"]["findings"]]
    assert found[:2] == pytest.approx(expected, abs=1e-6)
    assert content["clean"]["auc"]["value"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert [row["n"] for row in content["clean"]["findings"]] == [60, 55, 60]
    unchanged, inverted = content["corruptions"]
    assert unchanged["drop"] == {"value": 0, "low": 0, "high": 0}
    assert inverted["auc"]["value"] == pytest.approx(1 - np.mean(expected), abs=1e-6)
    assert inverted["drop"]["value"] == pytest.approx(2 * np.mean(expected) - 1, abs=1e-6)
    assert inverted["drop"]["low"] < inverted["drop"]["value"] < inverted["drop"]["high"]


def test_a_finding_with_one_class_is_null_and_excluded_from_means(truth: Labelled) -> None:
    content = measure_robustness(truth, *_scores(truth), CHOSEN, HOW)
    hernia = content["corruptions"][1]["findings"][2]
    assert hernia["auc"]["value"] is None
    assert hernia["drop"]["value"] is None
    assert content["clean"]["averaged"] == 2
    json.dumps(content, allow_nan=False)


def test_an_image_that_lacks_a_score_is_not_measured(truth: Labelled) -> None:
    clean, damaged = _scores(truth)
    damaged[0, 7] = np.nan
    one = measure_robustness(truth, clean, damaged, CHOSEN, HOW)
    keep = np.arange(60) != 7
    two = measure_robustness(truth.where(keep), clean[keep], damaged[:, keep], CHOSEN, HOW)
    assert one == two
    assert one["n"] == 59


def test_the_table_names_each_kind_once_and_explains_levels(truth: Labelled) -> None:
    from rich.console import Console

    chosen = (Corruption("noise", 0.1), Corruption("noise", 0.2))
    content = measure_robustness(truth, *_scores(truth), chosen, HOW) | {"plural": "images"}
    text = io.StringIO()
    show_robustness(content, Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.strip().startswith("noise ") for line in lines) == 1
    assert "share of the grey range" in text.getvalue()


def test_an_unknown_kind_is_refused_before_anything_is_scored() -> None:
    with pytest.raises(UsageError, match="unknown corruption 'fog'"):
        robustness_section(["fog"])
