"""What the text tower learns before it meets images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from little import SETTINGS, encoders, silent
from tiny import tiny_tokenizer

from tier_cli.datasets.manifest import read_manifest
from tier_cli.findings.load import load_findings
from tier_cli.model.tokens import TextTokenizer
from tier_cli.training.data.labels import label_training_rows
from tier_cli.training.data.pairs import Pairs
from tier_cli.training.data.prompts import Prompts
from tier_cli.training.loop.statements import learn_statements, statement_loss


def test_the_loss_is_that_of_the_paper_term_by_term() -> None:
    embeddings = torch.randn(6, 5, dtype=torch.float64)
    kinds = torch.tensor([0, 0, 1, 1, 1, 0])
    unit = (embeddings / embeddings.norm(dim=1, keepdim=True)).numpy()
    total = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        below = sum(np.exp(unit[i] @ unit[j] / 0.1) for j in others)
        same = [j for j in others if kinds[j] == kinds[i]]
        total -= sum(np.log(np.exp(unit[i] @ unit[j] / 0.1) / below) for j in same) / len(same)
    np.testing.assert_allclose(statement_loss(embeddings, kinds).item(), total / 6, rtol=1e-5)


def test_prompts_that_state_the_same_come_together_and_images_are_left_alone(tmp_path: Path) -> None:
    """Otherwise a tower hardly tells a finding from its denial, and gives images no direction."""
    (tmp_path / "m.csv").write_text("path,Mass,Effusion\na,1,0\nb,0,1\n")
    rows = label_training_rows(read_manifest(tmp_path / "m.csv"), load_findings("nih14"))
    prompts = Prompts.of(rows, Pairs(rows, 0), 4, 0)
    built = encoders(SETTINGS)
    tiny_tokenizer(tmp_path)
    tokenizer = TextTokenizer.of(tmp_path, built.model.config.to_dict())
    before = {name: value.clone() for name, value in built.model.state_dict().items()}

    def loss() -> float:
        texts, columns = prompts.draw(1000)
        with torch.no_grad():
            built.eval()
            found = built.model.encode_texts(*(torch.from_numpy(a) for a in tokenizer(texts))).pooled
        return statement_loss(found, torch.arange(2 * len(columns)).repeat_interleave(4)).item()

    first = loss()
    settings = replace(SETTINGS, prompt_weight=1.0, prompt_steps=40, learning_rate=5e-3)
    learn_statements(built.model, prompts, tokenizer, settings, torch.device("cpu"), silent)
    assert loss() < 0.8 * first
    changed = [n for n, value in built.model.state_dict().items() if not torch.equal(value, before[n])]
    assert changed
    assert not [name for name in changed if name.startswith("image")]
