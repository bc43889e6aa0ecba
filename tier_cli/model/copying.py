"""Copy a checkpoint folder in order to add files to the copy."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tier_cli.errors import CheckpointError
from tier_cli.files.atomic import check_new_folder, whole_folder
from tier_cli.model.checkpoint import CHECKSUMS, write_checksums

CARD = "README.md"


@contextmanager
def checkpoint_copy(source: Path, output: Path, leave_out: Collection[str] = ()) -> Iterator[Path]:
    """Copy a checkpoint folder, yield the copy to write to, and update its checksums.

    Parameters
    ----------
    source
        A checkpoint folder.
    output
        The new folder, which appears when the block ends.
    leave_out
        Names of files that are not copied.

    Raises
    ------
    UsageError
        See `check_new_folder`.
    CheckpointError
        The copy cannot be written.
    """
    check_new_folder(output)
    try:
        with whole_folder(output) as folder:
            _copy(source, folder, {CHECKSUMS, *leave_out})
            yield folder
            write_checksums(folder)
    except OSError as error:
        raise CheckpointError(
            f"the copy cannot be written: {error.strerror or error}",
            where=str(output),
            remedy="check the free space and the permissions of the folder",
        ) from error


def _copy(source: Path, output: Path, leave_out: Collection[str]) -> None:
    for file in sorted(source.iterdir()):
        if file.is_file() and file.name not in leave_out and not file.name.startswith("."):
            shutil.copyfile(file, output / file.name)


def write_card_section(folder: Path, title: str, text: str) -> None:
    """Write a section of the model card, replacing the section of the same title or appending it."""
    card = folder / CARD
    before = card.read_text(encoding="utf-8") if card.is_file() else f"# {folder.name}\n"
    section = f"## {title}\n\n{text.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(before):
        after = pattern.sub(lambda _: section + "\n", before)
    else:
        after = f"{before.rstrip()}\n\n{section}"
    card.write_text(after.rstrip() + "\n", encoding="utf-8")
