"""Read BERT tensors as transformers names them, and the head of CXR-BERT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from tier_cli.model.convert.files import ForeignTensors

# The width of an attention head in all published sizes of BERT.
_HEAD = 64
_CXR_HEAD = {"dense_to_hidden": "linear_in", "LayerNorm": "norm", "dense_to_output": "linear_out"}


def bert_config(foreign: ForeignTensors, prefix: str) -> dict[str, Any]:
    """Return the configuration of a BERT, derived from the shapes of its tensors."""
    vocabulary, width = foreign.shape(prefix + "embeddings.word_embeddings.weight")
    return {
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": foreign.layers(prefix + "encoder.layer.{}."),
        "num_attention_heads": max(1, width // _HEAD),
        "intermediate_size": foreign.shape(prefix + "encoder.layer.0.intermediate.dense.weight")[0],
        "max_position_embeddings": foreign.shape(prefix + "embeddings.position_embeddings.weight")[0],
        "type_vocab_size": foreign.shape(prefix + "embeddings.token_type_embeddings.weight")[0],
        "layer_norm_eps": 1e-12,
    }


def cxr_bert_head(foreign: ForeignTensors, prefix: str) -> dict[str, Tensor]:
    """Return the projection of a CXR-BERT (Boecking et al. 2022), named as in `tier_cli.model.heads`."""
    return {
        f"{new}.{kind}": foreign.take(f"{prefix}cls_projection_head.{old}.{kind}")
        for old, new in _CXR_HEAD.items()
        for kind in ("weight", "bias")
    }


def cxr_bert_left_out(foreign: ForeignTensors, prefix: str) -> tuple[str, ...]:
    """Leave out what no text projection depends on: the masked-language head and the pooler."""
    return foreign.drop("position_ids") + foreign.leave(prefix + "cls.predictions.", prefix + "bert.pooler.")
