"""Which image is shown next, and the text that goes with it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.captions import Caption, known_findings, write_caption
from tier_cli.errors import ManifestError
from tier_cli.training.data.caption_labels import read_caption_labels
from tier_cli.training.seeds import CAPTION, ORDER, derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet

    Rows = NDArray[np.int64]


class Pairs:
    """Rows of a manifest as image-text pairs.

    A manifest with a `text` column gives its reports. One without gives captions written from its labels,
    anew at every draw; rows with rare findings are drawn more often, and a pair of an image and another's
    caption counts as a negative only when the caption says something false of the image.

    Parameters
    ----------
    manifest
        The training rows.
    seed
        Of the draws and the captions.
    shuffle
        Permute the texts or labels among the rows: a control with nothing to learn.
    findings
        Captions speak of its findings too; ChestX-ray14's they know without.

    Raises
    ------
    ManifestError
        Rows with neither text nor labels.
    """

    def __init__(
        self, manifest: Manifest, seed: int, shuffle: bool = False, findings: FindingSet | None = None
    ):
        self._seed = seed
        order = (
            np.random.default_rng(seed + 1).permutation(len(manifest))
            if shuffle
            else np.arange(len(manifest))
        )
        texts = texts_of(manifest)
        self._texts = [texts[row] for row in order]
        numbers: dict[str, int] = {}
        self._same_text = np.array([numbers.setdefault(text, len(numbers)) for text in self._texts])
        # Many number the studies of each patient from 1.
        patients, studies = manifest.column("patient"), manifest.column("study")
        keys = np.char.add(np.char.add(patients, "\x1f"), studies)
        self._studies = np.where(studies == "", "", keys)
        self._about = [manifest.column(name) for name in ("view", "sex", "age")]
        self._spoken = read_caption_labels(manifest, findings).reordered(order)
        given, self._written = usable(manifest, findings)
        self.without_text = int((~given).sum())
        self._weights = self._draw_weights(given[order])

    def __len__(self) -> int:
        return int((self._weights > 0).sum())

    def draw(self, epoch: int, count: int) -> Rows:
        """Row numbers (count,) for one epoch: shuffled rows with texts, a weighted draw with captions."""
        draws = np.random.default_rng(derive(self._seed, ORDER, epoch))
        if self._written:
            return draws.choice(len(self._weights), size=count, p=self._weights)
        usable = np.flatnonzero(self._weights)
        rounds = -(-count // len(usable))
        return np.concatenate([draws.permutation(usable) for _ in range(rounds)])[:count]

    def after(self, row: int) -> int:
        """The next row that can be drawn, the first after the last: stands in for one that is not read."""
        usable = np.flatnonzero(self._weights)
        return int(usable[np.searchsorted(usable, row, side="right") % len(usable)])

    def texts(self, rows: Rows, places: Rows) -> list[str]:
        """One text a row.

        Parameters
        ----------
        rows
            (N,) rows of the manifest.
        places
            (N,) where in the whole run each is drawn: decides what caption is written.
        """
        if self._written:
            return [caption.text for caption in self._captions(rows, places)]
        return [self._texts[row] for row in rows]

    def excluded(self, rows: Rows, places: Rows) -> NDArray[np.bool_]:
        """Which off-diagonal pairs (image, text), (N, N), are not negatives; arguments as for `texts`."""
        studies = self._studies[rows]
        same_study = (studies[:, None] == studies[None, :]) & (studies[:, None] != "")
        if not self._written:
            texts = self._same_text[rows]
            return np.asarray(same_study | (texts[:, None] == texts[None, :]))
        claims = np.array(
            [
                [_sign(caption.claims.get(name)) for name in self._spoken.ids]
                for caption in self._captions(rows, places)
            ],
            dtype=np.float32,
        )
        known = self._spoken.known(rows)
        # How many claims of text j image i contradicts, without an (N, N, findings) array.
        against = (
            np.maximum(known, 0) @ np.maximum(-claims, 0).T + np.maximum(-known, 0) @ np.maximum(claims, 0).T
        )
        return np.asarray(same_study | (against < 0.5))

    def _captions(self, rows: Rows, places: Rows) -> list[Caption]:
        return [self._caption(row, int(place)) for row, place in zip(rows, places, strict=True)]

    def _caption(self, row: np.int64, place: int) -> Caption:
        view, sex, age = (str(column[row]) for column in self._about)
        draws = random.Random(derive(self._seed, CAPTION, place))
        labels, others = self._spoken.of(int(row)), self._spoken.others
        return write_caption(labels, draws, others=others, view=view, sex=sex, age=age)

    def _draw_weights(self, usable: NDArray[np.bool_]) -> NDArray[np.float64]:
        if not self._written:
            return np.asarray(usable / usable.sum(), dtype=np.float64)
        positive = self._spoken.positive()
        # The rarest finding of a row decides; the square root keeps a few images from filling every batch.
        rarity = 1 / np.sqrt(np.maximum(positive.sum(axis=0), 1))
        normal = 1 / np.sqrt(max((~positive.any(axis=1)).sum(), 1))
        weights = np.where(positive.any(axis=1), (positive * rarity).max(axis=1), normal) * usable
        return np.asarray(weights / weights.sum(), dtype=np.float64)


def texts_of(manifest: Manifest) -> list[str]:
    """The text of each row; not as a numpy array, where every one would take the room of the longest."""
    column = manifest.frame["text"] if "text" in manifest.frame.columns else [""] * len(manifest)
    return [str(text).strip() for text in column]


def usable(manifest: Manifest, findings: FindingSet | None = None) -> tuple[NDArray[np.bool_], bool]:
    """Which rows (N,) can be pairs, and whether their texts are captions written from labels.

    Raises
    ------
    ManifestError
        Rows with neither text nor labels.
    """
    texts = np.array([bool(text) for text in texts_of(manifest)], dtype=np.bool_)
    rows = texts if texts.any() else read_caption_labels(manifest, findings).usable()
    if not rows.any():
        raise ManifestError(
            "no row has a text or a label that says something",
            where=manifest.origin,
            remedy="give a `text` column, or name the finding set of your label columns with --findings; "
            f"known without: {', '.join(known_findings())}",
        )
    return rows, not texts.any()


def why_left_out(manifest: Manifest, findings: FindingSet | None = None) -> list[str]:
    """One note a reason for which rows of a manifest cannot be pairs, with their number."""
    rows, captions = usable(manifest, findings)
    spoken = read_caption_labels(manifest.where(~rows), findings)
    bare = spoken.unlabelled()
    if captions:
        reasons = {
            "images without a label of a known finding left out": bare,
            "images whose labels give no text (uncertain, or No Finding 0) left out": ~bare,
        }
    else:
        labelled = spoken.usable()
        reasons = {
            "images without a text left out": ~labelled,
            "images with labels and no text left out (--text labels trains on labels)": labelled,
        }
    return [f"{reason}: {int(which.sum())}" for reason, which in reasons.items() if which.any()]


def _sign(claim: bool | None) -> int:
    return 0 if claim is None else 1 if claim else -1
