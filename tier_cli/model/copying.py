"""A checkpoint folder copied with something added: whole or not at all, the original untouched."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tier_cli.errors import CheckpointError, UsageError
from tier_cli.model.checkpoint import CHECKSUMS, write_checksums

CARD = "README.md"


def check_new_folder(output: Path) -> None:
    """Refuse a folder that already holds something.

    Raises
    ------
    UsageError
        It is a file, or a folder that is not empty, or there is no folder to make it in.
    """
    if output.is_dir() and not any(output.iterdir()):
        return
    if output.exists() or output.is_symlink():
        raise UsageError("is already there", where=str(output), remedy="name a new folder with --output")
    if not output.absolute().parent.is_dir():
        raise UsageError(
            "there is no such folder", where=str(output.parent), remedy="make it, or check --output"
        )


@contextmanager
def checkpoint_copy(source: Path, output: Path, leave_out: Collection[str] = ()) -> Iterator[Path]:
    """Copy a checkpoint folder; what the block writes into the copy is listed in its checksums.

    Parameters
    ----------
    source
        A checkpoint folder.
    output
        The new folder, which appears when the block is done.
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
    output = output.absolute()
    try:
        scratch = Path(tempfile.mkdtemp(prefix=f".{output.name}.partial-", dir=output.parent))
    except OSError as error:
        raise _no_copy(output, error) from error
    # Under its own name, which what is written into it may quote.
    partial = scratch / output.name
    try:
        try:
            _copy(source, partial, {CHECKSUMS, *leave_out})
        except OSError as error:
            raise _no_copy(output, error) from error
        yield partial
        write_checksums(partial)
        os.replace(partial, output)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy(source: Path, output: Path, leave_out: Collection[str]) -> None:
    output.mkdir()
    for file in sorted(source.iterdir()):
        if file.is_file() and file.name not in leave_out and not file.name.startswith("."):
            shutil.copyfile(file, output / file.name)


def write_card_section(folder: Path, title: str, text: str) -> None:
    """Put a section into the model card: in place of one of the same title, else at its end."""
    card = folder / CARD
    before = card.read_text(encoding="utf-8") if card.is_file() else f"# {folder.name}\n"
    section = f"## {title}\n\n{text.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(before):
        after = pattern.sub(lambda _: section + "\n", before)
    else:
        after = f"{before.rstrip()}\n\n{section}"
    card.write_text(after.rstrip() + "\n", encoding="utf-8")


def _no_copy(output: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"the copy cannot be written: {error.strerror}", where=str(output), remedy="check room and rights"
    )
