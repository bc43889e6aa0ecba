"""Define the embedding of one image, and the metadata of a file of embeddings."""

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
class EmbeddingResult:
    """An image as a unit vector, or the error that prevented it.

    Parameters
    ----------
    path
        The file as given or discovered.
    study, series, instance, view
        DICOM instance UIDs and the view; empty if unknown.
    vector, norm
        L2-normalised, float32 (D,), and its length before normalisation; None and 0 if `error` is set.
    patches, patch_norms
        L2-normalised, float32 (P, D), row by row of `grid`, and their lengths (P,) before normalisation; None
        unless requested.
    grid
        Rows and columns of patches.
    notes
        Sentences about how the pixels were obtained. Never patient data.
    error
        The reason why the file was not embedded.
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

    def hashed(self, hash_text: Callable[[str], str], note: str) -> EmbeddingResult:
        """Return a copy with hashed path and UIDs, and with `note` added unless it is empty."""
        return replace(
            self,
            path=hash_text(self.path),
            study=hash_text(self.study),
            series=hash_text(self.series),
            instance=hash_text(self.instance),
            notes=(*self.notes, note) if note else self.notes,
        )


@dataclass(frozen=True)
class EmbeddingSpace:
    """The space that vectors belong to; only vectors of one space can be compared.

    Parameters
    ----------
    model
        The checkpoint's name, for people.
    hashes
        SHA-256 of ``weights``, ``preprocessing`` and ``tokenizer``.
    dimension
        D.
    precision
        The number type in the file.
    with_patches
        Whether the file holds patches.
    """

    model: str
    hashes: dict[str, str]
    dimension: int
    precision: Precision = "float32"
    with_patches: bool = False

    def metadata(
        self, embedded: int, failed: int, grid: tuple[int, int] | None, sha256: str
    ) -> dict[str, Any]:
        """Return the metadata of the file; `sha256` is that of the stored image vectors, in order."""
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
