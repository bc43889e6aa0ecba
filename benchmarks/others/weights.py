"""Write random weights in the layouts of public models, and convert each as `tier model convert` does.

The shapes are the published ones: CheXzero (CLIP ViT-B/32, OpenAI's names), BioViL (ResNet-50 at 480 px and
CXR-BERT) and CLIP ViT-B/32 of transformers. Speed does not depend on what the numbers are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, CLIPConfig, CLIPImageProcessor, CLIPModel

from tier_cli.findings.load import builtin
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.convert import convert

FAMILIES = ("chexzero", "biovil", "clip")
IMAGE_FILE = "biovil_image_resnet50_proj_size_128.pt"
_DIM = 128
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_VOCABULARY = 49408


def model(folder: Path, family: str) -> Path:
    """Write a foreign checkpoint, the prompts as findings.json and the converted folder, unless they exist.

    Returns
    -------
    Path
        The folder: the authors' files, ``findings.json`` with id, positive and negative prompts, and
        ``converted``.
    """
    if (folder / "findings.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    {"chexzero": _chexzero, "biovil": _biovil, "clip": _clip}[family](folder)
    findings = open_checkpoint(folder / "converted").findings.findings
    said = [(finding.id, finding.positive, finding.negative) for finding in findings]
    (folder / "findings.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


def _chexzero(folder: Path) -> None:
    _byte_pairs(folder)
    torch.save(random_weights(dict(_openai_shapes())), folder / "chexzero.pt")
    convert(folder / "chexzero.pt", folder / "converted", tokenizer=folder)


def _biovil(folder: Path) -> None:
    _word_pieces(folder)
    torch.save(random_weights(dict(_biovil_shapes())), folder / IMAGE_FILE)
    bert = BertModel(BertConfig(), add_pooling_layer=False)
    head = {
        "dense_to_hidden": nn.Linear(768, _DIM),
        "LayerNorm": nn.LayerNorm(_DIM, eps=1e-12),
        "dense_to_output": nn.Linear(_DIM, _DIM),
    }
    text = nn.ModuleDict({"bert": bert, "cls_projection_head": nn.ModuleDict(head)})
    torch.save(_random(text.state_dict()), folder / "pytorch_model.bin")
    (folder / "config.json").write_text('{"model_type": "cxr-bert"}', encoding="utf-8")
    convert(folder, folder / "converted")


def _clip(folder: Path) -> None:
    _byte_pairs(folder)
    config = CLIPConfig(text_config={"bos_token_id": 49406, "eos_token_id": 49407})
    clip = CLIPModel(config)
    clip.load_state_dict(_random(clip.state_dict()))
    clip.save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    said = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")
    convert(folder, folder / "converted")


def random_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return tensors of these shapes, random so that different images have different embeddings."""
    whole = {name for name in shapes if name.endswith("num_batches_tracked")}
    made = {name: torch.empty(shape) for name, shape in shapes.items() if name not in whole}
    return _random(made) | {name: torch.tensor(1) for name in whole}


def _random(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        if tensor.ndim > 1:
            tensor.normal_(std=tensor[0].numel() ** -0.5)
        elif tensor.ndim == 1:
            tensor.normal_(std=0.1).add_(float(name.endswith(("running_var", "weight")))).abs_()
        else:
            tensor.fill_(4.6)
    return tensors


def _openai_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes of CLIP ViT-B/32 as OpenAI names them."""
    yield from {
        "positional_embedding": (77, 512),
        "text_projection": (512, 512),
        "logit_scale": (),
        "visual.class_embedding": (768,),
        "visual.positional_embedding": (50, 768),
        "visual.proj": (768, 512),
        "visual.conv1.weight": (768, 3, 32, 32),
        "token_embedding.weight": (_VOCABULARY, 512),
    }.items()
    for name, width in (("visual.ln_pre", 768), ("visual.ln_post", 768), ("ln_final", 512)):
        yield from _pair(name, width)
    for tower, width in (("visual.", 768), ("", 512)):
        for number in range(12):
            block = f"{tower}transformer.resblocks.{number}."
            yield block + "attn.in_proj_weight", (3 * width, width)
            yield block + "attn.in_proj_bias", (3 * width,)
            yield from _pair(block + "attn.out_proj", width, width)
            yield from _pair(block + "mlp.c_fc", 4 * width, width)
            yield from _pair(block + "mlp.c_proj", width, 4 * width)
            yield from (*_pair(block + "ln_1", width), *_pair(block + "ln_2", width))


def _biovil_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes of BioViL's image model: torchvision's ResNet-50 and a projector."""
    encoder, projector = "encoder.encoder.", "projector.model."
    yield encoder + "conv1.weight", (64, 3, 7, 7)
    yield from _norm(encoder + "bn1", 64)
    channels = 64
    for stage, count in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for number in range(count):
            block = f"{encoder}layer{stage + 1}.{number}."
            shapes = ((width, channels, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1))
            for place, shape in enumerate(shapes, 1):
                yield f"{block}conv{place}.weight", shape
                yield from _norm(f"{block}bn{place}", shape[0])
            if number == 0:
                yield block + "downsample.0.weight", (4 * width, channels, 1, 1)
                yield from _norm(block + "downsample.1", 4 * width)
            channels = 4 * width
    yield from _pair(encoder + "fc", 1000, 2048)
    yield projector + "0.weight", (_DIM, 2048, 1, 1)
    yield from _norm(projector + "1", _DIM)
    yield from _pair(projector + "3", _DIM, _DIM, 1, 1)


def _pair(name: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name + ".weight", shape
    yield name + ".bias", shape[:1]


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _pair(name, width)
    for statistic in ("running_mean", "running_var"):
        yield f"{name}.{statistic}", (width,)
    yield f"{name}.num_batches_tracked", ()


def _words() -> list[str]:
    prompts = [
        text for one in builtin("chexpert14").findings for text in (one.label, *one.positive, *one.negative)
    ]
    return sorted(set(re.findall(r"\w+|[^\w\s]", " ".join(prompts).lower())))


def _byte_pairs(folder: Path) -> None:
    """Write CLIP's two tokenizer files; a word of the prompts is a few tokens, as in the real ones."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: dict[tuple[str, str], str] = {}
    for word in _words():
        made, *rest = [*word[:-1], word[-1] + "</w>"]
        for letter in rest:
            merges[made, letter] = made + letter
            made += letter
    pieces = dict.fromkeys([*letters, *(f"{letter}</w>" for letter in letters), *merges.values()])
    pieces |= dict.fromkeys(f"unused {number}" for number in range(_VOCABULARY - 2 - len(pieces)))
    pieces |= dict.fromkeys(("<|startoftext|>", "<|endoftext|>"))
    (folder / "vocab.json").write_text(
        json.dumps({piece: number for number, piece in enumerate(pieces)}), encoding="utf-8"
    )
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _word_pieces(folder: Path) -> None:
    """Write BERT's tokenizer file with its vocabulary size and every word of the prompts."""
    pieces = [*_SPECIAL, *_words()]
    pieces += [f"[unused{number}]" for number in range(BertConfig().vocab_size - len(pieces))]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
