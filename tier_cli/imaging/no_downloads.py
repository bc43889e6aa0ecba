"""Keep pydicom from importing what it downloads with."""

from __future__ import annotations

import sys


def without_requests() -> None:
    """Keep this process from importing requests, which pydicom does to download its own test data.

    The import opens a socket: urllib3 looks whether IPv6 works.
    """
    # None is how Python marks an import as blocked; a module that is there stays.
    sys.modules.setdefault("requests", None)  # type: ignore[arg-type]
