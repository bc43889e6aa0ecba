"""Measure a model on unseen phantoms: zero-shot AUC, and how sparse and well placed its similarities are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from tier_cli.datasets.manifest import Manifest
from tier_cli.findings.load import load_findings
from tier_cli.findings.vectors import embed_findings
from tier_cli.imaging.preprocess import Preprocessing, prepare
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.model.losses import patch_entropy, token_entropy
from tier_cli.model.modeling import TierModel
from tier_cli.model.tokens import TextTokenizer, embed_in_batches
from tier_cli.phantom.lesions import FINDINGS
from tier_cli.scoring.score import score

Array = NDArray[np.float64]
# Captions with fewer tokens are left out of the profile over tokens.
TOKENS_RANKED = 12
_BATCH = 64


def inputs_of(manifest: Manifest, spec: Preprocessing) -> tuple[torch.Tensor, Array]:
    """Return pixels (N, 3, S, S) and the share (N, F, P) of each 16 px patch that a finding's boxes cover."""
    options = ReadOptions(rendering=spec.rendering, views="all")
    pixels, covered = [], []
    for path, cell in zip(manifest.paths, manifest.column("boxes"), strict=True):
        radiograph = read_radiograph(path, options).pixels
        pixels.append(prepare(radiograph, spec).pixels)
        covered.append(_covered(json.loads(cell), radiograph.shape, spec))
    return torch.from_numpy(np.stack(pixels)), np.stack(covered)


def _covered(boxes: list[dict[str, Any]], shape: tuple[int, ...], spec: Preprocessing) -> Array:
    scale = (spec.resize_short or min(shape)) / min(shape)
    edge = [(length * scale - spec.crop) / 2 for length in shape]
    drawn = np.zeros((len(FINDINGS), spec.crop, spec.crop))
    for one in boxes:
        x0, y0, x1, y1 = (round(value * scale) for value in one["box"])
        rows = slice(max(round(y0 - edge[0]), 0), max(round(y1 - edge[0]), 0))
        columns = slice(max(round(x0 - edge[1]), 0), max(round(x1 - edge[1]), 0))
        drawn[FINDINGS.index(one["finding"]), rows, columns] = 1
    grid = spec.crop // 16
    return drawn.reshape(len(FINDINGS), grid, 16, grid, 16).mean(axis=(2, 4)).reshape(len(FINDINGS), -1)


@torch.inference_mode()
def measure(
    folder: Path,
    manifest: Manifest,
    texts: list[str],
    pixels: torch.Tensor,
    covered: Array,
    finding_set: Path,
) -> dict[str, Any]:
    """Return all numbers of one checkpoint; the keys name them."""
    model = TierModel.from_pretrained(folder).eval()
    tokenizer = TextTokenizer(folder, model.config.max_tokens)
    parts = [model.encode_images(pixels[i : i + _BATCH]) for i in range(0, len(pixels), _BATCH)]
    pooled = torch.cat([part.pooled for part in parts])
    patches = functional.normalize(torch.cat([part.patches for part in parts]), dim=-1)
    findings = load_findings(str(finding_set))
    chosen = [list(findings.ids).index(name) for name in FINDINGS]

    def encode(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        made: NDArray[np.float32] = model.encode_texts(torch.tensor(ids), torch.tensor(mask)).pooled.numpy()
        return made

    vectors = embed_findings(findings, lambda texts: embed_in_batches(texts, encode, tokenizer))
    scores = score(pooled.numpy(), vectors)[:, chosen]
    labels = np.stack([manifest.frame[name].astype(int) for name in FINDINGS], axis=1)
    auc = {name: float(roc_auc_score(labels[:, i], scores[:, i])) for i, name in enumerate(FINDINGS)}
    positive = np.asarray(vectors.positive)[chosen]
    maps = patches.numpy() @ (positive / np.linalg.norm(positive, axis=1, keepdims=True)).T
    return {
        "auc": {"mean": float(np.mean(list(auc.values()))), **auc},
        "boxes": in_boxes(maps.transpose(0, 2, 1), covered),
        **sparsity(model, tokenizer, texts, patches),
    }


def in_boxes(maps: Array, covered: Array) -> dict[str, dict[str, float]]:
    """Measure where the similarities (N, F, P) of a finding's prompts lie on images that show it.

    A patch counts as inside when a box touches it, because a nodule is smaller than a patch. `share` is the
    share of all positive similarity that lies inside, `chance` the share of patches inside, `hit` how often
    the most similar patch is inside, `contrast` the mean similarity inside minus that outside.
    """
    made: dict[str, dict[str, float]] = {}
    for number, name in enumerate(FINDINGS):
        there = covered[:, number].sum(axis=1) > 0
        s, inside = maps[there, number], (covered[there, number] > 0).astype(float)
        above, chance = np.clip(s, 0, None), inside.mean(axis=1)
        total = above.sum(axis=1)
        share = np.where(total > 0, (above * inside).sum(axis=1) / np.maximum(total, 1e-12), chance)
        outside = 1 - inside
        contrast = (s * inside).sum(1) / inside.sum(1) - (s * outside).sum(1) / outside.sum(1)
        hit = inside[np.arange(len(s)), s.argmax(axis=1)] > 0
        columns = {"share": share, "chance": chance, "hit": hit, "contrast": contrast}
        made[name] = {"images": int(there.sum()), **{key: float(v.mean()) for key, v in columns.items()}}
    keys = ("share", "chance", "hit", "contrast")
    made["mean"] = {key: float(np.mean([made[name][key] for name in FINDINGS])) for key in keys}
    return made


def sparsity(
    model: TierModel, tokenizer: TextTokenizer, texts: list[str], patches: torch.Tensor
) -> dict[str, Any]:
    """Return Hoyer's sparsity, shares above 0.1, entropies and profiles for matched captions and images."""
    hoyer, above, positive, by_patch, by_token, entropies = [], [], [], [], [], []
    for first in range(0, len(texts), _BATCH):
        ids, mask = (torch.from_numpy(part) for part in tokenizer(texts[first : first + _BATCH]))
        tokens = functional.normalize(model.encode_texts(ids, mask).tokens, dim=-1)
        s = tokens @ patches[first : first + _BATCH].transpose(1, 2)
        valid = mask.bool()
        entropies.append((patch_entropy(s, mask).item(), token_entropy(s, mask).item()))
        rows = s[valid]
        root = rows.shape[1] ** 0.5
        hoyer.append((root - rows.abs().sum(1) / rows.norm(dim=1)) / (root - 1))
        above.append((rows.abs() > 0.1).float().mean(1))
        positive.append((rows > 0.1).float().mean(1))
        by_patch.append(rows.sort(dim=1, descending=True).values)
        long = valid.sum(1) >= TOKENS_RANKED
        ranked = s.masked_fill(~valid[:, :, None], -2)[long].sort(dim=1, descending=True).values
        by_token.append(ranked[:, :TOKENS_RANKED].transpose(1, 2).flatten(0, 1))
    return {
        "hoyer": torch.cat(hoyer).mean().item(),
        "share_above_0.1": torch.cat(above).mean().item(),
        "share_positive_above_0.1": torch.cat(positive).mean().item(),
        "patch_entropy": float(np.mean([one[0] for one in entropies])),
        "token_entropy": float(np.mean([one[1] for one in entropies])),
        "profile_over_patches": torch.cat(by_patch).mean(0).tolist(),
        "profile_over_tokens": torch.cat(by_token).mean(0).tolist(),
    }
