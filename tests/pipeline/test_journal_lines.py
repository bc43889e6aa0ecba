"""A result that went through the journal is the result that was scored."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from tier_cli.errors import JournalError
from tier_cli.imaging.discover import Source
from tier_cli.pipeline.journaled import JournaledRun, JournalResults
from tier_cli.results.journal import Journal
from tier_cli.results.record import Failure, FindingScore, InputCheckResult, ModelStamp, Result

STAMP = ModelStamp("tiny", "1f", "77", "c3", "ad")
RESULTS = JournalResults(STAMP, "cosine", "study", ("effusion", "edema"), "c0ffee")
SCORED = Result(
    ("a\udcff.png",),
    STAMP,
    "cosine",
    unit="study",
    study="1.2",
    series="1.2.3",
    instance="1.2.3.4",
    view="PA",
    findings=(FindingScore("effusion", 1 / 3), FindingScore("edema", -2e-17)),
    notes=("one", "two"),
    phi={"patient_name": "Doe^Jane"},
    input_check=InputCheckResult(1.25, "inverted", "c0ffee"),
)
REFUSED = Result(
    ("b.png",), STAMP, "cosine", unit="study", error=Failure("view", "a lateral"), view="LL", study="1.2"
)


def test_every_field_comes_back(tmp_path: Path) -> None:
    """A field that is added to `Result` must come into the journal, or it is missing from every output."""
    assert all(getattr(SCORED, field.name) for field in fields(Result) if field.name != "error")
    with Journal(tmp_path / "j", {}) as journal:
        run = JournaledRun(journal, RESULTS)
        sources = [Source(path) for result in (SCORED, REFUSED) for path in result.paths]
        assert list(run.left(sources)) == sources
        run.keep(SCORED)
        run.keep(REFUSED)
        assert run.complete
        assert list(run.results()) == [SCORED, REFUSED]


@pytest.mark.parametrize("scores", [[0.1], [0.1, float("nan")], [0.1, None], "ab"])
def test_scores_that_no_run_writes_are_refused(scores: object) -> None:
    line = json.loads(json.dumps({"n": 0, "path": "a", "scores": scores}))
    with pytest.raises(JournalError, match="file number 0 is not valid"):
        RESULTS.result(line)
