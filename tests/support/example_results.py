"""Results to write and to print."""

from __future__ import annotations

import pytest

from tier_cli.results.record import Failure, FindingScore, ModelStamp, Result

STAMP = ModelStamp("tiny", "a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def scored() -> Result:
    """Return an image with two findings, one of them calibrated."""
    findings = (FindingScore("effusion", 0.1234567), FindingScore("hernia", -0.5, 0.25, False))
    return Result(
        ("in/a,b.dcm",),
        STAMP,
        "cosine_difference",
        study="1.2",
        series="1.2.3",
        instance="1.2.3.4",
        view="PA",
        findings=findings,
        notes=("a note", "another"),
    )


@pytest.fixture
def failed() -> Result:
    """Return an image that could not be used."""
    return Result(("in/b.dcm",), STAMP, "cosine_difference", error=Failure("modality", "it is a CT"))
