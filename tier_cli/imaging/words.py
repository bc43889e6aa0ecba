"""Split the texts of a header into words that can be looked up, in any language and spelling."""

from __future__ import annotations

import re
import unicodedata

_BEYOND_ASCII = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ı": "i", "đ": "d", "Đ": "D"})


def words_of(text: str) -> list[str]:
    """Return the words of a text in upper case, without accents, digits and punctuation.

    Examples
    --------
    Capitals begin words, and abbreviated directions are joined:

    >>> words_of("NA_chestLAT_auto")
    ['NA', 'CHEST', 'LAT', 'AUTO']
    >>> words_of("Tórax P.A., postero-anterior")
    ['TORAX', 'PA', 'POSTEROANTERIOR']
    """
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).translate(_BEYOND_ASCII)
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    text = unicodedata.normalize("NFC", "".join(letters)).upper().replace("_", " ")
    text = re.sub(r"\b(?:([AP])[\s./-]+([AP])|([LR])[./-](L))\b", r"\1\2\3\4", text)
    text = re.sub(r"\b(ANTER|POSTER)(?:O|IOR)[\s./-]+(?=(?:ANTER|POSTER)I)", r"\1O", text)
    return re.findall(r"[^\W\d_]+", text)


def contains(words: list[str], parts: tuple[str, ...]) -> bool:
    """Return whether a word contains one of `parts`: for stems, and for scripts without spaces."""
    return any(part in word for word in words for part in parts)
