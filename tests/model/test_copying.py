"""A copy of a checkpoint appears whole or not at all, and its card keeps what it said."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny_checkpoint

from tier_cli.errors import CheckpointError, UsageError
from tier_cli.model.checkpoint import write_checksums
from tier_cli.model.copying import checkpoint_copy, write_card_section
from tier_cli.model.verify import verify


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "source")


def test_copy_is_intact_and_the_original_untouched(source: Path, tmp_path: Path) -> None:
    before = {file.name: file.read_bytes() for file in source.iterdir()}
    with checkpoint_copy(source, tmp_path / "copy", leave_out=["training.json"]) as folder:
        (folder / "more.json").write_text("{}")
    assert verify(tmp_path / "copy") == []
    names = {file.name for file in (tmp_path / "copy").iterdir()}
    assert names == {*before, "more.json"} - {"training.json"}
    assert {file.name: file.read_bytes() for file in source.iterdir()} == before
    assert {file.name for file in tmp_path.iterdir()} == {"source", "copy"}


def test_only_what_the_folder_lists_is_copied(source: Path, tmp_path: Path) -> None:
    """Whoever made the folder chose its links: what they lead to must not travel with the copy."""
    (tmp_path / "secret").write_text("mine")
    (source / "notes.txt").symlink_to(tmp_path / "secret")
    (source / "README.md").symlink_to(tmp_path / "secret")
    (source / "unlisted.txt").write_text("not of the checkpoint")
    with checkpoint_copy(source, tmp_path / "copy"):
        pass
    names = {file.name for file in (tmp_path / "copy").iterdir()}
    assert names.isdisjoint({"notes.txt", "README.md", "unlisted.txt"})
    write_checksums(source)
    with pytest.raises(CheckpointError, match="is a link") as caught, checkpoint_copy(source, tmp_path / "b"):
        pass
    assert caught.value.where == str(source / "notes.txt")
    assert not (tmp_path / "b").exists()


def test_a_snapshot_in_the_cache_of_the_hub_is_copied(source: Path, tmp_path: Path) -> None:
    """Its files are links to another folder of the same download."""
    snapshot, blobs = tmp_path / "models--x" / "snapshots" / "abc", tmp_path / "models--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in source.iterdir():
        file.rename(blobs / file.name)
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    with checkpoint_copy(snapshot, tmp_path / "copy"):
        pass
    assert verify(tmp_path / "copy") == []
    (tmp_path / "secret").write_text("mine")
    (snapshot / "training.json").unlink()
    (snapshot / "training.json").symlink_to(tmp_path / "secret")
    with pytest.raises(CheckpointError, match="is a link"), checkpoint_copy(snapshot, tmp_path / "other"):
        pass


def test_an_altered_file_is_not_copied(source: Path, tmp_path: Path) -> None:
    (source / "training.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is altered"), checkpoint_copy(source, tmp_path / "copy"):
        pass


def test_a_new_card_has_the_name_of_the_copy(source: Path, tmp_path: Path) -> None:
    with checkpoint_copy(source, tmp_path / "copy") as folder:
        write_card_section(folder, "Calibration", "text")
    assert (tmp_path / "copy" / "README.md").read_text() == "# copy\n\n## Calibration\n\ntext\n"


def test_failure_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError), checkpoint_copy(source, tmp_path / "copy"):
        raise KeyError
    assert [file.name for file in tmp_path.iterdir()] == ["source"]


def test_an_empty_folder_is_used_and_others_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with checkpoint_copy(source, tmp_path / "empty"):
        pass
    assert verify(tmp_path / "empty") == []
    for taken in (source, source / "config.json"):
        with pytest.raises(UsageError, match="already exists"), checkpoint_copy(source, taken):
            pass
    with pytest.raises(UsageError, match="no such folder"), checkpoint_copy(source, tmp_path / "a" / "b"):
        pass


def test_section_of_the_card_is_replaced_not_repeated(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("# mine\n\ntext\n\n## Calibration\n\nold\n\n## Else\n\nkept\n")
    write_card_section(tmp_path, "Calibration", "new \\1")
    assert card.read_text() == "# mine\n\ntext\n\n## Calibration\n\nnew \\1\n\n## Else\n\nkept\n"
    write_card_section(tmp_path, "Adaptation", "more")
    assert card.read_text().endswith("kept\n\n## Adaptation\n\nmore\n")
