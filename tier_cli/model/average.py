"""Average the weights of several checkpoints, such as the best epochs of one training run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tier_cli.errors import CheckpointError, UsageError
from tier_cli.files.atomic import check_new_folder
from tier_cli.model.checkpoint import (
    CONFIG,
    FINDINGS,
    PREPROCESSING,
    TOKENIZER,
    TRAINING,
    WEIGHTS,
    Checkpoint,
    open_checkpoint,
    read_json,
    refuse_quantised,
    write_json,
)
from tier_cli.model.copying import CARD, checkpoint_copy
from tier_cli.model.save import complete
from tier_cli.model.trained_on import read_trained_on, write_trained_on

_KEPT = (
    CONFIG,
    PREPROCESSING,
    FINDINGS,
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
# Properties of the program that saved a folder, not of the model.
_NOT_MODEL = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


def average(models: Sequence[str], output: Path, shares: Sequence[float] | None = None) -> dict[str, Any]:
    """Write a checkpoint with the mean of the weights of several (Izmailov et al. 2018, SWA).

    Floating point tensors are averaged in float64 and stored in the precision of the first checkpoint.
    BatchNorm statistics are averaged like weights; counters are taken from the first checkpoint.

    Parameters
    ----------
    models
        Two or more names or folders, of equal configuration, tokenizer and preprocessing.
    output
        A new folder, with the finding set of the first checkpoint and its own graphs and vectors.
    shares
        Share of each checkpoint, positive; they are divided by their sum. None: equal shares. Unequal ones
        interpolate a fine-tuned model with the one it came from (Wortsman et al., "Robust fine-tuning of
        zero-shot models", CVPR 2022).

    Returns
    -------
    dict
        The content of its training.json.

    Raises
    ------
    CheckpointError
        A folder is not a checkpoint, or differs from the first in more than its weights.
    UsageError
        Fewer than two checkpoints, repeated weights, unusable shares, or an existing output.
    """
    check_new_folder(output)
    shares = _normalised(shares, len(models))
    checkpoints = [open_checkpoint(model) for model in models]
    _check(checkpoints)
    tensors, metadata = _mean([checkpoint.path / WEIGHTS for checkpoint in checkpoints], shares)
    members = [_member(one, share) for one, share in zip(checkpoints, shares, strict=True)]
    facts: dict[str, Any] = {"average_of": members}
    first = checkpoints[0].path
    left_out = [file.name for file in first.iterdir() if file.name not in _KEPT]
    with checkpoint_copy(first, output, left_out) as folder:
        save_file(tensors, folder / WEIGHTS, metadata)
        (folder / WEIGHTS).chmod(0o644)
        write_json(folder / TRAINING, facts)
        if runs := [run for checkpoint in checkpoints for run in read_trained_on(checkpoint.path)]:
            write_trained_on(folder, runs)
        (folder / CARD).write_text(_card(output.name, members), encoding="utf-8")
        complete(folder)
    return facts


def _normalised(shares: Sequence[float] | None, count: int) -> list[float]:
    """Return shares that add up to 1."""
    if shares is None:
        return [1 / max(count, 1)] * count
    if len(shares) != count or not all(math.isfinite(share) and share > 0 for share in shares):
        raise UsageError(
            f"needs {count} positive numbers, one per checkpoint",
            where="--weights",
            remedy="give for example --weights 0.3,0.7 for two checkpoints",
        )
    return [share / sum(shares) for share in shares]


def _member(checkpoint: Checkpoint, share: float) -> dict[str, Any]:
    """Return the record of a member: with that of its training, and what selected it if it is an epoch."""
    file = checkpoint.path / TRAINING
    member = {"name": checkpoint.name, "weights": checkpoint.hashes["weights"], "share": round(share, 6)}
    if not file.is_file():
        return member
    training = read_json(file)
    chosen_by = training.get("chosen_by")
    return {**member, **({} if chosen_by is None else {"chosen_by": str(chosen_by)}), "training": training}


def _check(checkpoints: Sequence[Checkpoint]) -> None:
    if len(checkpoints) < 2:
        raise UsageError("needs at least two checkpoints", remedy="name two or more")
    first, seen = checkpoints[0], set()
    for other in checkpoints:
        refuse_quantised(other.path, other.config)
        same = {
            "configuration": _model(other) == _model(first),
            "tokenizer": other.hashes["tokenizer"] == first.hashes["tokenizer"],
            "preprocessing": other.hashes["preprocessing"] == first.hashes["preprocessing"],
        }
        different = [name for name, equal in same.items() if not equal]
        if different:
            raise CheckpointError(
                f"differs from {first.name} in {', '.join(different)}",
                where=str(other.path),
                remedy="average checkpoints of one training run; to average scores instead, repeat --model",
            )
        if other.hashes["weights"] in seen:
            raise UsageError(
                "has the weights of another checkpoint", where=str(other.path), remedy="remove one"
            )
        seen.add(other.hashes["weights"])


def _model(checkpoint: Checkpoint) -> dict[str, Any]:
    return {key: value for key, value in checkpoint.config.items() if key not in _NOT_MODEL}


def _mean(paths: Sequence[Path], shares: Sequence[float]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Average each tensor, opening one file at a time."""
    sums: dict[str, torch.Tensor] = {}
    kinds: dict[str, torch.dtype] = {}
    metadata: dict[str, str] = {"format": "pt"}
    for number, (path, share) in enumerate(zip(paths, shares, strict=True)):
        with safe_open(str(path), framework="pt") as file:
            names = set(file.keys())
            if number == 0:
                metadata = file.metadata() or metadata
            elif names != set(sums):
                raise _other_tensors(path, sorted(names ^ set(sums)))
            for name in names:
                _add(sums, kinds, name, file.get_tensor(name), share, path)
    means = {
        name: total.to(kinds[name]) if kinds[name].is_floating_point else total
        for name, total in sums.items()
    }
    lost = sorted(name for name, tensor in means.items() if not torch.isfinite(tensor).all())
    if lost:
        raise CheckpointError(
            f"the mean is not finite: {', '.join(lost[:20])}", remedy="check each with `tier model verify`"
        )
    return means, metadata


def _add(
    sums: dict[str, torch.Tensor],
    kinds: dict[str, torch.dtype],
    name: str,
    tensor: torch.Tensor,
    share: float,
    path: Path,
) -> None:
    if name not in sums:
        kinds[name] = tensor.dtype
        sums[name] = tensor.double() * share if tensor.dtype.is_floating_point else tensor
    elif tensor.shape != sums[name].shape:
        raise _other_tensors(path, [name])
    elif tensor.dtype.is_floating_point:
        sums[name] += tensor.double() * share


def _other_tensors(path: Path, names: Sequence[str]) -> CheckpointError:
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return CheckpointError(
        f"its tensors differ from those of the first checkpoint: {shown}",
        where=str(path),
        remedy="average checkpoints of one training run",
    )


def _card(name: str, members: Sequence[dict[str, Any]]) -> str:
    lines = [f"- {one['name']}, weights {one['weights']}, share {one['share']:.4g}" for one in members]
    chosen_by = sorted({member["chosen_by"] for member in members if "chosen_by" in member})
    chosen = (
        f"\n\nThey were selected by the {', '.join(chosen_by)}. Because labelled images selected them, "
        "the average is not strictly zero-shot for those findings."
    )
    return (
        f"# {name}\n\nFor research use only; not a medical device. The mean of the weights of these "
        "checkpoints, made by `tier model average`:\n\n"
        + "\n".join(lines)
        + (chosen if chosen_by else "")
        + "\n\nTheir results do not apply to this average: measure it with `tier eval`.\n"
    )
