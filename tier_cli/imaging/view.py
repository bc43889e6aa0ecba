"""Settle which view a DICOM image shows, from everything that its header says about it."""

from __future__ import annotations

from dataclasses import dataclass

from tier_cli.errors import InputError
from tier_cli.imaging.header import Header, text_of
from tier_cli.imaging.radiograph import FRONTAL_VIEWS, UNKNOWN_VIEW, ReadOptions
from tier_cli.imaging.words import contains, words_of

# Texts about the image or its series. NLM's Open-i files name laterals in PostprocessingFunction alone.
_IMAGE_TEXTS = (
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionDeviceProcessingDescription",
    "PostprocessingFunction",
    "BodyPartExamined",
)
# Texts about an order, which may comprise several images: of 28 files of Open-i that an order calls frontal,
# 12 are laterals. Only a lateral is taken from here, and only if nothing else names a view.
_STUDY_TEXTS = ("StudyDescription", "PerformedProcedureStepDescription", "RequestedProcedureDescription")

_VIEWS = {
    "PA": ("PA", "POSTEROANTERIOR", "POSTEROANTERIORE", "POSTEROANTERIEUR", "POSTEROANTERIEURE"),
    "AP": ("AP", "ANTEROPOSTERIOR", "ANTEROPOSTERIORE", "ANTEROPOSTERIEUR", "ANTEROPOSTERIEURE"),
    "FRONTAL": (
        *("FRONTAL", "FRONTALE", "FRONTALES", "FRONTALBILD", "FRONT", "FRENTE", "FACE", "LORDOTIC"),
        *("ПРЯМАЯ", "ПРЯМОИ"),
    ),
    "LATERAL": (
        *("LATERAL", "LATERALE", "LATERALES", "LATERAAL", "LAT", "LL", "RL", "LLAT", "RLAT", "LATL", "LATR"),
        *("LATEROLATERAL", "LATEROLATERALE", "LATLAT", "XTABLE", "CROSSTABLE", "DWARS"),
        *("PROFIL", "PROFILE", "PERFIL", "PROFILO", "SEITLICH", "SEITL", "SEITENBILD"),
        *("SIDO", "SIDOBILD", "SIDEBILLEDE", "SIVUKUVA", "BOCZNE", "BOCZNY", "BOCZNA", "BOCNI", "BOK", "YAN"),
        *("БОКОВАЯ", "БОКОВОИ", "БОК", "ПРОФИЛЬ"),
    ),
    "OBLIQUE": (
        *("OBLIQUE", "OBL", "OBLIQUA", "OBLIQUO", "OBLICUA", "OBLICUO", "SCHRAG", "SCHRAEG", "SKOSNE"),
        *("КОСАЯ",),
    ),
    "DECUBITUS": ("DECUBITUS", "DECUB", "DECUBITO", "DEKUBITUS"),
    "SWIMMERS": ("SWIMMERS", "SWIMMER"),
    "TANGENTIAL": ("TANGENTIAL",),
    # Defined terms of ViewPosition (PS3.3 C.8.7.1 and C.8.11.5).
    **{code: (code,) for code in ("LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO")},
}
_VIEW_OF = {word: view for view, words in _VIEWS.items() for word in words}
# Scripts without spaces, searched for inside words.
_UNSPACED = {
    "OBLIQUE": ("斜位",),
    "DECUBITUS": ("側臥", "侧卧"),
    "LATERAL": ("侧位", "側位", "側面", "측면"),
    "FRONTAL": ("正位", "正面", "정면"),
    "PA": ("后前", "後前", "후전"),
    "AP": ("前后", "前後", "전후"),
}
_CORONAL = frozenset({"PA", "AP", "FRONTAL"})
# "Decubitus" is lying on the side in English, but lying in French, Spanish and Portuguese.
_ON_THE_BACK = frozenset({"DORSAL", "DORSALE", "VENTRAL", "SUPINE", "SUPINO", "PRONE", "PRONO"})
# Words beside a view that name none: posture, equipment, breathing, side, the body part itself.
_NEUTRAL = frozenset(
    words_of(
        """A AND THE OF VIEW VIEWS L R LEFT RIGHT LINKS RECHTS SUPINE PRONE ERECT UPRIGHT SEMIERECT SEMI
        SITTING SIT STANDING STAND STEHEND SITZEND LIEGEND RECUMBENT SUPINO DORSAL VENTRAL DEBOUT
        ASSIS COUCHE PIE PORTABLE PORT MOBILE MOBIL BED BEDSIDE GRID NON INSP INSPIRATION EXP
        EXPIRATION CHEST THORAX TORAX TORACE LUNG LUNGS NONE UNKNOWN UNSPECIFIED OTHER N NA"""
    )
)
# CID 4010 of PS3.16, SNOMED CT and RT.
_VIEW_CODES = {
    **dict.fromkeys(("272479007", "R-10214", "R-40888"), "PA"),
    **dict.fromkeys(("399348003", "R-10206"), "AP"),
    **dict.fromkeys(("399033003", "R-10202"), "FRONTAL"),
    **dict.fromkeys(("399067008", "R-102CD", "399198007", "R-10232", "399173006", "R-10236"), "LATERAL"),
    **dict.fromkeys(("399352003", "R-10228", "399260004", "R-10224"), "LATERAL"),
}


@dataclass(frozen=True)
class View:
    """The view of an image and where it was found.

    Parameters
    ----------
    name
        As in `Radiograph.view`.
    source
        The attribute that names it; empty if none does.
    contradictions
        Other attributes and the views that they name instead.
    not_understood
        The attribute that should name the view but holds a value that is not a defined term, or empty.
    """

    name: str = ""
    source: str = ""
    contradictions: tuple[tuple[str, str], ...] = ()
    not_understood: str = ""


