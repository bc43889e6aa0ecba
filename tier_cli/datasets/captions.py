"""Captions written from labels, for data sets that have labels but no reports."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from tier_cli.datasets.views import direction
from tier_cli.errors import ManifestError

_MOST_SENTENCES = 4
_HEADER_SHARE = 0.25
_SINGLE_CLAIM_SHARE = 0.5
_NORMAL_SENTENCE_SHARE = 0.3
_POSITIVE_SHARE = 0.6


@dataclass(frozen=True)
class Caption:
    """A text and what it claims: finding id -> True (present) or False (absent)."""

    text: str
    claims: Mapping[str, bool]


@dataclass(frozen=True)
class _Phrases:
    present: tuple[str, ...]
    absent: tuple[str, ...]


@cache
def _bank() -> dict[str, _Phrases]:
    data = _data()
    frames = data["frames"]
    return {
        name: _Phrases(
            present=tuple(entry["present"]) + _framed(frames["present"], entry["nouns"]),
            absent=tuple(entry["absent"]) + _framed(frames["absent"], entry["nouns"]),
        )
        for name, entry in data["findings"].items()
    }


@cache
def _data() -> dict[str, Any]:
    text = files("tier_cli.datasets").joinpath("captions.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _framed(frames: Sequence[str], nouns: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        frame.format(noun=noun, Noun=noun[0].upper() + noun[1:]) for frame in frames for noun in nouns
    )


def known_findings() -> tuple[str, ...]:
    """Ids of the findings that captions can speak of."""
    return tuple(_bank())


def write_caption(
    labels: Mapping[str, bool],
    rng: random.Random,
    *,
    view: str = "",
    sex: str = "",
    age: str = "",
) -> Caption:
    """Write one caption that says only what the labels support.

    Half of the captions speak of one finding, as prompts do; the others list several. A finding that is
    not in `labels` is unknown and is never mentioned.

    Parameters
    ----------
    labels
        Finding id -> present or absent.
    rng
        Source of every choice: the same state gives the same caption.
    view, sex, age
        Written into an occasional header, which claims nothing; empty where unknown.

    Raises
    ------
    ManifestError
        When no label is given, or one that there are no phrases for.
    """
    unknown = sorted(set(labels) - set(_bank()))
    if unknown or not labels:
        raise ManifestError(
            f"captions cannot be written for {', '.join(unknown) or 'an image without labels'}",
            remedy=f"use labels among: {', '.join(_bank())}; or give a text column",
        )
    present = [name for name, value in labels.items() if value]
    absent = [name for name, value in labels.items() if not value]
    all_absent = not present and len(absent) == len(_bank())
    sentences, claims = _sentences(present, absent, all_absent, rng)
    header = _header(view, sex, age, rng) if rng.random() < _HEADER_SHARE else ""
    return Caption(". ".join([header, *sentences] if header else sentences) + ".", claims)


def _sentences(
    present: list[str], absent: list[str], all_absent: bool, rng: random.Random
) -> tuple[list[str], dict[str, bool]]:
    if all_absent and rng.random() < _NORMAL_SENTENCE_SHARE:
        normal: list[str] = _data()["frames"]["all_absent"]["phrases"]
        return [rng.choice(normal)], dict.fromkeys(absent, False)
    if rng.random() < _SINGLE_CLAIM_SHARE:
        positive = bool(present) and (not absent or rng.random() < _POSITIVE_SHARE)
        chosen = {rng.choice(present if positive else absent): positive}
    else:
        said = rng.sample(present, min(len(present), _MOST_SENTENCES - 1))
        denied = rng.sample(absent, min(len(absent), rng.randint(1, _MOST_SENTENCES - len(said))))
        chosen = dict.fromkeys(said, True) | dict.fromkeys(denied, False)
    sentences = [rng.choice(_choices(name, value)) for name, value in chosen.items()]
    rng.shuffle(sentences)
    return sentences, chosen


def _choices(name: str, present: bool) -> tuple[str, ...]:
    return _bank()[name].present if present else _bank()[name].absent


def _header(view: str, sex: str, age: str, rng: random.Random) -> str:
    person = {"M": "man", "F": "woman"}.get(sex.upper()[:1], "")
    taken = direction(view)
    frames = _data()["frames"]["header" if taken else "header_without_view"]["phrases"]
    usable = [frame for frame in frames if (person and age) or "{person}" not in frame]
    chosen: str = rng.choice(usable)
    return chosen.format(view=taken, age=age, person=person)
