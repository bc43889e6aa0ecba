"""Write reports on synthetic chests: every finding with size, side and place, and some absent ones."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from tier_cli.phantom.lesions import FINDINGS, Lesion

_MOST_DENIALS = 4
_SHORT_SHARE = 0.1
_POSITIVE_SHARE = 0.6
_JOINT_DENIAL_SHARE = 0.3
_NORMAL_SENTENCE_SHARE = 0.3


def write_report(lesions: Sequence[Lesion], rng: random.Random) -> str:
    """Write a report on one study.

    Most reports mention every finding that is present and deny up to four that are absent. Some make a
    single statement, as short reports do.

    Parameters
    ----------
    lesions
        Lesions with all choices drawn; none for a healthy chest.
    rng
        Source of every choice: the same state gives the same report.
    """
    present = [name for name in FINDINGS if any(one.finding == name for one in lesions)]
    absent = [name for name in FINDINGS if name not in present]
    if not present and rng.random() < _NORMAL_SENTENCE_SHARE:
        normal: list[str] = _bank()["normal"]
        return rng.choice(normal) + "."
    if rng.random() < _SHORT_SHARE:
        present = rng.sample(present, min(len(present), int(not absent or rng.random() < _POSITIVE_SHARE)))
        absent = rng.sample(absent, 1 - len(present))
    else:
        absent = rng.sample(absent, min(len(absent), rng.randint(1, _MOST_DENIALS)))
    said = [_present(name, [one for one in lesions if one.finding == name], rng) for name in present]
    sentences = [*said, *_denials(absent, rng)]
    rng.shuffle(sentences)
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def size_word(size: float) -> str:
    """Return the word for a size from 0 to 1."""
    return "small" if size < 0.45 else "moderate" if size < 0.72 else "large"


def zone_word(y: float) -> str:
    """Return the word for a height in the lung, y in millimetres from the top of the image."""
    return "upper" if y < 150 else "mid" if y < 205 else "lower"


@cache
def _bank() -> dict[str, Any]:
    text = files("tier_cli.phantom").joinpath("reports.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _present(name: str, lesions: list[Lesion], rng: random.Random) -> str:
    largest = max(lesions, key=lambda one: one.size)
    sides = {one.side for one in lesions}
    kind = "both" if len(sides) > 1 else "several" if len(lesions) > 1 else "one"
    phrases: list[str] = _bank()[name].get(kind) or _bank()[name]["one"]
    size = size_word(largest.size)
    return rng.choice(phrases).format(
        size=size,
        Size={"small": "mild", "moderate": "moderate", "large": "severe"}[size],
        side=largest.side,
        zone=zone_word(largest.place[1]) if largest.place else "",
    )


def _denials(names: list[str], rng: random.Random) -> list[str]:
    if len(names) > 1 and rng.random() < _JOINT_DENIAL_SHARE:
        first, second = (_bank()[name]["noun"] for name in names[:2])
        joint: list[str] = _bank()["joint"]
        return [rng.choice(joint).format(first=first, second=second), *_denials(names[2:], rng)]
    return [rng.choice(_bank()[name]["absent"]) for name in names]
