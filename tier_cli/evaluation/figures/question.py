"""Say what the patches of each image are compared with: the text of the image, or its findings."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import ManifestError
from tier_cli.training.seeds import CAPTION, derive

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet
    from tier_cli.model.tokens import TextTokens
    from tier_cli.pipeline.scorer import Scorer

Floats = NDArray[np.float64]
Against = Literal["texts", "findings"]

_TEXTS_AT_A_TIME = 64


@dataclass(frozen=True, eq=False)
class Asked:
    """What the patches of one image are compared with.

    Parameters
    ----------
    whole
        (Q, D) unit vectors: of the whole text, or of each finding that is present. Q is 0 if there is none.
    parts
        (T, D) unit vectors: of the text's tokens, or of the findings again.
    """

    whole: Floats
    parts: Floats


class Question(Protocol):
    """What patches are compared with, for all images.

    Attributes
    ----------
    kind
        ``texts`` or ``findings``.
    about
        What it is, for captions: ``the image's report``.
    blank, lacking
        Number of images with nothing to compare with, and what they lack.
    """

    kind: Against
    about: str
    blank: int
    lacking: str

    def of_images(self, member: Scorer) -> Iterator[Asked]:
        """Yield what each image is compared with, in order, in a model's embedding space."""
        ...


class Texts:
    """The text of each image.

    Parameters
    ----------
    texts
        (N,) blank where there is none.
    about, lacking
        What the texts are, and what images without one lack.
    """

    kind: Against = "texts"

    def __init__(self, texts: list[str], about: str, lacking: str):
        self._texts, self.about, self.lacking = texts, about, lacking
        self.blank = texts.count("")

    def of_images(self, member: Scorer) -> Iterator[Asked]:
        """Embed the texts, a bounded number ahead."""
        nothing = np.zeros((0, member.vectors.positive.shape[1]))
        for first in range(0, len(self._texts), _TEXTS_AT_A_TIME):
            part = self._texts[first : first + _TEXTS_AT_A_TIME]
            unique = [text for text in dict.fromkeys(part) if text]
            made = dict(zip(unique, map(_asked, member.engine.embed_tokens(unique)), strict=True))
            for text in part:
                yield made[text] if text else Asked(nothing, nothing)


class Present:
    """The findings that each image has.

    Parameters
    ----------
    present
        (N, F) whether the image has the finding.
    """

    kind: Against = "findings"
    about = "the positive prompts of a finding that the image has"
    lacking = "no finding of the set"

    def __init__(self, present: NDArray[np.bool_]):
        self._present = present
        self.blank = int((~present.any(axis=1)).sum())

    def of_images(self, member: Scorer) -> Iterator[Asked]:
        """Look up the findings' positive vectors."""
        positive = member.vectors.positive.astype(np.float64)
        for row in self._present:
            present = positive[row]
            yield Asked(present, present)


def ask(against: Against | None, manifest: Manifest, findings: FindingSet, seed: int) -> Question:
    """Return what the patches of a manifest's images are compared with.

    Parameters
    ----------
    against
        ``texts`` for the column `text`, or captions written from labels if it is empty; ``findings`` for the
        findings that an image has; None for texts if there are any, else findings.
    manifest, findings
        The images, and the finding set of their labels.
    seed
        Of the captions.

    Raises
    ------
    ManifestError
        There are no texts or labels to compare with.
    """
    from tier_cli.training.data.pairs import texts_of

    texts = texts_of(manifest)
    if any(texts) and against != "findings":
        return Texts(texts, "the image's report", "no text")
    labels = manifest.labels(findings)
    if against == "texts":
        captions = _captions(manifest, findings, labels, seed)
        return Texts(captions, "a caption written from the image's labels", "no label that gives a caption")
    present = labels == 1
    if not present.any():
        raise ManifestError(
            f"no image has a text, or a finding of the finding set {findings.name}",
            where=manifest.origin,
            remedy="add a column `text`, or choose with --findings a set of the label columns",
        )
    return Present(present)


def _captions(manifest: Manifest, findings: FindingSet, labels: Floats, seed: int) -> list[str]:
    """Write a caption per image, as training does; blank where the labels give none."""
    from tier_cli.datasets.captions import write_caption
    from tier_cli.training.data.caption_labels import read_caption_labels

    known = read_caption_labels(manifest, findings, labels)
    usable = known.usable()
    if not usable.any():
        raise ManifestError(
            "no image has a text, or a label that gives a caption",
            where=manifest.origin,
            remedy="add a column `text`, or name the finding set of your label columns with --findings",
        )
    return [
        write_caption(
            known.of_image(row), random.Random(derive(seed, CAPTION, row)), others=known.others
        ).text
        if usable[row]
        else ""
        for row in range(len(manifest))
    ]


def _asked(tokens: TextTokens) -> Asked:
    return Asked(_unit(tokens.pooled[None]), _unit(tokens.embeddings))


def _unit(vectors: NDArray[np.float32]) -> Floats:
    wide = vectors.astype(np.float64)
    found: Floats = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return found
