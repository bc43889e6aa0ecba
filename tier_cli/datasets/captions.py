"""Write captions from labels, for data sets that have labels but no reports."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from tier_cli.datasets.views import projection
from tier_cli.errors import ManifestError
from tier_cli.reports.mentions import Wording

# The id of the label for images without findings other than devices.
NORMAL = "no_finding"
_MOST_SENTENCES = 4
_HEADER_SHARE = 0.25
_SINGLE_CLAIM_SHARE = 0.5
_NORMAL_SENTENCE_SHARE = 0.3
_NORMAL_SHARE = 0.5
_POSITIVE_SHARE = 0.6
_DEVICES = frozenset(
    {"device", "devices", "tube", "tubes", "catheter", "catheters", "pacemaker", "prosthesis"}
    | {"endoprosthesis", "stent"}
)


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
def _bank(others: tuple[tuple[str, str], ...] = ()) -> dict[str, _Phrases]:
    """Return the phrases of the 14 known findings and of others, given as pairs of id and name."""
    data = _data()
    bank = {name: _own_phrases(entry) for name, entry in data["findings"].items()}
    for name, label in others:
        entry = data["others"].get(name)
        bank[name] = _plain_phrases(label) if entry is None else _own_phrases(entry)
    return bank


def _own_phrases(entry: Mapping[str, Sequence[str]]) -> _Phrases:
    frames = _data()["frames"]
    return _Phrases(
        present=tuple(entry["present"]) + _framed(frames["present"], entry["nouns"]),
        absent=tuple(entry["absent"]) + _framed(frames["absent"], entry["nouns"]),
    )


def _plain_phrases(label: str) -> _Phrases:
    """Return phrases for a finding that has none of its own: its name in the shared frames."""
    noun = _noun(label)
    frames = _data()["frames"]
    present, absent = (
        [frame.replace(" is ", " are ") if _is_plural(noun) else frame for frame in frames[side]]
        for side in ("present", "absent")
    )
    return _Phrases(_framed(present, [noun]), _framed(absent, [noun]))


def _noun(label: str) -> str:
    """Return a finding's name as written within a sentence; COPD stays in capitals."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def _is_plural(noun: str) -> bool:
    head = noun.split(" of ")[0]
    # Tuberculosis, abscess and pectus are singular.
    return head.endswith("s") and not head.endswith(("is", "ss", "us"))


@cache
def _data() -> dict[str, Any]:
    text = files("tier_cli.datasets").joinpath("captions.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _framed(frames: Sequence[str], nouns: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        frame.format(noun=noun, Noun=noun[0].upper() + noun[1:]) for frame in frames for noun in nouns
    )


def known_findings() -> tuple[str, ...]:
    """Return the ids of findings that captions mention whatever the finding set: ChestX-ray14's."""
    return tuple(_bank())


