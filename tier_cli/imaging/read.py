"""Read one image file as a radiograph; its content, not its name, decides the format."""

from __future__ import annotations

import os
import stat

from tier_cli.errors import InputError
from tier_cli.imaging.opening import head_of
from tier_cli.imaging.radiograph import Radiograph, ReadOptions
from tier_cli.imaging.reduction import Least
from tier_cli.imaging.sniff import content_of, refusal


def read_radiograph(
    path: str, options: ReadOptions = ReadOptions(), least: Least | None = None
) -> Radiograph:
    """Read a DICOM, PNG, JPEG or TIFF file, recognised by content, in display space.

    Parameters
    ----------
    path, options
        The file, and how to read it.
    least
        The size at which its pixels are enough; None for all of them.

    Raises
    ------
    InputError
        If the file is missing, broken, or not an image that may be scored; bad input raises nothing else.
    """
    status = _status(path)
    try:
        radiograph = _read(path, status, options, least)
    except InputError as error:
        raise _changed(path, status) or error from None
    if changed := _changed(path, status):
        raise changed
    return radiograph


def _status(path: str) -> os.stat_result:
    try:
        status = os.stat(path)
    except (FileNotFoundError, ValueError):
        raise InputError("no such file", where=path, remedy="check the path", kind="missing") from None
    except OSError as error:
        raise _unopened(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(
            "it is a folder, a pipe or a device, not a file",
            where=path,
            remedy="save the image to a file",
            kind="unreadable",
        )
    return status


def _unopened(path: str, error: OSError) -> InputError:
    what = f"the file cannot be opened ({error.strerror})"
    return InputError(what, where=path, remedy="check its permissions", kind="unreadable")


def _read(path: str, status: os.stat_result, options: ReadOptions, least: Least | None) -> Radiograph:
    try:
        head = head_of(path, status)
    except OSError as error:
        raise _unopened(path, error) from None
    content = content_of(head)
    if content == "dicom":
        from tier_cli.imaging.dicom import read_dicom

        return read_dicom(path, options, least)
    if content is None:
        what, remedy = refusal(path, head)
        raise InputError(what, where=path, remedy=remedy, kind="not_an_image")
    from tier_cli.imaging.raster import read_raster

    return read_raster(path, options)


def _changed(path: str, before: os.stat_result) -> InputError | None:
    """Return the error of a file that vanished, or was written to, while it was read."""
    try:
        after = os.stat(path)
    except OSError:
        return InputError(
            "the file vanished while it was read", where=path, remedy="run again", kind="missing"
        )
    if _identity(after) == _identity(before):
        return None
    remedy = "run again when it is complete"
    return InputError("the file changed while it was read", where=path, remedy=remedy, kind="changed")


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
