"""How a run of `tier eval` came about, for its JSON and its page."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.evaluation.candidates import is_table

if TYPE_CHECKING:
    from tier_cli.commands.evaluate.data import Data
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.origin import Origin

_PACKAGES = ("numpy", "torch", "onnxruntime", "transformers", "pillow", "pydicom", "matplotlib")


def origin_of(evaluation: Evaluation, source: Data, scores: Sequence[str]) -> Origin:
    """Command, versions and hashes.

    Parameters
    ----------
    evaluation
        What was scored.
    source
        The data.
    scores
        What was measured, as it was given; files of scores are hashed.
    """
    from tier_cli.evaluation.fitted_on import rows_hash
    from tier_cli.evaluation.origin import Origin
    from tier_cli.model.checkpoint import file_hash

    tables = [Path(text) for text in scores if is_table(text)]
    files = [*([source.data] if source.data is not None else []), *tables]
    return Origin(
        command=_command(source),
        versions=dict(_versions()),
        files={str(file): file_hash(file) for file in files},
        rows_sha256=rows_hash(evaluation.selection.manifest, evaluation.truth),
    )


def _command(source: Data) -> str:
    root = os.environ.get("TIER_DATA_ROOT")
    uses_root = source.info is not None and source.root is None and root
    return (f"TIER_DATA_ROOT={shlex.quote(root or '')} " if uses_root else "") + shlex.join(
        ["tier", *sys.argv[1:]]
    )


def _versions() -> Iterator[tuple[str, str]]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from tier_cli import __version__

    yield "tier-cli", __version__
    yield "Python", platform.python_version()
    for name in _PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
