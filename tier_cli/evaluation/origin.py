"""How a report came about: so that somebody else can judge it and do it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Origin:
    """How a run came about.

    Parameters
    ----------
    command
        As it was typed.
    versions
        Of the programs that took part.
    files
        SHA-256 by the name of the file: the manifest, files of scores.
    rows_sha256
        Of the images' paths and their labels.
    """

    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    rows_sha256: str = ""
