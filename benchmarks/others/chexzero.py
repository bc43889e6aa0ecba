"""Score DICOM files in CheXzero's manner: python chexzero.py MODEL_FOLDER IMAGE_FOLDER

As github.com/rajpurkarlab/CheXzero has it (run_preprocess.py, data_process.py, zero_shot.py; read at commit
5c341db): images become squares of 320 px in one HDF5 file, from which a loop of single images runs CLIP. The
architecture is that of the package openai-clip. The same as there: OpenCV and Pillow, HDF5, batches of one,
the model once for the positive prompts and once more for the negative ones. Different: pydicom reads DICOM
files, whose values are stretched from the lowest to the highest and equalised, as the JPEG files that the
authors began with had been; weights are random; --one-pass skips the second pass.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pydicom
import torch
from clip.model import CLIP
from PIL import Image
from tokenizers import CharBPETokenizer
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize

SIDE = 320


class Squares(Dataset[Any]):
    """Reads one image at a time from the HDF5 file."""

    def __init__(self, file: Path):
        self.images = h5py.File(file)["cxr"]
        steps = [
            Normalize((101.48761,) * 3, (83.43944,) * 3),
            Resize(224, InterpolationMode.BICUBIC, antialias=False),
        ]
        self.transform = Compose(steps)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> Any:
        return self.transform(torch.from_numpy(np.repeat(self.images[number][None], 3, axis=0)))


def square(path: Path) -> Image.Image:
    """Return a file as 8-bit picture of 320 px, padded."""
    values = pydicom.dcmread(path).pixel_array.astype(np.float32)
    values -= values.min()
    values *= 255 / max(values.max(), 1)
    image = Image.fromarray(cv2.equalizeHist(values.astype(np.uint8)))
    ratio = SIDE / max(image.size)
    width, height = (int(side * ratio) for side in image.size)
    padded = Image.new("L", (SIDE, SIDE))
    padded.paste(
        image.resize((width, height), Image.Resampling.LANCZOS), ((SIDE - width) // 2, (SIDE - height) // 2)
    )
    return padded


def encoder(folder: Path, model: Any) -> Any:
    """Return a function that embeds prompts as CLIP's tokenizer cuts them."""
    names = (str(folder / name) for name in ("vocab.json", "merges.txt"))
    tokenizer = CharBPETokenizer(*names, unk_token="<|endoftext|>", lowercase=True)  # noqa: S106
    start, end = (tokenizer.token_to_id(f"<|{word}oftext|>") for word in ("start", "end"))

    def encode(texts: list[str]) -> Any:
        ids = torch.zeros(len(texts), 77, dtype=torch.long)
        for row, text in zip(ids, texts, strict=True):
            pieces = torch.tensor([start, *tokenizer.encode(text).ids, end])
            row[: len(pieces)] = pieces
        vectors = model.encode_text(ids)
        vectors = (vectors / vectors.norm(dim=-1, keepdim=True)).mean(dim=0)
        return vectors / vectors.norm()

    return encode


def similarities(loader: Any, model: Any, vectors: Any) -> Any:
    """Return cosines (N, F), one image at a time."""
    rows = []
    for image in loader:
        features = model.encode_image(image)
        features /= features.norm(dim=-1, keepdim=True)
        rows.append((features @ vectors)[0])
    return torch.stack(rows)


def main() -> None:
    """Score a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="chexzero.pt, tokenizer files, findings.json")
    parser.add_argument("images", type=Path)
    parser.add_argument("--one-pass", action="store_true", help="run each image through the model only once")
    given = parser.parse_args()
    paths = sorted(given.images.iterdir())
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        with h5py.File(f"{folder}/cxr.h5", "w") as file:
            images = file.create_dataset("cxr", shape=(len(paths), SIDE, SIDE))
            for number, path in enumerate(paths):
                images[number] = np.asarray(square(path))
        model = CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12).eval()
        model.load_state_dict(torch.load(given.model / "chexzero.pt"))
        findings = json.loads((given.model / "findings.json").read_text(encoding="utf-8"))
        encode, loader = encoder(given.model, model), DataLoader(Squares(Path(folder) / "cxr.h5"))
        sides = [torch.stack([encode(one[side]) for one in findings], dim=1) for side in (1, 2)]
        if given.one_pass:
            both = similarities(loader, model, torch.cat(sides, dim=1)).exp().chunk(2, dim=1)
        else:
            both = [similarities(loader, model, vectors).exp() for vectors in sides]
    names = [name for name, _, _ in findings]
    for path, row in zip(paths, (both[0] / (both[0] + both[1])).tolist(), strict=True):
        sys.stdout.write(json.dumps({"path": str(path), "scores": dict(zip(names, row, strict=True))}) + "\n")


if __name__ == "__main__":
    main()
