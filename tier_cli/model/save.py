"""Write a self-contained checkpoint folder."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from tier_cli.errors import CheckpointError
from tier_cli.findings.load import builtin, builtin_names
from tier_cli.model.checkpoint import (
    CHECKSUMS,
    FINDINGS,
    PREPROCESSING,
    TOKENIZER,
    TRAINING,
    WEIGHTS,
    open_checkpoint,
    write_checksums,
    write_json,
)
from tier_cli.model.copying import is_own
from tier_cli.model.loading import quiet_transformers

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.modeling import TierModel

Precision = Literal["float16", "float32"]

_TOKENIZER_FILES = (TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def save_checkpoint(
    folder: str | Path,
    model: TierModel,
    tokenizer: str | Path | Any,
    preprocessing: Preprocessing,
    findings: FindingSet,
    training: dict[str, Any],
    precision: Precision = "float16",
    builtin_vectors: bool = True,
) -> dict[str, float]:
    """Write everything needed to score an image: weights, graphs, tokenizer, vectors, checksums.

    Parameters
    ----------
    folder
        Created if missing; files of the same names are replaced, others are kept.
    model
        On any device, in any precision; not modified.
    tokenizer
        A folder with tokenizer.json, a `tokenizers.Tokenizer`, or a transformers tokenizer.
    preprocessing, findings
        Preprocessing of images, and the checkpoint's own finding set.
    training
        The content of training.json: data, seeds, versions, lambdas, entropy mode.
    precision
        Precision of the stored weights.
    builtin_vectors
        Also store the vectors of the built-in finding sets; otherwise they are computed at first use.

    Returns
    -------
    dict
        Difference of each graph from torch, see `export_graphs`.

    Raises
    ------
    CheckpointError
        A weight does not fit into the precision, or a graph disagrees with torch.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Deleted first and written last: an incomplete folder does not open.
    (folder / CHECKSUMS).unlink(missing_ok=True)
    save_weights(folder, model, precision)
    _save_tokenizer(folder, tokenizer)
    write_json(folder / PREPROCESSING, preprocessing.to_dict())
    (folder / FINDINGS).write_text(findings.to_toml(), encoding="utf-8")
    write_json(folder / TRAINING, training)
    return complete(folder, builtin_vectors)


def save_weights(folder: Path, model: TierModel, precision: Precision = "float16") -> None:
    """Write config.json and model.safetensors."""
    stored = copy.deepcopy(model).to("cpu", getattr(torch, precision))
    lost = [name for name, tensor in stored.state_dict().items() if not torch.isfinite(tensor).all()]
    if lost:
        raise CheckpointError(
            f"not finite in {precision}: {', '.join(lost[:20])}", remedy="the training has diverged"
        )
    with quiet_transformers():
        stored.save_pretrained(folder)
    # safetensors makes its files readable only by their owner, which fails in a shared folder or a wheel.
    (folder / WEIGHTS).chmod(0o644)


def complete(folder: Path, builtin_vectors: bool = True) -> dict[str, float]:
    """Write graphs, checksums and vectors (of its own and the built-in finding sets) from the other files."""
    from tier_cli.model.export import export_graphs
    from tier_cli.model.finding_vectors import store_vectors
    from tier_cli.model.torch_engine import TorchEngine

    differences = export_graphs(folder)
    # The first list provides the hashes that key the vectors, the second includes the vectors.
    write_checksums(folder)
    checkpoint = open_checkpoint(folder)
    sets = [checkpoint.findings, *(builtin(name) for name in builtin_names() if builtin_vectors)]
    store_vectors(checkpoint, sets, TorchEngine(checkpoint))
    write_checksums(folder)
    return differences


def _save_tokenizer(folder: Path, tokenizer: Any) -> None:
    if isinstance(tokenizer, (str, Path)):
        source = Path(tokenizer)
        if not is_own(source / TOKENIZER):
            raise CheckpointError(
                f"no {TOKENIZER}", where=str(source), remedy="name a folder that contains one"
            )
        for name in _TOKENIZER_FILES:
            if is_own(source / name) and source.resolve() != folder.resolve():
                shutil.copyfile(source / name, folder / name)
    elif hasattr(tokenizer, "save_pretrained"):
        tokenizer.save_pretrained(folder)
    else:
        tokenizer.save(str(folder / TOKENIZER))
