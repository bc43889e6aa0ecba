"""Keep an output file from replacing an input of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from tier_cli.errors import UsageError
from tier_cli.files.atomic import check_new_folder

_CHECKSUMS = "checksums.json"


def check_not_an_input(
    output: str | Path, option: str, inputs: Iterable[str | Path | None], data_root: str | Path | None = None
) -> None:
    """Refuse an output file that is an input of the run or an image, also by another name or a link.

    Parameters
    ----------
    output, option
        The file to write, and the option that names it.
    inputs
        Files that the run reads, and folders of checkpoints; others than these, None too, are ignored. Images
        need not be named: no image is ever replaced.
    data_root
        The folder of a public data set; every file below it counts as an input.

    Raises
    ------
    UsageError
        The file is an input.
    """
    if not os.path.isfile(output):
        return
    if data_root is not None and _lies_below(Path(output), Path(data_root)):
        raise UsageError(
            f"is a file of the data set in {data_root} and would be replaced",
            where=f"{option} {output}",
            remedy="choose another file",
        )
    for given in inputs:
        if given is not None and _is_input(output, given):
            raise UsageError(
                f"is an input of this run ({given}) and would be replaced",
                where=f"{option} {output}",
                remedy="choose another file",
            )
    if _is_image(output):
        raise UsageError(
            "is an image and would be replaced", where=f"{option} {output}", remedy="choose another file"
        )


def replaced_text(path: str | None) -> str:
    """Return what to say after the run of a file that exists before it; "" if there is none."""
    return ", which replaced an existing file" if path is not None and os.path.isfile(path) else ""


def check_new_output_folder(
    folder: str | Path, option: str, inputs: Iterable[str | Path], shared: bool = False
) -> Path:
    """Refuse a folder for pictures that holds something, or that lies in a folder that the run reads.

    Parameters
    ----------
    folder, option
        The folder to write to, and the option that names it.
    inputs
        The files and folders that the run reads: pictures written below one could be read as images.
    shared
        Whether the folder may hold what another part of the run wrote.

    Raises
    ------
    UsageError
        The folder cannot be used.
    """
    path = Path(folder)
    if not (shared and path.is_dir()):
        check_new_folder(path)
    if not os.access(path if path.is_dir() else path.absolute().parent, os.W_OK):
        raise UsageError(
            "cannot be written: the disk or the folder is read-only",
            where=f"{option} {folder}",
            remedy="choose another folder",
        )
    check_outside_inputs(folder, option, inputs)
    return path


def check_outside_inputs(folder: str | Path, option: str, inputs: Iterable[str | Path]) -> None:
    """Refuse a folder below one that the run reads.

    Parameters
    ----------
    folder, option, inputs
        As in `check_new_output_folder`.

    Raises
    ------
    UsageError
        The folder lies below an input.
    """
    for given in inputs:
        if os.path.isdir(given) and _lies_below(Path(folder), Path(given)):
            raise UsageError(
                f"lies in {given}, whose images are read: the next run would read what is written",
                where=f"{option} {folder}",
                remedy="choose a folder beside it",
            )


def _is_input(output: str | Path, given: str | Path) -> bool:
    try:
        if os.path.samefile(output, given):
            return True
        return os.path.isdir(given) and _is_checkpoint_file(Path(os.path.realpath(output)), Path(given))
    except (OSError, ValueError):
        return False


def _lies_below(file: Path, folder: Path) -> bool:
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder))


def _is_checkpoint_file(output: Path, folder: Path) -> bool:
    """Return whether a file is one of those that a checkpoint in `folder` consists of."""
    checksums = folder / _CHECKSUMS
    if not checksums.is_file():
        return False
    try:
        names = [_CHECKSUMS, *json.loads(checksums.read_bytes())["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        names = []
    return any(output == Path(os.path.realpath(folder / name)) for name in names)


def _is_image(path: str | Path) -> bool:
    from tier_cli.imaging.opening import head_of
    from tier_cli.imaging.sniff import content_of

    try:
        return content_of(head_of(str(path), os.stat(path))) is not None
    except OSError:
        return False
