"""Draw image-text pairs: which image comes next, and the text that goes with it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.captions import Caption, known_findings, write_caption
from tier_cli.errors import ManifestError
from tier_cli.training.data.notes import Note
from tier_cli.training.seeds import CAPTION, ORDER, derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.training.data.labels import TrainingRows

    Rows = NDArray[np.int64]


class Pairs:
    """Rows of a manifest as image-text pairs.

    A manifest with a column `text` gives its reports. A manifest without it gives captions written from its
    labels, new at every draw. Then rows with rare findings are drawn more often, and an image with the
    caption of another image is a negative only if the caption says something false about the image.

    Parameters
    ----------
    rows
        The training rows.
    seed
        Seed of the draws and the captions.
    shuffle
        Permute the texts or labels among the rows: a control with nothing to learn.
    batches_from
        Column whose value all images of a batch share, such as ``source``; ``all`` mixes them.

    Attributes
    ----------
    order
        (N,) the row whose text and labels each row has: its own, unless they are shuffled.
    weights
        (N,) how often each row is drawn; the sum is 1.

    Raises
    ------
    ManifestError
        Rows with neither text nor labels.
    """

    def __init__(self, rows: TrainingRows, seed: int, shuffle: bool = False, batches_from: str = "all"):
        manifest = rows.manifest
        self._seed = seed
        self.order: Rows = (
            np.random.default_rng(seed + 1).permutation(len(manifest))
            if shuffle
            else np.arange(len(manifest))
        )
        texts = texts_of(manifest)
        self._texts = [texts[row] for row in self.order]
        numbers: dict[str, int] = {}
        self._same_text = np.array([numbers.setdefault(text, len(numbers)) for text in self._texts])
        # Many data sets number the studies of each patient from 1.
        patients, studies = manifest.column("patient"), manifest.column("study")
        keys = np.char.add(np.char.add(patients, "\x1f"), studies)
        self._studies = np.where(studies == "", "", keys)
        self._circumstances = [manifest.column(name) for name in ("view", "sex", "age")]
        self._labels = rows.captions.rows(self.order)
        given, self._written = usable(rows)
        self.without_text = int((~given).sum())
        self.weights = self._draw_weights(given[self.order])
        column = np.zeros(len(manifest)) if batches_from == "all" else manifest.column(batches_from)
        drawn = self.weights > 0
        self._groups = [np.flatnonzero((column == value) & drawn) for value in np.unique(column[drawn])]

    def __len__(self) -> int:
        return int((self.weights > 0).sum())

    def draw(self, epoch: int, steps: int, batch_size: int) -> Rows:
        """Return row numbers (steps * batch_size,) of one epoch.

        They are shuffled for reports; for captions, rows with rare findings come more often.
        """
        draws = np.random.default_rng(derive(self._seed, ORDER, epoch))
        if len(self._groups) == 1:
            return self._draw_from(self._groups[0], steps * batch_size, draws)
        shares = np.array([self.weights[group].sum() for group in self._groups])
        chosen = draws.choice(len(self._groups), size=steps, p=shares / shares.sum())
        rows = np.empty((steps, batch_size), dtype=np.int64)
        for number in np.unique(chosen):
            its_steps = chosen == number
            count = int(its_steps.sum()) * batch_size
            rows[its_steps] = self._draw_from(self._groups[number], count, draws).reshape(-1, batch_size)
        return rows.ravel()

    def _draw_from(self, group: Rows, count: int, draws: np.random.Generator) -> Rows:
        if self._written:
            weights = self.weights[group]
            return draws.choice(group, size=count, p=weights / weights.sum())
        rounds = -(-count // len(group))
        return np.concatenate([draws.permutation(group) for _ in range(rounds)])[:count]

    def after(self, row: int) -> int:
        """Return the next row that can be drawn, cyclically: it stands in for an unreadable image."""
        usable = np.flatnonzero(self.weights)
        return int(usable[np.searchsorted(usable, row, side="right") % len(usable)])

    def texts(self, rows: Rows, places: Rows) -> list[str]:
        """Return one text per row.

        Parameters
        ----------
        rows
            (N,) rows of the manifest.
        places
            (N,) position of each draw in the whole run: it seeds the caption.
        """
        if self._written:
            return [caption.text for caption in self._captions(rows, places)]
        return [self._texts[row] for row in rows]

    def excluded(self, rows: Rows, places: Rows) -> NDArray[np.bool_]:
        """Return which pairs (image, text), (N, N), are not negatives; arguments as in `texts`."""
        studies = self._studies[rows]
        same_study = (studies[:, None] == studies[None, :]) & (studies[:, None] != "")
        if not self._written:
            texts = self._same_text[rows]
            return np.asarray(same_study | (texts[:, None] == texts[None, :]))
        _, contradicted = _agreement(self._labels.signs(rows), self._claims(rows, places))
        return np.asarray(same_study | (contradicted < 0.5))

    def partners(self, rows: Rows, places: Rows) -> NDArray[np.float64]:
        """Return how well each text fits each image by its labels, (N, N) in [0, 1]; arguments as in `texts`.

        It is the share of the text's claims that are true for the image, and 0 where one is false. A report
        claims the labels of its own image.
        """
        signs = self._labels.signs(rows)
        claims = self._claims(rows, places) if self._written else signs
        supported, contradicted = _agreement(signs, claims)
        number = np.maximum(np.abs(claims).sum(1), 1)
        return np.where(contradicted < 0.5, supported / number[None, :], 0.0)

    def _claims(self, rows: Rows, places: Rows) -> NDArray[np.float64]:
        """Return what the captions claim (N, F): 1 present, -1 absent, 0 not mentioned."""
        return np.array(
            [
                [_sign(caption.claims.get(name)) for name in self._labels.ids]
                for caption in self._captions(rows, places)
            ],
            dtype=np.float64,
        )

    def _captions(self, rows: Rows, places: Rows) -> list[Caption]:
        return [self._caption(row, int(place)) for row, place in zip(rows, places, strict=True)]

    def _caption(self, row: np.int64, place: int) -> Caption:
        view, sex, age = (str(column[row]) for column in self._circumstances)
        draws = random.Random(derive(self._seed, CAPTION, place))
        labels, others = self._labels.of_image(int(row)), self._labels.others
        return write_caption(labels, draws, others=others, view=view, sex=sex, age=age)

    def _draw_weights(self, usable: NDArray[np.bool_]) -> NDArray[np.float64]:
        if not self._written:
            return np.asarray(usable / usable.sum(), dtype=np.float64)
        positive = self._labels.positive()
        # The rarest finding of a row counts; the square root keeps a few images from filling every batch.
        rarity = 1 / np.sqrt(np.maximum(positive.sum(axis=0), 1))
        normal = 1 / np.sqrt(max((~positive.any(axis=1)).sum(), 1))
        weights = np.where(positive.any(axis=1), (positive * rarity).max(axis=1), normal) * usable
        return np.asarray(weights / weights.sum(), dtype=np.float64)


def texts_of(manifest: Manifest) -> list[str]:
    """Return the text of each row, as a list: in a numpy array each text takes the memory of the longest."""
    column = manifest.frame["text"] if "text" in manifest.frame.columns else [""] * len(manifest)
    return [str(text).strip() for text in column]


def usable(rows: TrainingRows) -> tuple[NDArray[np.bool_], bool]:
    """Return which rows (N,) can be pairs, and whether their texts are captions written from labels.

    Raises
    ------
    ManifestError
        No row has a text or a label.
    """
    texts = np.array([bool(text) for text in texts_of(rows.manifest)], dtype=np.bool_)
    found = texts if texts.any() else rows.captions.usable()
    if not found.any():
        raise ManifestError(
            "no row has a text, or a label that gives a caption",
            where=rows.manifest.origin,
            remedy="add a column `text`, or name the finding set of your label columns with --findings; "
            f"known without it: {', '.join(known_findings())}",
        )
    return found, not texts.any()


def why_left_out(left_out: TrainingRows, captions: bool) -> list[str]:
    """Return one note per reason why rows cannot be pairs, with their number.

    Parameters
    ----------
    left_out
        The rows that `usable` leaves out.
    captions
        Whether the other rows have captions.
    """
    if captions:
        bare = left_out.captions.unlabelled()
        reasons = {Note.NO_LABEL: bare, Note.NO_CAPTION: ~bare}
    else:
        labelled = left_out.captions.usable()
        reasons = {Note.NO_TEXT: ~labelled, Note.LABELS_WITHOUT_TEXT: labelled}
    return [note.text(images=int(which.sum())) for note, which in reasons.items() if which.any()]


def _agreement(
    signs: NDArray[np.float64], claims: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many claims of text j the labels of image i support and contradict, (N, N) each.

    Two products instead of an (N, N, findings) array.
    """
    present, absent = np.maximum(signs, 0), np.maximum(-signs, 0)
    stated, denied = np.maximum(claims, 0).T, np.maximum(-claims, 0).T
    return present @ stated + absent @ denied, present @ denied + absent @ stated


def _sign(claim: bool | None) -> int:
    return 0 if claim is None else 1 if claim else -1
