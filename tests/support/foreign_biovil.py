"""Rebuild BioViL, BioViL-T and the TIER authors' model in plain torch, with random weights, as published."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from foreign import Holder, bert_tokenizer, randomise
from torch import nn
from torch.nn.functional import gelu, relu

DIM = 24


class Bottleneck(nn.Module):
    """A block of torchvision's ResNet: the 3x3 convolution has the stride."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        out = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, 4 width, H / stride, W / stride)."""
        y = relu(self.bn1(self.conv1(x)))
        y = relu(self.bn2(self.conv2(y)))
        return relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """torchvision's ResNet with narrow bottlenecks; the files hold its classifier `fc`, which is unused."""

    def __init__(self, width: int = 8, blocks: tuple[int, ...] = (2, 1, 2, 1)):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for stage, count in enumerate(blocks):
            layers = []
            for number in range(count):
                layers.append(Bottleneck(channels, width * 2**stage, 2 if stage and not number else 1))
                channels = 4 * width * 2**stage
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(channels, 10)
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, C, H / 32, W / 32)."""
        x = nn.functional.max_pool2d(relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return x


class Projector(nn.Module):
    """Project every patch."""

    def __init__(self, channels: int):
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(channels, DIM, 1, bias=False), nn.BatchNorm2d(DIM), nn.ReLU(), nn.Conv2d(DIM, DIM, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, D, h, w)."""
        projected: torch.Tensor = self.model(x)
        return projected


class ImageModel(nn.Module):
    """BioViL's image model, or with `temporal` that of BioViL-T without a previous image."""

    def __init__(self, temporal: bool = False):
        super().__init__()
        self.encoder = Holder()
        self.encoder.encoder = ResNet()
        self.temporal = temporal
        width = self.encoder.encoder.channels
        if temporal:
            self.encoder.backbone_to_vit = nn.Conv2d(width, 16, 1, bias=False)
            self.encoder.missing_previous_emb = nn.Parameter(torch.zeros(1, 16, 1, 1))
            self.encoder.vit_pooler = nn.Linear(16, 16)
        self.projector = Projector(32 if temporal else width)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the image's embedding (N, D), the mean of its patches, and the patches (N, P, D)."""
        x = self.encoder.encoder(pixels)
        if self.temporal:
            x = self.encoder.backbone_to_vit(x)
            x = torch.cat([x, self.encoder.missing_previous_emb.expand(len(x), -1, *x.shape[2:])], dim=1)
        x = self.projector(x)
        return x.mean(dim=(2, 3)), x.flatten(2).transpose(1, 2)


class Head(nn.Module):
    """CXR-BERT's projection of a token."""

    def __init__(self, width: int):
        super().__init__()
        self.dense_to_hidden, self.dense_to_output = nn.Linear(width, DIM), nn.Linear(DIM, DIM)
        self.LayerNorm = nn.LayerNorm(DIM, eps=1e-12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., C) -> (..., D)."""
        projected: torch.Tensor = self.dense_to_output(self.LayerNorm(gelu(self.dense_to_hidden(x))))
        return projected


class CxrBert(nn.Module):
    """CXR-BERT: a masked language model with a projection beside its head."""

    def __init__(self, vocabulary: int):
        from transformers import BertConfig, BertForMaskedLM

        super().__init__()
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=1,
            intermediate_size=96,
            max_position_embeddings=160,
        )
        whole = BertForMaskedLM(config)
        self.bert, self.cls = whole.bert, whole.cls
        # transformers saved this index with the weights when the files were published.
        self.bert.embeddings.register_buffer("position_ids", torch.arange(160)[None], persistent=True)
        self.cls_projection_head = Head(64)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the text's embedding (N, D), that of [CLS], and each token's (N, T, D)."""
        states = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        tokens = self.cls_projection_head(states)
        return tokens[:, 0], tokens


class TierAuthors(nn.Module):
    """Hold both models; the text head has two names."""

    def __init__(self, vocabulary: int):
        super().__init__()
        self.cnn, self.transformer = ImageModel(), CxrBert(vocabulary)
        self.cls_projection_head = self.transformer.cls_projection_head
        self.logit_scale = nn.Parameter(torch.tensor(2.0))


def random_weights(model: nn.Module, seed: int = 0) -> Any:
    """Randomise weights and statistics noticeably."""
    randomise(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_buffers():
            if name.endswith("running_mean"):
                tensor.copy_((torch.randn(tensor.shape, generator=generator) * 0.1).half())
            elif name.endswith("running_var"):
                tensor.copy_((torch.rand(tensor.shape, generator=generator) + 0.5).half())
    return model


def save_text_tower(folder: Path, seed: int = 0) -> CxrBert:
    """Write a folder of CXR-BERT as published, whose config.json names code to run."""
    model: CxrBert = random_weights(CxrBert(bert_tokenizer(folder)), seed)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    config = {"model_type": "cxr-bert", "projection_size": DIM, "auto_map": {"AutoModel": "modeling.Cxr"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "modeling.py").write_text("raise SystemExit('code was run')", encoding="utf-8")
    return model


def save_training(path: Path, model: TierAuthors) -> Path:
    """Write what the TIER authors' training program saves."""
    content = {
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": {"state": {}, "param_groups": []},
        "epoch": 3,
        "val_losses": [1.5, 1.25],
        "args": argparse.Namespace(learning_rate=1e-4, mimic_root="/data"),
    }
    torch.save(content, path)
    return path
