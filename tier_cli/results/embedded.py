"""One embedded image, and what a file of embeddings says about itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from tier_cli.results.record import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

FORMAT = "tier embeddings"
SCHEMA_VERSION = 1
# The key of the JSON object in Parquet's metadata, and the name of the array in NPZ.
METADATA = "tier"

Precision = Literal["float32", "float16"]


@dataclass(frozen=True, eq=False, slots=True)
class Embedded:
    """An image as a unit vector, or why there is none.

    Parameters
    ----------
    path
        As it was given or discovered.
    study, series, instance, view
        DICOM instance UIDs and the view; empty where unknown.
    vector, norm
        float32 (D,) of length 1, and its length before; None and 0 where `error` is set.
    patches, patch_norms
        float32 (P, D) of length 1 each, row by row of `grid`, and their lengths (P,) before; where asked for.
    grid
        Rows and columns of patches.
    notes
        Sentences about how the pixels were obtained. Never patient data.
    error
        Why nothing was embedded.
    """

    path: str
    study: str = ""
    series: str = ""
    instance: str = ""
    view: str = ""
    vector: NDArray[np.float32] | None = None
    norm: float = 0.0
    patches: NDArray[np.float32] | None = None
    patch_norms: NDArray[np.float32] | None = None
    grid: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    error: Failure | None = None

    def hashed(self, hash_text: Callable[[str], str], note: str) -> Embedded:
        """Give it with path and UIDs hashed, and a note about that unless it is empty."""
        return replace(
            self,
            path=hash_text(self.path),
            study=hash_text(self.study),
            series=hash_text(self.series),
            instance=hash_text(self.instance),
            notes=(*self.notes, note) if note else self.notes,
        )


@dataclass(frozen=True)
class Space:
    """Which vectors these are: vectors of one space can be compared.

    Parameters
    ----------
    model
        The checkpoint's name, for people.
    hashes
        SHA-256 of ``weights``, ``preprocessing`` and ``tokenizer``.
    dimension
        D.
    precision
        How numbers are stored.
    with_patches
        Whether patches are there.
    """

    model: str
    hashes: dict[str, str]
    dimension: int
    precision: Precision = "float32"
    with_patches: bool = False

    def metadata(
        self, embedded: int, failed: int, grid: tuple[int, int] | None, sha256: str
    ) -> dict[str, Any]:
        """Give what the file says about itself; `sha256` is that of the stored image vectors, in order."""
        return {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "model": {"name": self.model, "hashes": dict(self.hashes)},
            "dimension": self.dimension,
            "dtype": self.precision,
            "normalised": True,
            "patch_grid": list(grid) if grid else None,
            "embedded": embedded,
            "failed": failed,
            "sha256": sha256,
        }
