"""A finding set, and images with results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dicom_studies import Scored, scored_image

from tier_cli.findings.load import load_findings
from tier_cli.findings.schema import FindingSet
from tier_cli.results.record import Result


@pytest.fixture(scope="session")
def findings() -> FindingSet:
    """A finding with a public code, one with a private code, and one that a user named."""
    return load_findings("pneumothorax,support devices,sail sign")


@pytest.fixture
def scored(tmp_path: Path, findings: FindingSet) -> Scored:
    """Write an image, and give the result that a run would have for it."""

    def make(name: str = "a.dcm", **attributes: Any) -> Result:
        return scored_image(tmp_path / name, findings, **attributes)

    return make
