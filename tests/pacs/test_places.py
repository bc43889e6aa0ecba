"""Places that cannot be written are told in one line, at once, and lose nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcmtk import send
from nodes import Listen, wait_for
from xrays import write_dicom

from tier_cli.errors import StorageError, UsageError


def test_results_that_cannot_be_written_end_the_service_and_are_written_later(
    listen: Listen, tmp_path: Path
) -> None:
    """Whoever watches the service hears of the disk, not of a bug; the image is scored by then."""
    node = listen(quiet=0.3)
    wait_for((node.root / "studies").exists)
    (node.root / "studies").rmdir()
    (node.root / "studies").write_text("a file where a folder was")
    assert send(node.port, [write_dicom(tmp_path / "a.dcm")]) == 0
    with pytest.raises(StorageError, match="cannot be written to") as failed:
        node.listener.wait()
    assert failed.value.exit_code == 74
    node.listener.stop()
    (node.root / "studies").unlink()
    again = listen()
    wait_for(lambda: len(again.results) == 1)


def test_a_journal_that_cannot_be_written_names_a_way_that_exists(
    listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = listen()
    journal = node.listener._ledger._journal

    def full(line: object) -> int:
        raise journal._failed(OSError(28, "No space left on device"))

    monkeypatch.setattr(journal, "append", full)
    assert send(node.port, [write_dicom(tmp_path / "a.dcm")]) == 0
    with pytest.raises(StorageError, match="start again with the same folder"):
        node.listener.wait()
    monkeypatch.undo()
    node.listener.stop()
    again = listen()
    wait_for(lambda: len(again.results) == 1)


def test_a_status_file_that_cannot_be_written_is_told_at_the_start(listen: Listen, tmp_path: Path) -> None:
    for place in (tmp_path / "missing" / "status.json", tmp_path):
        with pytest.raises(UsageError, match="--status-file"):
            listen(status_file=place)
    # The folder is free for another start.
    listen(status_file=tmp_path / "status.json")


def test_a_folder_that_is_no_folder_is_told_at_the_start(listen: Listen, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "spool").write_text("")
    with pytest.raises(UsageError, match="--output"):
        listen()
