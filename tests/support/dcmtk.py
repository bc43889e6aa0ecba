"""Find DCMTK's programs: others install some of the same names."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest


@cache
def dcmtk(name: str) -> str:
    """Return the path of a program of DCMTK; skip the test without it."""
    for folder in os.get_exec_path():
        found = shutil.which(name, path=folder)
        if found is None:
            continue
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        if "$dcmtk" in said.stdout:
            return found
    pytest.skip(f"DCMTK's {name} is not installed")


def send(port: int, files: Sequence[Path], title: str = "SENDER", to: str = "TIER", *more: str) -> int:
    """Send files with storescu and return its exit code."""
    command = [dcmtk("storescu"), "-aet", title, "-aec", to, *more, "127.0.0.1", str(port)]
    return subprocess.run([*command, *map(str, files)], capture_output=True, check=False).returncode
