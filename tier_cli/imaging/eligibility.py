"""Decide whether a DICOM image may be scored as a chest radiograph."""

from __future__ import annotations

from tier_cli.errors import InputError
from tier_cli.imaging.body_part import Part, part_in, quotable
from tier_cli.imaging.header import Header, text_of
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.words import words_of

_RADIOGRAPHY = ("CR", "DX", "RG")
# Captures and digitised films can show anything, so they must state that they show a chest.
_CAPTURES = ("OT", "SC")
# Defined terms of PS3.3 C.7.3.1.1.1, current and retired; another value may be free text and is not quoted.
_MODALITIES = frozenset(
    """ANN AR ASMT AU BDUS BI BMD CD CF CP CR CS CT CTPROTOCOL DD DF DG DM DMS DOC DS DX EC ECG EEG EMG
    EOG EPS ES FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS M3D MA MG MR MS NM OAM OCT OP
    OPM OPR OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT
    RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SC SEG SM SMR SR SRF ST STAIN TEXTUREMAP TG US VA VF
    VIDD XA XAPROTOCOL XC""".split()  # noqa: SIM905
)
# SNOMED CT and the older SNOMED RT codes of PS3.16: chest (thorax), thoracic structure, lung.
_CHEST_CODES = frozenset({"816094009", "51185008", "39607008", "T-D3000", "T-28000"})
_DESCRIPTIONS = (
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionDeviceProcessingDescription",
    "PostprocessingFunction",
    "StudyDescription",
    "PerformedProcedureStepDescription",
    "RequestedProcedureDescription",
)
_FOR_PROCESSING_CLASS = "1.2.840.10008.5.1.4.1.1.1.1.1"
# Digital mammography and intra-oral images, for presentation and for processing.
_OTHER_PART_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.1.{end}" for end in ("2", "2.1", "3", "3.1"))
_HUMAN = frozenset(
    {"HUMAN", "HUMANO", "HUMANA", "HUMAIN", "UMANO", "MENSCH", "MENS", "HOMO", "SAPIENS", "人", "ЧЕЛОВЕК"}
)
_HUMAN_CODES = frozenset({"337915000", "L-85B00"})
_MOST_FRAMES = 9_999
_UNDEFINED = "given as a value that is not a defined term"
_ANYWAY = "pass --accept-any to score it anyway"


def check_kind(header: Header, options: ReadOptions, path: str, notes: list[str]) -> None:
    """Refuse anything but one human chest radiograph for presentation, or note it with `options.accept_any`.

    Raises
    ------
    InputError
        Of kind ``modality``, ``body_part``, ``presentation_intent`` or ``frames``.
    """
    for kind, what in _objections(header, notes, options.include_phi):
        if not options.accept_any:
            raise InputError(what, where=path, remedy=_REMEDIES[kind], kind=kind)
        notes.append(f"accepted although {what}" + ("; only the first is scored" if kind == "frames" else ""))


_REMEDIES = {
    "modality": f"give CR, DX or RG images, or {_ANYWAY}",
    "body_part": f"give images of human chests, or {_ANYWAY}",
    "presentation_intent": f"give the image FOR PRESENTATION, or {_ANYWAY}",
    "frames": "save the frame as a separate image, or pass --accept-any to score the first frame",
}


def _objections(header: Header, notes: list[str], include_phi: bool) -> list[tuple[str, str]]:
    """List the kind and the reason of every objection to the image; note what is merely doubtful."""
    found = []
    modality, stated = header.code("Modality"), header.text("Modality")
    defined = modality if modality in _MODALITIES else ""
    quoted = _quoted(stated, defined, include_phi) if stated else "not given"
    given, chest = _body_part(header, include_phi)
    if modality in _CAPTURES and not chest:
        found.append(("modality", f"the modality is {modality} and the body part is {given or 'not given'}"))
    elif modality not in (*_RADIOGRAPHY, *_CAPTURES):
        found.append(("modality", f"the modality is {quoted}"))
    if given and not chest and modality not in _CAPTURES:
        found.append(("body_part", f"the body part is {given}"))
    found += _described(header, modality, given, chest, notes)
    sop_class = header.sop_class
    if sop_class in _OTHER_PART_CLASSES:
        found.append(("body_part", "the SOP class is that of mammography or intra-oral images"))
    if not _is_human(header):
        found.append(("body_part", "the patient is not human according to PatientSpeciesDescription"))
    if header.code("PresentationIntentType") == "FOR PROCESSING" or sop_class == _FOR_PROCESSING_CLASS:
        found.append(("presentation_intent", "the image is FOR PROCESSING"))
    if (frames := header.whole("NumberOfFrames", 1)) > 1:
        # A larger number is no count: it may be a date or a patient's id.
        count = frames if frames <= _MOST_FRAMES or include_phi else "too many"
        found.append(("frames", f"the file holds {count} frames"))
    return found


def _described(
    header: Header, modality: str, given: str, chest: bool, notes: list[str]
) -> list[tuple[str, str]]:
    """Compare the body part with the descriptions, which decide only if no body part is given."""
    parts = {keyword: part_in(header.text(keyword)) for keyword in _DESCRIPTIONS}
    naming = {part: [keyword for keyword in parts if parts[keyword] is part] for part in Part}
    others, chests = naming[Part.OTHER], naming[Part.CHEST]
    if chest and others and not chests:
        notes.append(f"the body part is the chest, but {others[0]} names another part")
    if given or modality not in _RADIOGRAPHY:
        return []
    if others and not chests:
        return [("body_part", f"the body part is not given, and {others[0]} names another part")]
    if others:
        notes.append(f"body part not given: {chests[0]} names the chest, but {others[0]} another part")
    elif chests:
        notes.append(f"body part not given: {chests[0]} names the chest")
    else:
        notes.append("body part not given, assumed chest")
    return []


def _body_part(header: Header, include_phi: bool) -> tuple[str, bool]:
    """Return the body part as a message may quote it, and whether it is explicitly the chest.

    BodyPartExamined (0018,0015) decides if it is present, else AnatomicRegionSequence (0008,2218).
    """
    if text := header.text("BodyPartExamined"):
        return _quoted(text, quotable(text), include_phi), part_in(text) is Part.CHEST
    given, chest = "", False
    for item in header.items("AnatomicRegionSequence"):
        meaning, code = text_of(item, "CodeMeaning"), text_of(item, "CodeValue")
        text = meaning or code
        given = given or (_quoted(text, quotable(text), include_phi) if text else "")
        chest = chest or code in _CHEST_CODES or part_in(meaning) is Part.CHEST
    return given, chest


def _quoted(text: str, defined: str, include_phi: bool) -> str:
    """Return the defined term of a text for a message: any other text may name the patient."""
    return defined or (repr(text) if include_phi else _UNDEFINED)


def _is_human(header: Header) -> bool:
    """Return False if PatientSpeciesDescription (0010,2201) or its code (0010,2202) states another."""
    words = words_of(header.text("PatientSpeciesDescription"))
    codes = [text_of(item, "CodeValue") for item in header.items("PatientSpeciesCodeSequence")]
    if any(code in _HUMAN_CODES for code in codes) or not _HUMAN.isdisjoint(words):
        return True
    return not words and not any(codes)
