"""Check that a text tower can read prompts: not too long, and no words that its tokenizer does not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tier_cli.errors import FindingSetError
from tier_cli.model.tokens import TextTokenizer, shortened

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.model.checkpoint import Checkpoint


def prompt_problems(
    checkpoint: Checkpoint, findings: FindingSet, where: str | None = None
) -> list[FindingSetError]:
    """Return the prompts that the text tower of a checkpoint cannot read, in the order of the findings.

    Two prompts that are equal up to the cut, or that consist of unknown words, would have the same vector.

    Parameters
    ----------
    checkpoint, findings
        The tokenizer of the one reads the prompts of the other.
    where
        Place named in the messages, such as a file; the set's name by default.
    """
    tokenizer = TextTokenizer.of(checkpoint.path, checkpoint.config)
    found = []
    for finding in findings.findings:
        for side in ("positive", "negative"):
            for prompt, problem in tokenizer.unreadable(getattr(finding, side)):
                found.append(
                    FindingSetError(
                        f"{shortened(prompt)} {problem}",
                        where=f"{where or findings.name} [findings.{finding.id}] {side}",
                        remedy=f"write another text for {checkpoint.name}",
                    )
                )
    return found


def text_warnings(checkpoint: Checkpoint, texts: Sequence[str]) -> list[str]:
    """Return a sentence about each text that the text tower of a checkpoint cannot read whole."""
    tokenizer = TextTokenizer.of(checkpoint.path, checkpoint.config)
    return [f"{shortened(text)} {problem}" for text, problem in tokenizer.unreadable(texts)]
