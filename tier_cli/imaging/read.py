"""Read one image file as a radiograph; its content, not its name, decides the format."""

from __future__ import annotations

import os
import stat

from tier_cli.errors import InputError
from tier_cli.imaging.radiograph import Radiograph, ReadOptions
from tier_cli.imaging.sniff import HEAD_BYTES, content_of, refusal


def read_radiograph(path: str, options: ReadOptions = ReadOptions()) -> Radiograph:
    """Read a DICOM, PNG, JPEG or TIFF file, recognised by content, in display space.

    Raises
    ------
    InputError
        If the file is missing, broken, or not an image that may be scored; bad input raises nothing else.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            # Opening a pipe without a writer would block.
            raise InputError(
                "it is a folder, a pipe or a device, not a file",
                where=path,
                remedy="save the image to a file",
                kind="unreadable",
            )
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except (FileNotFoundError, ValueError):
        raise InputError("no such file", where=path, remedy="check the path", kind="missing") from None
    except OSError as error:
        raise InputError(
            f"the file cannot be opened ({error.strerror})",
            where=path,
            remedy="check its permissions",
            kind="unreadable",
        ) from None
    content = content_of(head)
    if content == "dicom":
        from tier_cli.imaging.dicom import read_dicom

        return read_dicom(path, options)
    if content is None:
        what, remedy = refusal(path, head)
        raise InputError(what, where=path, remedy=remedy, kind="not_an_image")
    from tier_cli.imaging.raster import read_raster

    return read_raster(path, options)
