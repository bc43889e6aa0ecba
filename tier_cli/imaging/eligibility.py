"""Decide whether a DICOM image may be scored as a chest radiograph, and which view it shows."""

from __future__ import annotations

import re

from tier_cli.errors import InputError
from tier_cli.imaging.header import Header, coded_of
from tier_cli.imaging.radiograph import FRONTAL_VIEWS, UNKNOWN_VIEW, ReadOptions

_RADIOGRAPHY = ("CR", "DX", "RG")
# Captures and digitised films can show anything, so they must state that they show a chest.
_CAPTURES = ("OT", "SC")
_CHEST_WORDS = frozenset({"CHEST", "THORAX", "LUNG", "LUNGS"})
_BESIDE_CHEST = frozenset({"PA", "AP", "LAT", "LATERAL", "LL", "RL", "FRONTAL", "VIEW", "PORTABLE", "PORT"})
# SNOMED CT and the older SNOMED RT codes of PS3.16: chest (thorax), thoracic structure, lung.
_CHEST_CODES = frozenset({"816094009", "51185008", "39607008", "T-D3000", "T-28000"})

_VIEW_WORDS = {
    "PA": "PA",
    "POSTEROANTERIOR": "PA",
    "AP": "AP",
    "ANTEROPOSTERIOR": "AP",
    "FRONTAL": "FRONTAL",
    **dict.fromkeys(("LATERAL", "LAT", "LL", "RL", "LLAT", "RLAT"), "LATERAL"),
}
_OTHER_VIEWS = frozenset("LLD RLD LLO RLO LAO RAO LPO RPO OBL OBLIQUE DECUBITUS".split())  # noqa: SIM905
# CID 4010 of PS3.16, SNOMED CT and RT.
_VIEW_CODES = {
    **dict.fromkeys(("272479007", "R-10214", "R-40888"), "PA"),
    **dict.fromkeys(("399348003", "R-10206"), "AP"),
    **dict.fromkeys(("399033003", "R-10202"), "FRONTAL"),
    **dict.fromkeys(("399067008", "R-102CD", "399198007", "R-10232", "399173006", "R-10236"), "LATERAL"),
    **dict.fromkeys(("399352003", "R-10228", "399260004", "R-10224"), "LATERAL"),
}
_ANYWAY = "pass --accept-any to score it anyway"


def check_kind(header: Header, options: ReadOptions, path: str, notes: list[str]) -> None:
    """Refuse anything but one chest radiograph for presentation, or note it with `options.accept_any`.

    Raises
    ------
    InputError
        Of kind ``modality``, ``body_part``, ``presentation_intent`` or ``frames``.
    """
    for kind, what in _objections(header):
        if not options.accept_any:
            raise InputError(what, where=path, remedy=_REMEDIES[kind], kind=kind)
        notes.append(f"accepted although {what}" + ("; only the first is scored" if kind == "frames" else ""))


_REMEDIES = {
    "modality": f"give CR, DX or RG images, or {_ANYWAY}",
    "body_part": f"give chest images, or {_ANYWAY}",
    "presentation_intent": f"give the image FOR PRESENTATION, or {_ANYWAY}",
    "frames": "save the frame as a separate image, or pass --accept-any to score the first frame",
}


def _objections(header: Header) -> list[tuple[str, str]]:
    """List the kind and the reason of every objection to the image."""
    found = []
    modality = header.code("Modality")
    given, chest = _body_part(header)
    if modality in _CAPTURES and not chest:
        found.append(("modality", f"the modality is {modality} and the body part is {given or 'not given'}"))
    elif modality not in (*_RADIOGRAPHY, *_CAPTURES):
        found.append(("modality", f"the modality is {modality or 'not given'}"))
    if given and not chest and modality not in _CAPTURES:
        found.append(("body_part", f"the body part is {given}"))
    if header.code("PresentationIntentType") == "FOR PROCESSING":
        found.append(("presentation_intent", "the image is FOR PROCESSING"))
    if (frames := header.whole("NumberOfFrames", 1)) > 1:
        found.append(("frames", f"the file holds {frames} frames"))
    return found


def _body_part(header: Header) -> tuple[str, bool]:
    """Return the body part as the file states it, and whether it is explicitly the chest.

    BodyPartExamined (0018,0015) decides if it is present, else AnatomicRegionSequence (0008,2218).
    """
    if header.text("BodyPartExamined"):
        given = header.code("BodyPartExamined") or "unintelligible"
        return given, _is_chest(given)
    given, chest = "", False
    for item in header.items("AnatomicRegionSequence"):
        meaning = coded_of(item, "CodeMeaning")
        code = coded_of(item, "CodeValue")
        given = given or meaning or code
        chest = chest or code in _CHEST_CODES or _is_chest(meaning)
    return given, chest


def _is_chest(text: str) -> bool:
    words = set(_words(text))
    return bool(words & _CHEST_WORDS) and words <= _CHEST_WORDS | _BESIDE_CHEST


def view_of(header: Header) -> str:
    """Return the view: PA, AP, FRONTAL, LATERAL, an oblique or decubitus code; empty if unknown."""
    view = _view_from_words(header.text("ViewPosition"))
    for item in header.items("ViewCodeSequence"):
        if view:
            break
        meaning = re.sub(r"(?i)(antero|postero)[- ]", r"\1", coded_of(item, "CodeMeaning"))
        view = _VIEW_CODES.get(coded_of(item, "CodeValue")) or _view_from_words(meaning)
    return view


def check_view(view: str, options: ReadOptions, path: str, notes: list[str]) -> None:
    """Refuse views that are known not to be frontal, unless all are requested; note an unknown view."""
    if not view:
        notes.append(UNKNOWN_VIEW)
    elif options.views == "frontal" and view not in FRONTAL_VIEWS:
        raise InputError(
            f"the view is {view}", where=path, remedy="pass --views all to score it", kind="view"
        )


def _view_from_words(text: str) -> str:
    words = _words(text)
    # Other views take precedence: "AP OBLIQUE" is oblique, "LATERAL DECUBITUS" is not lateral.
    for word in words:
        if word in _OTHER_VIEWS:
            return word
    named = {_VIEW_WORDS[word] for word in words if word in _VIEW_WORDS}
    if len(named) > 1:
        named.discard("FRONTAL")
    return named.pop() if len(named) == 1 else ""


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Z]+", text.upper())
