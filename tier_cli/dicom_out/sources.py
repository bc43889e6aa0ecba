"""Read again what an object must say of the images that it is made from."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from tier_cli.dicom_out.objects import LONGEST_TEXT
from tier_cli.errors import InputError
from tier_cli.imaging.guard import guarded
from tier_cli.imaging.header import Header, read_header, values_of
from tier_cli.imaging.opening import open_file

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from tier_cli.results.record import Result

# What ties an object to its patient and study: types 1 and 2 of the Patient and General Study modules
# (PS3.3 C.7.1.1, C.7.2.1), the issuers of both numbers, and the description that work lists show.
_COPIED = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
    "StudyDescription",
)
_OPTIONAL = ("IssuerOfPatientID", "StudyDescription")
# A value against the standard would make the object invalid: it is left empty.
_VALID = {
    "PatientSex": r"[MFO]",
    "StudyTime": r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?",
}
# Texts that only people read: what the standard forbids in them is cut off. Archives match objects on the
# patient's name and id, its issuer, and the accession number, which therefore stay as the image has them.
_CUT = {"StudyDescription": LONGEST_TEXT, "StudyID": 16}
# Of a person name, PS3.5 6.2.1.
_MOST_GROUPS, _MOST_CARETS = 3, 4
_DATES = ("PatientBirthDate", "StudyDate")
_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)+")
# How the values of an image become grey levels (PS3.3 C.11.1, C.11.2, C.11.6), and the shape of its pixels.
_WINDOW = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation")
_DISPLAYED = (
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *(*_WINDOW, "VOILUTFunction", "VOILUTSequence", "PixelAspectRatio"),
)
_PATIENT = ("PatientID", "PatientName", "PatientBirthDate")


def read_sources(results: tuple[Result, ...]) -> tuple[Dataset, ...]:
    """Read the headers of all images of one study, in the order of the results.

    Parameters
    ----------
    results
        By image or by study, all of one study.

    Raises
    ------
    InputError
        A file cannot be read, is no longer the image that was scored, or lacks what the object must say; or
        the images disagree on the patient.
    """
    read = []
    for result in results:
        for path in result.paths:
            source = _read(path)
            if source.StudyInstanceUID != result.study or result.instance not in ("", source.SOPInstanceUID):
                raise InputError(
                    "the file is not the image that was scored", where=path, remedy="score it again"
                )
            read.append(source)
    for path, source in zip((path for result in results for path in result.paths), read, strict=True):
        if any(source.get(keyword) != read[0].get(keyword) for keyword in _PATIENT):
            raise InputError(
                "the images of the study name different patients",
                where=path,
                remedy="correct the patient's name, id or birth date in the files",
            )
    return tuple(read)


def read_displayed(result: Result) -> Dataset:
    """Read the header of one image with how it is displayed, for an object that draws on it.

    Raises
    ------
    InputError
        As for `read_sources`, or the image has colours.
    """
    (source,) = read_sources((result,))
    path = result.paths[0]
    with guarded(path, "the DICOM header"), open_file(path) as raw:
        header = read_header(raw, path)
        if header.whole("SamplesPerPixel", 1) != 1:
            raise InputError(
                "presentation states and segmentations cannot refer to a colour image",
                where=path,
                remedy="give the greyscale original",
            )
        source.SamplesPerPixel = 1
        source.PhotometricInterpretation = header.code("PhotometricInterpretation")
        for keyword in _DISPLAYED:
            values = values_of(header.dataset, keyword)
            if not values:
                continue
            source[keyword] = header.dataset[keyword]
            if keyword in _WINDOW:
                # An object shows one window: the first, as `tier` and viewers do.
                setattr(source, keyword, values[0])
    return source


def _read(path: str) -> Dataset:
    with guarded(path, "the DICOM header"):
        try:
            with open_file(path) as raw:
                return _source(read_header(raw, path), path)
        except OSError as error:
            what = f"the file cannot be read any more: {error.strerror or 'unknown reason'}"
            raise InputError(what, where=path, remedy="restore the file", kind="missing") from error


def _source(header: Header, path: str) -> Dataset:
    from pydicom.dataset import Dataset

    source = Dataset()
    for keyword in _COPIED:
        text = header.text(keyword)
        if keyword in _CUT:
            text = "".join(filter(str.isprintable, text))[: _CUT[keyword]].rstrip()
        elif not _is_valid(keyword, text):
            text = ""
        if text or keyword not in _OPTIONAL:
            setattr(source, keyword, text)
    for keyword, uid in (
        ("SOPClassUID", header.sop_class),
        ("SOPInstanceUID", header.text("SOPInstanceUID")),
        ("SeriesInstanceUID", header.text("SeriesInstanceUID")),
        ("StudyInstanceUID", source.StudyInstanceUID),
    ):
        if not _UID.fullmatch(uid):
            fault = "is not a valid UID" if uid else "is missing"
            raise InputError(
                f"{keyword} {fault}, so a DICOM object cannot refer to the image",
                where=path,
                remedy="export the image again from the archive",
            )
        setattr(source, keyword, uid)
    source.Modality = header.code("Modality")
    source.Rows, source.Columns = header.whole("Rows", 0), header.whole("Columns", 0)
    return source


def _is_valid(keyword: str, text: str) -> bool:
    """Return whether an object may say a value of the image."""
    if keyword in _DATES:
        with suppress(ValueError):
            return re.fullmatch(r"[0-9]{8}", text) is not None and bool(datetime.strptime(text, "%Y%m%d"))
        return False
    if keyword == "ReferringPhysicianName":
        groups = text.split("=")
        fit = all(len(one) <= LONGEST_TEXT and one.count("^") <= _MOST_CARETS for one in groups)
        return fit and len(groups) <= _MOST_GROUPS and text.isprintable()
    return keyword not in _VALID or re.fullmatch(_VALID[keyword], text) is not None
