"""One image file -> Radiograph, whatever its name says it is."""

from __future__ import annotations

import os
import stat

from tier_cli.errors import InputError
from tier_cli.imaging.radiograph import Radiograph, ReadOptions
from tier_cli.imaging.sniff import HEAD_BYTES, content_of


def read_radiograph(path: str, options: ReadOptions = ReadOptions()) -> Radiograph:
    """Read a DICOM, PNG, JPEG or TIFF file, told by content, in display space.

    Raises
    ------
    InputError
        The file is missing, broken, or no image that may be scored; nothing else is raised for bad input.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            # Opening a pipe that nobody writes to would wait for ever.
            raise InputError(
                "this is a folder, a pipe or a device, not a file",
                where=path,
                remedy="save the image to a file",
                kind="unreadable",
            )
        with open(path, "rb") as file:
            content = content_of(file.read(HEAD_BYTES))
    except (FileNotFoundError, ValueError):
        raise InputError("no such file", where=path, remedy="check the path", kind="missing") from None
    except OSError as error:
        raise InputError(
            f"the file cannot be opened ({error.strerror})",
            where=path,
            remedy="check its permissions",
            kind="unreadable",
        ) from None
    if content == "dicom":
        from tier_cli.imaging.dicom import read_dicom

        return read_dicom(path, options)
    if content is None:
        raise InputError(
            "this is no image known here",
            where=path,
            remedy="give DICOM, PNG, JPEG or TIFF",
            kind="not_an_image",
        )
    from tier_cli.imaging.raster import read_raster

    return read_raster(path, options)