def read_view(header: Header) -> View:
    """Settle the view.

    ViewPosition and ViewCodeSequence decide, but a PatientOrientation whose rows run to the front or the back
    makes any view a lateral: all 689 such files of Open-i are. Without them, PatientOrientation and the texts
    decide; a view that is not frontal prevails, because it must not be scored as if it were.
    """
    position, known = view_in(header.text("ViewPosition"))
    stated = [("ViewPosition", position)]
    not_understood = "" if known else "ViewPosition"
    for item in header.items("ViewCodeSequence"):
        meaning, known = view_in(text_of(item, "CodeMeaning"))
        code = text_of(item, "CodeValue").upper()
        stated.append(("ViewCodeSequence", _VIEW_CODES.get(code) or meaning))
        if not (known or code in _VIEW_CODES):
            not_understood = not_understood or "ViewCodeSequence"
    plane = [("PatientOrientation", _plane(header.texts("PatientOrientation")))]
    texts = [(name, view_in(header.text(name))[0]) for name in _IMAGE_TEXTS]
    stated, plane, texts = (
        [(source, view) for source, view in found if view] for found in (stated, plane, texts)
    )
    orders = [
        (name, view)
        for name in _STUDY_TEXTS
        if (view := view_in(header.text(name))[0]) not in ("", *_CORONAL)
    ]
    pool = [*stated, *plane] if stated else [*texts, *plane] or orders
    source, view = next((found for found in pool if found[1] not in _CORONAL), next(iter(pool), ("", "")))
    against = [found for found in (*stated, *plane, *texts) if _contradicts(view, *found)]
    return View(view, source, tuple(dict.fromkeys(against)), not_understood)


def check_view(view: View, options: ReadOptions, path: str, notes: list[str]) -> None:
    """Refuse views that are not to be scored, and note what is unknown or contradictory.

    Raises
    ------
    InputError
        Of kind ``view``.
    """
    stated = view.source in ("ViewPosition", "ViewCodeSequence")
    name = f"{view.name}" if stated else f"{view.name} according to {view.source}"
    undefined = f"{view.not_understood} holds a value that is not a defined term"
    against = [f"{source} says {other}" for source, other in view.contradictions]
    conflict = f"the view is {view.name} according to {view.source}, but {' and '.join(against)}"
    if options.views != "all":
        doubts = [undefined] * bool(view.not_understood) + [conflict] * bool(against)
        if view.name and view.name not in FRONTAL_VIEWS:
            raise _refused(f"the view is {name}", path)
        if view.not_understood and not view.name:
            raise _refused(f"the view is unknown: {undefined}", path)
        if options.views == "strict" and (doubts or not view.name):
            raise _refused(doubts[0] if doubts else "the view is not given", path)
    if view.not_understood:
        notes.append(undefined)
    elif not view.name:
        notes.append(UNKNOWN_VIEW)
    if against:
        notes.append(conflict)
    elif view.name and not stated:
        notes.append(f"the view is {name}")


def _refused(what: str, path: str) -> InputError:
    return InputError(what, where=path, remedy="pass --views all to score it", kind="view")


def view_in(text: str) -> tuple[str, bool]:
    """Return the view that a text names, empty if none, and whether the text is understood.

    Examples
    --------
    >>> view_in("Thorax seitlich"), view_in("AP OBLIQUE"), view_in("SUPINE"), view_in("FOO")
    (('LATERAL', True), ('OBLIQUE', True), ('', True), ('', False))

    Two views in one text describe a series of two images, or an order:

    >>> view_in("CHEST PA AND LAT")
    ('', True)
    """
    words = words_of(text)
    named = {_VIEW_OF[word] for word in words if word in _VIEW_OF}
    named |= {view for view, parts in _UNSPACED.items() if contains(words, parts)}
    if "DECUBITUS" in named and not _ON_THE_BACK.isdisjoint(words):
        named.remove("DECUBITUS")
        if not named:
            return "", True
    # Other views prevail: "AP OBLIQUE" is oblique, "LATERAL DECUBITUS" is not lateral.
    if others := named - _CORONAL - {"LATERAL"}:
        return next((view for view in _VIEWS if view in others and len(view) == 3), min(others)), True
    if "LATERAL" in named:
        return ("LATERAL" if named == {"LATERAL"} else ""), True
    if named:
        specific = named - {"FRONTAL"}
        return (specific.pop() if len(specific) == 1 else "FRONTAL"), True
    return "", _NEUTRAL.issuperset(words) and not any(letter.isdigit() for letter in text)


def _plane(orientation: tuple[str, ...]) -> str:
    """Return LATERAL or FRONTAL by the direction that runs across the body (PS3.3 C.7.6.1.1.1)."""
    directions = [value.strip().upper()[:1] for value in orientation]
    across = [direction for direction in directions if direction not in ("H", "F")]
    if len(directions) != 2 or len(across) != 1:
        return ""
    return "LATERAL" if across[0] in ("A", "P") else "FRONTAL" if across[0] in ("L", "R") else ""


def _contradicts(view: str, source: str, other: str) -> bool:
    if source == "PatientOrientation" and other == "FRONTAL":
        # Decubitus and oblique views, too, are seen from the front.
        return view == "LATERAL"
    if {view, other} == {"PA", "AP"}:
        return source == "ViewCodeSequence"
    return (view in _CORONAL) != (other in _CORONAL)
