"""Fixtures of the pipeline tests."""

from __future__ import annotations

import numpy as np
import pytest

from tier_cli.findings.vectors import FindingVectors


@pytest.fixture
def vectors() -> FindingVectors:
    """Bright images score high on the first finding, dark ones on the second."""
    one = np.array([[1, 0], [0, 1]], np.float32)
    return FindingVectors(one, -one)
