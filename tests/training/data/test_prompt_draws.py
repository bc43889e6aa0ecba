"""Prompts that labelled images are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tier_cli.datasets.captions import phrases
from tier_cli.datasets.manifest import read_manifest
from tier_cli.findings.load import load_findings
from tier_cli.training.data.labels import label_training_rows
from tier_cli.training.data.pairs import Pairs
from tier_cli.training.data.prompts import Prompts


def prompts(folder: Path, rows: str, name: str = "nih14", count: int = 1) -> Prompts:
    (folder / "manifest.csv").write_text(rows)
    labelled = label_training_rows(read_manifest(folder / "manifest.csv"), load_findings(name))
    return Prompts.of(labelled, Pairs(labelled, 3), count, seed=3)


def test_prompts_belong_to_the_findings_that_have_labels(tmp_path: Path) -> None:
    drawn = prompts(tmp_path, "path,Mass,Effusion,Hernia\na,1,0,\nb,,1,-1\n")
    texts, columns = drawn.draw(0)
    assert [finding.id for finding in drawn.findings] == ["effusion", "mass"]
    assert len(texts) == 4
    assert columns.tolist() == [0, 1]
    labels = drawn.labels(np.array([1, 0]), columns)
    np.testing.assert_array_equal(labels, [[1, np.nan], [0, 1]])


def test_several_prompts_of_each_kind_stand_together(tmp_path: Path) -> None:
    texts, _ = prompts(tmp_path, "path,Mass,Effusion\na,1,0\n", count=3).draw(0)
    assert len(texts) == 2 * 2 * 3
    effusion = load_findings("nih14").match("effusion")
    assert effusion is not None
    stated, denied = phrases("effusion")
    assert set(texts[:3]) <= {*effusion.positive, *stated}
    assert set(texts[3:6]) <= {*effusion.negative, *denied}


def test_the_prior_is_the_log_odds_among_the_images_that_are_drawn(tmp_path: Path) -> None:
    """Rows with a rare finding are drawn more often than they are there."""
    drawn = prompts(tmp_path, "path,Mass,Effusion\na,1,\nb,0,1\nc,0,1\nd,0,1\n")
    rows = Pairs(
        label_training_rows(read_manifest(tmp_path / "manifest.csv"), load_findings("nih14")), 0
    ).draw(0, 1, 20000)
    share = (rows == 0).mean()
    effusion, mass = drawn.prior
    assert abs(mass - np.log(share / (1 - share))) < 0.1
    assert effusion == np.float32(np.log(0.999 / 0.001)), "all agree: bounded"


def test_every_step_draws_anew_from_statements_and_denials(tmp_path: Path) -> None:
    drawn = prompts(tmp_path, "path,Mass\na,1\n")
    seen = [drawn.draw(step)[0] for step in range(200)]
    assert seen == [drawn.draw(step)[0] for step in range(200)], "a resumed run draws the same"
    mass = load_findings("nih14").match("mass")
    assert mass is not None
    stated, denied = phrases("mass")
    assert set(mass.positive) < {positive for positive, _ in seen} <= set(mass.positive) | set(stated)
    assert set(mass.negative) < {negative for _, negative in seen} <= set(mass.negative) | set(denied)


def test_many_findings_take_turns(tmp_path: Path) -> None:
    """192 findings would cost more text than the images of a batch."""
    ids = load_findings("padchest192").ids[:60]
    drawn = prompts(tmp_path, f"path,{','.join(ids)}\na,{','.join('1' for _ in ids)}\n", "padchest192")
    columns = {int(column) for step in range(20) for column in drawn.draw(step)[1]}
    assert len(drawn.draw(0)[0]) == 64
    assert len(columns) > 50
