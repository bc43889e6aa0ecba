"""Compare the patches of images with findings, texts or the sentences of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.maps.explanation import Explanation, TextMap, TokenMaps
from tier_cli.maps.files import stem_of
from tier_cli.maps.scale import MapScale
from tier_cli.maps.similarity import finding_directions, similarity_of
from tier_cli.results.record import FindingScore

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.maps.overlap import Patches
    from tier_cli.model.engine import Engine
    from tier_cli.model.tokens import TextTokens
    from tier_cli.results.record import Result

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Subject:
    """A finding or a text that images are compared with.

    Parameters
    ----------
    name, label, kind, threshold
        See `TextMap`.
    direction
        What patches are compared with (D,).
    tokens
        The tokens of the text; None if no maps of tokens are wanted.
    """

    name: str
    label: str
    kind: str
    direction: Floats
    threshold: float | None = None
    tokens: TextTokens | None = None

    def drawn(self, patches: Patches, score: FindingScore) -> TextMap:
        """Return the map of one image."""
        (values,) = patches.similarities(self.direction[None])
        return TextMap(
            self.name, self.label, self.kind, values, score, self.threshold, _token_maps(self.tokens, patches)
        )


def finding_subjects(
    findings: FindingSet,
    vectors: FindingVectors,
    scoring: str,
    scale: MapScale,
    engine: Engine | None = None,
) -> tuple[Subject, ...]:
    """Return the findings of a set.

    Parameters
    ----------
    findings, vectors, scoring, scale
        The set, its vectors, and the checkpoint's rule and scale.
    engine
        Also embeds the tokens of each finding's first positive prompt; None for no tokens.
    """
    tokens = [None] * len(findings.findings) if engine is None else _tokens_of(findings, engine)
    kind, directions = similarity_of(scoring), finding_directions(vectors, scoring)
    return tuple(
        Subject(one.id, one.label, kind, direction, scale.thresholds.get(one.id), own)
        for one, direction, own in zip(findings.findings, directions, tokens, strict=True)
    )


def text_subjects(texts: Sequence[str], engine: Engine, name: str = "text") -> tuple[Subject, ...]:
    """Return texts as subjects, whose names are `name` and a number; no threshold is known for them."""
    return tuple(
        Subject(f"{name}_{number}", text, "phrase", _unit(tokens.pooled), tokens=tokens)
        for number, (text, tokens) in enumerate(zip(texts, engine.embed_tokens(texts), strict=True), 1)
    )


def with_threshold(subjects: Sequence[Subject], threshold: float) -> tuple[Subject, ...]:
    """Return the subjects with one threshold for all."""
    return tuple(replace(subject, threshold=threshold) for subject in subjects)


def chosen_subjects(subjects: Sequence[Subject], names: Sequence[str]) -> tuple[Subject, ...]:
    """Return the subjects of these names, in the order of the names."""
    named = {subject.name: subject for subject in subjects}
    return tuple(named[name] for name in names)


def explanation_of(
    result: Result,
    picture: NDArray[np.uint8],
    patches: Patches,
    pooled: NDArray[np.floating],
    subjects: Sequence[Subject],
    scale: MapScale,
) -> Explanation:
    """Compare one image with subjects.

    Its title is the beginning of its files' names, which shows nothing of the path, and its view.

    Parameters
    ----------
    result
        The scores of the image; findings among `subjects` take theirs from it.
    picture, patches, pooled
        The image, its patches and its global embedding (D,), of any length.
    subjects, scale
        What it is compared with, and the checkpoint's scale of colours.
    """
    scores = {score.finding: score for score in result.findings}
    maps = tuple(
        subject.drawn(
            patches,
            FindingScore(subject.name, float(subject.direction @ _unit(pooled)))
            if subject.kind == "phrase"
            else scores[subject.name],
        )
        for subject in subjects
    )
    title = f"{stem_of(result)} {result.view}".strip()
    return Explanation(title, picture, patches.grid, maps, scale, result.model.name, result.notes)


def _tokens_of(findings: FindingSet, engine: Engine) -> list[TextTokens]:
    return engine.embed_tokens([finding.positive[0] for finding in findings.findings])


def _token_maps(tokens: TextTokens | None, patches: Patches) -> TokenMaps | None:
    if tokens is None:
        return None
    lengths = np.linalg.norm(tokens.embeddings.astype(np.float64), axis=1, keepdims=True)
    return TokenMaps(
        tokens.text, tokens.spans, patches.similarities(tokens.embeddings / np.maximum(lengths, 1e-12))
    )


def _unit(vector: NDArray[np.floating]) -> Floats:
    wide = vector.astype(np.float64)
    unit: Floats = wide / np.linalg.norm(wide)
    return unit
