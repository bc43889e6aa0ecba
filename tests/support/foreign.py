"""Write small foreign checkpoints with random weights as their authors' programs write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
OPEN_CLIP_CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {
            "timm_model_name": "vit_base_patch16_224",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 64,
        },
        "text_cfg": {
            "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
            "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
            "proj": "mlp",
            "pooler_type": "cls_last_hidden_state_pooler",
            "context_length": 48,
        },
    },
    "preprocess_cfg": {"mean": MEAN, "std": STD},
}

WORDS = ("pleural", "effusion", "no", "the", "lungs", "are", "clear", "pneumothorax", "cardiomegaly")


class Holder(nn.Module):
    """A module that only names its parts."""

    def __getattr__(self, name: str) -> Any:
        """Return a part."""
        return super().__getattr__(name)


def randomise(module: nn.Module, seed: int = 0) -> Any:
    """Give every weight a noticeable value that fp16 holds exactly, and put the module in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            std = 0.1 if tensor.ndim < 2 else tensor[0].numel() ** -0.5
            noise = torch.randn(tensor.shape, generator=generator) * std
            is_norm = tensor.ndim == 1 and name.endswith("weight")
            tensor.copy_((noise + 1.0 if is_norm else noise).half().float())
    return module.eval()


def clip_tokenizer(folder: Path) -> Path:
    """Write CLIP's tokenizer files, vocab.json and merges.txt, for letters and a few words."""
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    merges: list[str] = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            if f"{parts[0]} {parts[1]}" not in merges:
                merges.append(f"{parts[0]} {parts[1]}")
            parts = [parts[0] + parts[1], *parts[2:]]
            if parts[0] not in pieces:
                pieces.append(parts[0])
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    return folder


def vocabulary_size(folder: Path) -> int:
    """Return the vocabulary size of the tokenizer that `clip_tokenizer` wrote."""
    return len(json.loads((folder / "vocab.json").read_text(encoding="utf-8")))


def bert_tokenizer(folder: Path) -> int:
    """Write BERT's tokenizer file, vocab.txt; returns its size."""
    from tiny import _vocabulary

    folder.mkdir(parents=True, exist_ok=True)
    pieces = list(_vocabulary())
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return len(pieces)


def siglip_tokenizer(folder: Path) -> int:
    """Write a unigram tokenizer that ends and pads texts with ``</s>``, like SigLIP's; returns its size."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = [("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    pieces += [(letter, -6.0) for letter in letters]
    pieces += [(f"▁{word}", -2.0) for word in WORDS]
    tokenizer: Any = Tokenizer(models.Unigram(pieces, unk_id=1))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(r"[.,!?]"), "")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"pad_token": "</s>", "tokenizer_class": "SiglipTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return len(pieces)


class QuickGELU(nn.Module):
    """Compute x * sigmoid(1.702 x)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute it as OpenAI's code does."""
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """A residual attention block as OpenAI's CLIP describes it."""

    def __init__(self, width: int, heads: int, act: type[nn.Module]):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, width * 4))
        self.mlp.add_module("gelu", act())
        self.mlp.add_module("c_proj", nn.Linear(width * 4, width))
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """(L, N, C) -> (L, N, C)."""
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        mixed: torch.Tensor = self.mlp(self.ln_2(x))
        return x + mixed


