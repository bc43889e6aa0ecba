"""Read one DICOM file as a radiograph."""

from __future__ import annotations

import re

from tier_cli.imaging.aspect import square_size, squared
from tier_cli.imaging.damage import check_whole
from tier_cli.imaging.eligibility import check_kind
from tier_cli.imaging.guard import guarded
from tier_cli.imaging.header import Header, read_header
from tier_cli.imaging.levels import shown_levels
from tier_cli.imaging.limits import check_shown
from tier_cli.imaging.opening import open_file
from tier_cli.imaging.orientation import orientation_of_patient
from tier_cli.imaging.radiograph import Radiograph, ReadOptions
from tier_cli.imaging.reduction import Grid, Least, without_spread
from tier_cli.imaging.view import check_view, read_view

# Several components: a single number could be a date or a patient's id.
_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)+")
_PHI = {
    "patient_name": "PatientName",
    "patient_id": "PatientID",
    "patient_birth_date": "PatientBirthDate",
    "study_date": "StudyDate",
    "acquisition_date": "AcquisitionDate",
    "accession_number": "AccessionNumber",
}


def read_dicom(path: str, options: ReadOptions = ReadOptions(), least: Least | None = None) -> Radiograph:
    """Read a DICOM file of one chest radiograph in display space.

    Parameters
    ----------
    path, options
        The file, and how to read it.
    least
        The size at which its pixels are enough; None for all of them.

    Raises
    ------
    InputError
        If the file is broken or holds no image that may be scored.
    """
    notes: list[str] = []
    with guarded(path, "the DICOM file"), open_file(path) as raw:
        header = read_header(raw, path)
        check_kind(header, options, path, notes)
        view = read_view(header)
        check_view(view, options, path, notes)
        # Such an image is resampled twice: first to square pixels.
        stretched = _is_stretched(header)
        least = None if stretched else least
        shown = shown_levels(header, options, least, path, notes)
        remedy = "choose another window with --window N, or export the image again"
        levels, accept_any = shown.levels, options.accept_any
        check_shown(levels, path, notes, remedy=remedy, accept_any=accept_any, hidden=shown.outside)
        equalised = options.rendering == "minmax-equalized"
        check_whole(levels, path, notes, accept_any=accept_any, equalised=equalised)
        size, extent = (levels.shape[0], levels.shape[1]), shown.extent
        levels = squared(levels, header, notes)
        if extent and isinstance(levels, Grid):
            levels = without_spread(levels.levels(), extent.spread)
        orientation = orientation_of_patient(header.texts("PatientOrientation"), notes)
        return Radiograph(
            levels.turned(orientation) if isinstance(levels, Grid) else orientation.upright(levels),
            path,
            view.name,
            header.code("Modality"),
            _uid(header, "StudyInstanceUID", notes),
            _uid(header, "SeriesInstanceUID", notes),
            _uid(header, "SOPInstanceUID", notes),
            tuple(notes),
            _phi(header) if options.include_phi else {},
            orientation=orientation,
            stretched_from=orientation.swapped(size) if stretched else None,
            extent=extent and extent.turned(orientation, levels.shape),
        )


def _is_stretched(header: Header) -> bool:
    return square_size((header.whole("Rows", 0), header.whole("Columns", 0)), header, []) is not None


def _uid(header: Header, keyword: str, notes: list[str]) -> str:
    """Return a UID (PS3.5 9.1), or an empty text if it is invalid: any other text may name the patient."""
    text = header.text(keyword)
    if not text or _UID.fullmatch(text):
        return text
    notes.append(f"{keyword} is not a valid UID and was omitted")
    return ""


def _phi(header: Header) -> dict[str, str]:
    return {name: text for name, keyword in _PHI.items() if (text := header.text(keyword))}
