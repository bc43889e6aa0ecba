"""Rebuild CXR-CLIP, MedCLIP and UniMed-CLIP from their descriptions, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from foreign import Holder, Visual
from foreign_biovil import ResNet, random_weights
from torch import nn

BERT = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 1,
    "intermediate_size": 96,
    "max_position_embeddings": 300,
}
SWIN = {"embed_dim": 8, "depths": [2, 1], "num_heads": [1, 2]}


def bert(vocabulary: int, pooler: bool = True) -> Any:
    """Return transformers' BERT as older versions saved it."""
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(vocab_size=vocabulary, **BERT), add_pooling_layer=pooler)
    model.embeddings.register_buffer("position_ids", torch.arange(300)[None], persistent=True)
    return model


def swin() -> Any:
    """Return transformers' Swin-T, much narrower and with two of its four stages."""
    from transformers import SwinConfig, SwinModel

    return SwinModel(SwinConfig(**SWIN))


def published_names(module: nn.Module, swins: str, folder: Path) -> dict[str, torch.Tensor]:
    """Return a state dict in which the Swin of the prefix `swins` has the names of transformers 4."""
    from safetensors.torch import load_file

    state = module.state_dict()
    if not any(name.startswith(f"{swins}.embeddings") for name in state):
        return state
    tower: Any = module.get_submodule(swins)
    tower.save_pretrained(folder)
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(f"{swins}.")}
    kept |= {f"{swins}.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    # Index tables, which that version saved with the weights.
    kept[f"{swins}.encoder.layers.0.blocks.0.attention.self.relative_position_index"] = torch.zeros(
        49, 49
    ).long()
    return kept


class CxrClip(nn.Module):
    """CXR-CLIP with a ResNet or, with `swin_tower`, a Swin."""

    def __init__(self, vocabulary: int, swin_tower: bool, dim: int = 24):
        super().__init__()
        self.image_encoder, self.text_encoder = Holder(), Holder()
        self.image_projection, self.text_projection = Holder(), Holder()
        if swin_tower:
            self.image_encoder.image_encoder, width = swin(), 16
        else:
            self.image_encoder.resnet = ResNet()
            width = self.image_encoder.resnet.channels
            # Its authors delete the classifier.
            del self.image_encoder.resnet.fc
        self.text_encoder.text_encoder = bert(vocabulary)
        self.image_projection.projection = nn.Linear(width, dim)
        self.text_projection.projection = nn.Linear(64, dim)
        self.logit_scale = nn.Parameter(torch.tensor(3.0))

    def encode_image(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the image's embedding (N, D) and each patch's (N, P, D)."""
        project = self.image_projection.projection
        if hasattr(self.image_encoder, "resnet"):
            grid = self.image_encoder.resnet(pixels)
            return project(grid.mean(dim=(2, 3))), project(grid.flatten(2).transpose(1, 2))
        states = self.image_encoder.image_encoder(pixels).last_hidden_state
        return project(states[:, 0]), project(states)

    def encode_text(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed ids (N, T): the text (N, D), by its last token, and each token (N, T, D)."""
        states = self.text_encoder.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        tokens = self.text_projection.projection(states)
        return tokens[torch.arange(len(ids)), mask.sum(dim=-1) - 1], tokens


class MedClip(nn.Module):
    """MedCLIP with a ResNet or, with `swin_tower`, a Swin."""

    def __init__(self, vocabulary: int, swin_tower: bool, dim: int = 24):
        super().__init__()
        self.vision_model, self.text_model = Holder(), Holder()
        if swin_tower:
            self.vision_model.model = swin()
            self.vision_model.projection_head = nn.Linear(16, dim, bias=False)
        else:
            self.vision_model.model = ResNet()
            self.vision_model.model.fc = nn.Linear(self.vision_model.model.channels, dim, bias=False)
        self.text_model.model = bert(vocabulary)
        self.text_model.projection_head = nn.Linear(64, dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def encode_image(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the image's embedding (N, D) and each patch's (N, P, D)."""
        model = self.vision_model.model
        if hasattr(model, "fc"):
            grid = model(pixels)
            return model.fc(grid.mean(dim=(2, 3))), model.fc(grid.flatten(2).transpose(1, 2))
        seen, project = model(pixels), self.vision_model.projection_head
        return project(seen.pooler_output), project(seen.last_hidden_state)

    def encode_text(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Embed one text (1, T): (1, D). The mean over several texts would count padding."""
        states = self.text_model.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        chosen = torch.stack([states.hidden_states[number] for number in (1, 2, -1)], dim=1)
        embedded: torch.Tensor = self.text_model.projection_head(chosen.mean(dim=2).mean(dim=1))
        return embedded


class UniMedClip(nn.Module):
    """UniMed-CLIP: OpenAI's ViT with a BERT."""

    def __init__(self, vocabulary: int, size: int = 64, patch: int = 16, dim: int = 24):
        super().__init__()
        self.visual = Visual(size, patch, 128, dim)
        self.text_encoder = Holder()
        self.text_encoder.transformer = bert(vocabulary, pooler=False)
        hidden = (64 + dim) // 2
        self.text_encoder.proj = nn.Sequential(
            nn.Linear(64, hidden, bias=False), nn.GELU(), nn.Linear(hidden, dim, bias=False)
        )
        self.logit_scale = nn.Parameter(torch.tensor(4.0))

    def encode_text(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed ids (N, T), padded with 0: the text (N, D) and each token (N, T, D)."""
        states = self.text_encoder.transformer(input_ids=ids, attention_mask=(ids != 0).long())
        tokens = self.text_encoder.proj(states.last_hidden_state)
        return tokens[:, 0], tokens


def save_cxr_clip(folder: Path, vocabulary: int, swin_tower: bool) -> CxrClip:
    """Write what CXR-CLIP's training program saves."""
    model: CxrClip = random_weights(CxrClip(vocabulary, swin_tower))
    content = {
        "model": published_names(model, "image_encoder.image_encoder", folder),
        "optimizer": {"state": {}, "param_groups": []},
        "scheduler": {"last_epoch": 3},
        "config": {"model": {"name": "clip_custom", "temperature": 0.07}, "base": {"text_max_length": 256}},
        "epoch": 4,
        "train_loss": 1.5,
    }
    torch.save(content, folder / "model-best.tar")
    return model


def save_medclip(folder: Path, vocabulary: int, swin_tower: bool) -> MedClip:
    """Write MedCLIP's weights as published."""
    model: MedClip = random_weights(MedClip(vocabulary, swin_tower))
    torch.save(published_names(model, "vision_model.model", folder), folder / "pytorch_model.bin")
    return model


def save_unimed_clip(folder: Path, vocabulary: int, size: int = 64, patch: int = 16) -> UniMedClip:
    """Write what UniMed-CLIP's training program saves."""
    model: UniMedClip = random_weights(UniMedClip(vocabulary, size, patch))
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 1, "name": "b16", "state_dict": state, "optimizer": {}}, folder / "unimed.pt")
    return model
