"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a name beside a file to write under: it becomes the file when the block ends, or is removed.

    The name is this writer's own, so that two may write the same file at the same time, on two machines too.
    """
    partial = path.with_name(f".{path.name}.{token_hex(4)}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
