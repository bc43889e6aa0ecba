"""Ask programs that others wrote whether a DICOM object is valid."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def require(*programs: str) -> None:
    """Skip the test in one line where a program is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def errors_of(path: Path) -> list[str]:
    """Return the errors that dicom3tools' dciodvfy finds, with the definitions of the current standard."""
    require("dciodvfy")
    done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def dump_of(path: Path) -> str:
    """Return the document as dsrdump prints it; fail if it, dsr2html or dcmpschk of DCMTK refuses it."""
    require("dsrdump", "dsr2html", "dcmpschk")
    page = path.with_suffix(".html")
    subprocess.run(["dsr2html", path, page], check=True, capture_output=True)
    page.unlink()
    # It prints complaints about every value in UTF-8, which its checker of values does not know.
    subprocess.run(["dcmpschk", path], check=True, capture_output=True)
    # +Pl: long values in full; +Pc: the codes of concept names.
    done = subprocess.run(["dsrdump", "+Pl", "+Pc", path], capture_output=True, text=True, check=True)
    return done.stdout
