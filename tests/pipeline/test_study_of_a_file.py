"""The study by which a file goes to a part of a run is found wherever it lies in the header."""

from __future__ import annotations

from pathlib import Path

import pytest
from xrays import write_dicom

from tier_cli.pipeline.shards import study_of

FIRST_READ = 1 << 14
STUDY = "1.2.826.0.1.3680043.8.498.1234567890123456789012345"


def _place(content: bytes) -> int:
    """Where the value of (0020,000D) begins, after its tag, representation and length."""
    return content.index(b"\x20\x00\x0d\x00UI") + 8


@pytest.mark.parametrize("before", [0, FIRST_READ - 1_000, FIRST_READ, 3 * FIRST_READ])
def test_a_long_comment_does_not_hide_it(tmp_path: Path, before: int) -> None:
    path = write_dicom(tmp_path / "a.dcm", study=STUDY, LongCodeValue="x" * before)
    assert study_of(str(path)) == STUDY


def test_a_uid_that_the_first_read_cuts_is_read_whole(tmp_path: Path) -> None:
    """Cut at any of its digits, the image would go to another part than the others of its study."""
    content = write_dicom(tmp_path / "a.dcm", study=STUDY, LongCodeValue="").read_bytes()
    start = _place(content)
    for cut in (2, 20, len(STUDY) - 1, len(STUDY) + 1):
        comment = "x" * ((FIRST_READ - start - cut) // 2 * 2)
        path = write_dicom(tmp_path / "b.dcm", study=STUDY, LongCodeValue=comment)
        assert 0 <= FIRST_READ - cut - _place(path.read_bytes()) < 2
        assert study_of(str(path)) == STUDY


def test_a_picture_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert study_of(str(path)) == ""
