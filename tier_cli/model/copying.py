"""Copy a checkpoint folder in order to add files to the copy."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tier_cli.errors import CheckpointError
from tier_cli.files.atomic import check_new_folder, whole_folder
from tier_cli.files.hashes import file_hash
from tier_cli.model.checkpoint import CHECKSUMS, read_checksums, write_checksums

CARD = "README.md"


@contextmanager
def checkpoint_copy(source: Path, output: Path, leave_out: Collection[str] = ()) -> Iterator[Path]:
    """Copy a checkpoint folder, yield the copy to write to, and update its checksums.

    Only what checksums.json lists and the model card are copied. A link is refused: it could lead to a file
    that does not belong to the checkpoint.

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
        The copy cannot be written, or a listed file is missing, altered or not a regular file.
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
    listed = read_checksums(source)
    for name in sorted(set(listed) - set(leave_out)):
        _require_regular(source / name)
        shutil.copyfile(source / name, output / name)
        if file_hash(output / name) != listed[name]["sha256"]:
            raise CheckpointError(
                f"is altered: it differs from {CHECKSUMS}",
                where=str(source / name),
                remedy="download the folder again, or accept its files with `tier model export`",
            )
    if CARD not in leave_out and is_own(source / CARD):
        shutil.copyfile(source / CARD, output / CARD)


def _require_regular(file: Path) -> None:
    if not is_own(file):
        raise CheckpointError(
            "is a link, a folder or missing: only regular files are copied",
            where=str(file),
            remedy="make a plain copy of the folder, as with `cp -rL`, or download it again",
        )


def is_own(file: Path) -> bool:
    """Return whether a file is a regular one of its folder, or one of a snapshot in the hub's cache.

    There, files are links to ``../../blobs``. Any other link may lead to a file of the user.
    """
    try:
        if stat.S_ISREG(os.lstat(file).st_mode):
            return True
        folder = file.absolute().parent
        blobs = folder.parent.parent.resolve() / "blobs"
        found = file.resolve()
        return folder.parent.name == "snapshots" and found.parent == blobs and found.is_file()
    except (OSError, RuntimeError):
        return False


def write_card_section(folder: Path, title: str, text: str, *, first: bool = False) -> None:
    """Write a section of the model card, replacing the section of the same title.

    A new section is the last one, or with `first` the first one, before what it changes is read.
    """
    card = folder / CARD
    before = card.read_text(encoding="utf-8") if card.is_file() else f"# {folder.name}\n"
    section = f"## {title}\n\n{text.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(before):
        after = pattern.sub(lambda _: section + "\n", before)
    elif first and (found := re.search(r"^## ", before, re.MULTILINE)):
        after = f"{before[: found.start()]}{section}\n{before[found.start() :]}"
    else:
        after = f"{before.rstrip()}\n\n{section}"
    card.write_text(after.rstrip() + "\n", encoding="utf-8")
