"""Join the tokens of a text to words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.maps.explanation import TokenMaps

# Letters and digits, joined by what stands inside words and numbers: left-sided, 1.5, patient's.
_WORD = re.compile(r"[^\W_]+(?:[-'’./][^\W_]+)*")
# Numbers of pieces that are no word with a map.
BETWEEN, UNREAD = -1, -2


@dataclass(frozen=True, eq=False)
class Words:
    """A text cut into words and what stands between them.

    Parameters
    ----------
    pieces
        In order, all of the text: each piece with the number of its map, `BETWEEN` for what is no word, or
        `UNREAD` for a word that the model did not read.
    values
        Similarities (W, h, w) of each patch to each of W words.
    """

    pieces: tuple[tuple[str, int], ...]
    values: NDArray[np.float64]


def words_of(tokens: TokenMaps) -> Words:
    """Join tokens to words; the map of a word is the mean of the maps of its tokens.

    Tokens of punctuation alone belong to no word.
    """
    text = tokens.text
    pieces: list[tuple[str, int]] = []
    values: list[NDArray[np.float64]] = []
    done = 0
    for match in _WORD.finditer(text):
        start, stop = match.span()
        own = [
            number
            for number, (first, last) in enumerate(tokens.spans)
            if first < stop and last > start and any(map(str.isalnum, text[first:last]))
        ]
        if start > done:
            pieces.append((text[done:start], BETWEEN))
        pieces.append((match.group(), len(values) if own else UNREAD))
        if own:
            values.append(np.asarray(tokens.values, np.float64)[own].mean(axis=0))
        done = stop
    if done < len(text):
        pieces.append((text[done:], BETWEEN))
    shape = (len(values), *np.shape(tokens.values)[1:])
    return Words(tuple(pieces), np.reshape(values, shape))