def phrases(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the sentences that state and deny a finding; two empty tuples unless it is a known finding."""
    if name not in known_findings():
        return (), ()
    bank = _bank()[name]
    return tuple(f"{text}." for text in bank.present), tuple(f"{text}." for text in bank.absent)


def wordings() -> dict[str, Wording]:
    """Return the words by which reports name the findings that have phrases here, by id."""
    data = _data()
    found = {}
    for name, entry in {**data["findings"], **data["others"]}.items():
        more = data["reading"].get(name, {})
        present = (*entry["nouns"], *entry["present"], *more.get("present", ()))
        found[name] = Wording(present, (*entry["absent"], *more.get("absent", ())))
    return found


def is_device(name: str) -> bool:
    """Return whether a finding's id is a device. Devices are not abnormalities, so `NORMAL` allows them."""
    return not _DEVICES.isdisjoint(name.split("_"))


def write_caption(
    labels: Mapping[str, bool],
    rng: random.Random,
    *,
    others: Mapping[str, str] | None = None,
    view: str = "",
    sex: str = "",
    age: str = "",
) -> Caption:
    """Write one caption that states only what the labels support.

    Half of the captions mention one finding, as prompts do; the others list several. A finding that is not
    in `labels` is unknown and is never mentioned. Where `NORMAL` is present, with nothing else but devices,
    half of the captions state that, or all where nothing else is known. An absent `NORMAL` is never stated.

    Parameters
    ----------
    labels
        Finding id -> present or absent: `known_findings`, `others` and `NORMAL`.
    rng
        Source of every choice: the same state gives the same caption.
    others
        Further findings that images may have, id -> name for people, labelled in this image or not.
    view, sex, age
        Mentioned in an occasional header, which makes no claim; empty where unknown.

    Raises
    ------
    ManifestError
        No label supports a sentence, or a label has no phrases.
    """
    bank = _bank(tuple((others or {}).items()))
    stated = {name: value for name, value in labels.items() if name != NORMAL}
    present = [name for name, value in stated.items() if value]
    absent = [name for name, value in stated.items() if not value]
    normal = labels.get(NORMAL, False) and all(is_device(name) for name in present)
    unknown = sorted(set(stated) - set(bank))
    if unknown or not (stated or normal):
        raise ManifestError(
            f"cannot write a caption for {', '.join(unknown) or 'an image without labels'}",
            remedy=f"use labels among {', '.join(bank)}, or give a column `text`",
        )
    if normal and (not stated or rng.random() < _NORMAL_SHARE):
        sentences, claims = _normal({name: (others or {})[name] for name in present}, rng)
    else:
        clear = labels.get(NORMAL) is not False and not present
        all_absent = clear and all(name in stated or is_device(name) for name in bank)
        sentences, claims = _sentences(present, absent, all_absent, bank, rng)
    header = _header(view, sex, age, rng) if rng.random() < _HEADER_SHARE else ""
    return Caption(". ".join([header, *sentences] if header else sentences) + ".", claims)


def _normal(devices: Mapping[str, str], rng: random.Random) -> tuple[list[str], dict[str, bool]]:
    """Write that the whole image is normal, apart from devices (id -> name)."""
    frames = _data()["frames"]["normal"]
    if not devices:
        return [rng.choice(frames["phrases"])], {NORMAL: True}
    frame: str = rng.choice(frames["apart_from"])
    nouns = " and ".join(_noun(label) for label in devices.values())
    return [frame.format(nouns=nouns)], {NORMAL: True} | dict.fromkeys(devices, True)


def _sentences(
    present: list[str], absent: list[str], all_absent: bool, bank: Mapping[str, _Phrases], rng: random.Random
) -> tuple[list[str], dict[str, bool]]:
    if all_absent and rng.random() < _NORMAL_SENTENCE_SHARE:
        normal: list[str] = _data()["frames"]["all_absent"]["phrases"]
        # Lungs can be clear behind a broken rib: these phrases make no claim about further findings.
        return [rng.choice(normal)], dict.fromkeys(known_findings(), False)
    if rng.random() < _SINGLE_CLAIM_SHARE:
        positive = bool(present) and (not absent or rng.random() < _POSITIVE_SHARE)
        chosen = {rng.choice(present if positive else absent): positive}
    else:
        affirmed = rng.sample(present, min(len(present), _MOST_SENTENCES - 1))
        denied = rng.sample(absent, min(len(absent), rng.randint(1, _MOST_SENTENCES - len(affirmed))))
        chosen = dict.fromkeys(affirmed, True) | dict.fromkeys(denied, False)
    sentences = [
        rng.choice(bank[name].present if value else bank[name].absent) for name, value in chosen.items()
    ]
    rng.shuffle(sentences)
    return sentences, chosen


def _header(view: str, sex: str, age: str, rng: random.Random) -> str:
    person = {"M": "man", "F": "woman"}.get(sex.upper()[:1], "")
    view_name = projection(view)
    frames = _data()["frames"]["header" if view_name else "header_without_view"]["phrases"]
    usable = [frame for frame in frames if (person and age) or "{person}" not in frame]
    chosen: str = rng.choice(usable)
    return chosen.format(view=view_name, age=age, person=person)