class Transformer(nn.Module):
    """Run blocks in sequence."""

    def __init__(self, width: int, layers: int, heads: int, act: type[nn.Module] = QuickGELU):
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, heads, act) for _ in range(layers))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(N, L, C) -> (N, L, C)."""
        x = x.transpose(0, 1)
        for block in self.resblocks:
            x = block(x, mask)
        return x.transpose(0, 1)


class Visual(nn.Module):
    """The vision transformer of OpenAI's CLIP."""

    def __init__(
        self, size: int, patch: int, width: int, dim: int, act: type[nn.Module] = QuickGELU, head: int = 64
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros((size // patch) ** 2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, 2, width // head, act)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, dim))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the image's embedding (N, D), and each patch's (N, P, D) by the same two steps."""
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(x), 1, -1)
        x = self.ln_pre(torch.cat([first, x], dim=1) + self.positional_embedding)
        x = self.ln_post(self.transformer(x)) @ self.proj
        return x[:, 0], x[:, 1:]


class OpenAIClip(nn.Module):
    """CLIP with a vision transformer, from the published description; open_clip's own towers are the same.

    Parameters
    ----------
    vocabulary, size, patch, dim, length
        Its sizes.
    act
        The activation: open_clip's default is plain GELU.
    head
        Channels of each head of the image tower; those of the text tower's two heads if it is not 64.
    """

    def __init__(
        self,
        vocabulary: int,
        size: int = 64,
        patch: int = 16,
        dim: int = 24,
        length: int = 77,
        act: type[nn.Module] = QuickGELU,
        head: int = 64,
    ):
        super().__init__()
        width = 64
        self.visual = Visual(size, patch, 128, dim, act, head)
        self.transformer = Transformer(width, 2, 1 if head == 64 else 2, act)
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.zeros(length, width))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, dim))
        self.logit_scale = nn.Parameter(torch.tensor(2.5))

    def encode_text(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed ids (N, 77), padded with 0: the text (N, D) and each token (N, 77, D)."""
        length = ids.shape[1]
        mask = torch.full((length, length), float("-inf")).triu(1)
        x = self.token_embedding(ids) + self.positional_embedding
        x = self.ln_final(self.transformer(x, mask)) @ self.text_projection
        return x[torch.arange(len(x)), ids.argmax(dim=-1)], x


class TimmBlock(nn.Module):
    """A block of timm's vision transformer."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Holder(), Holder()
        self.attn.qkv, self.attn.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, L, C) -> (N, L, C)."""
        n, length, width = x.shape
        qkv = self.attn.qkv(self.norm1(x)).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(dim=-1) @ v
        x = x + self.attn.proj(y.transpose(1, 2).reshape(n, length, width))
        mixed: torch.Tensor = self.mlp.fc2(nn.functional.gelu(self.mlp.fc1(self.norm2(x))))
        return x + mixed


class Trunk(nn.Module):
    """timm's vision transformer without its head."""

    def __init__(self, size: int, patch: int, width: int):
        super().__init__()
        self.patch_embed = Holder()
        self.patch_embed.proj = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, width))
        self.blocks = nn.ModuleList(TimmBlock(width, width // 64) for _ in range(2))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, S, S) -> (N, 1 + P, C)."""
        x = self.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        states: torch.Tensor = self.norm(x)
        return states


class BiomedClip(nn.Module):
    """open_clip's CustomTextCLIP with a timm ViT and a BERT, from the published description."""

    def __init__(self, vocabulary: int, size: int = 64, patch: int = 16, dim: int = 24):
        from transformers import BertConfig, BertModel

        super().__init__()
        self.visual, self.text = Holder(), Holder()
        self.visual.trunk = Trunk(size, patch, 128)
        self.visual.head = Holder()
        self.visual.head.proj = nn.Linear(128, dim, bias=False)
        bert = BertConfig(
            vocab_size=vocabulary,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=1,
            intermediate_size=96,
            max_position_embeddings=64,
        )
        self.text.transformer = BertModel(bert, add_pooling_layer=False)
        hidden = (64 + dim) // 2
        self.text.proj = nn.Sequential(
            nn.Linear(64, hidden, bias=False), nn.GELU(), nn.Linear(hidden, dim, bias=False)
        )
        self.logit_scale = nn.Parameter(torch.tensor(4.0))

    def encode_image(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the image's embedding (N, D) and each patch's (N, P, D)."""
        x = self.visual.head.proj(self.visual.trunk(pixels))
        return x[:, 0], x[:, 1:]

    def encode_text(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed ids (N, T), padded with 0: the text (N, D) and each token (N, T, D)."""
        states = self.text.transformer(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
        x = self.text.proj(states)
        return x[:, 0], x
