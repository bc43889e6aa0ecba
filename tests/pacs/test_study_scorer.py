"""An image is scored once, however often its study becomes quiet."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tier_cli.imaging.discover import PAUSE
from tier_cli.pacs.health import Health
from tier_cli.pacs.spool import Spool
from tier_cli.pacs.study_scorer import StudyScorer


def test_an_image_that_is_being_scored_is_not_taken_again(tmp_path: Path) -> None:
    """Its study becomes quiet a second time when another image comes while the model is busy."""
    spool = Spool(tmp_path, 1000)
    spool.restore()
    nothing: Any = SimpleNamespace(state=lambda path: None)
    scorer = StudyScorer(nothing, nothing, nothing, spool, nothing, 0, Health(None))
    sources = scorer._sources()
    first, second = spool.path_of("1", "1.1"), spool.path_of("1", "1.2")
    spool.store(first, [b"x"])
    assert next(sources).name == first
    spool.store(second, [b"x"])
    assert next(sources).name == second
    # Another file under the same name is another image.
    spool.store(first, [b"other"])
    assert next(sources).name == first
    assert next(sources) is PAUSE
    scorer.stop()
