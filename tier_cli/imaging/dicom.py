"""Read one DICOM file as a radiograph."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tier_cli.imaging.aspect import squared
from tier_cli.imaging.damage import check_whole
from tier_cli.imaging.display import Counts, Display, grey_table, padding_of
from tier_cli.imaging.eligibility import check_kind
from tier_cli.imaging.guard import guarded
from tier_cli.imaging.header import Header, read_header
from tier_cli.imaging.limits import BLANK_SHARE, check_shown, sampled
from tier_cli.imaging.opening import open_file
from tier_cli.imaging.orientation import orientation_of_patient
from tier_cli.imaging.pixels import Stored, decode
from tier_cli.imaging.radiograph import Radiograph, ReadOptions, Rendering
from tier_cli.imaging.render import equalised, minmax
from tier_cli.imaging.transforms import display_of
from tier_cli.imaging.view import check_view, read_view

# Rows looked up at a time: numpy widens indices to 64 bits, for a whole image the largest array of all.
_ROWS = 64
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


def read_dicom(path: str, options: ReadOptions = ReadOptions()) -> Radiograph:
    """Read a DICOM file of one chest radiograph in display space.

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
        stored = decode(header, path, notes)
        hidden = None
        if stored.codes.ndim == 3:
            pixels = _luminance(stored, options.rendering, notes)
        else:
            display = display_of(header, stored.bits, stored.signed, options, notes)
            pixels, hidden = _shown(stored, display, options.rendering, notes)
        remedy = "choose another window with --window N, or export the image again"
        check_shown(pixels, path, notes, remedy=remedy, accept_any=options.accept_any, hidden=hidden)
        equalised = options.rendering == "minmax-equalized"
        check_whole(pixels, path, notes, accept_any=options.accept_any, equalised=equalised)
        square = squared(pixels, header, notes)
        orientation = orientation_of_patient(header.texts("PatientOrientation"), notes)
        return Radiograph(
            orientation.upright(square),
            path,
            view.name,
            header.code("Modality"),
            _uid(header, "StudyInstanceUID", notes),
            _uid(header, "SeriesInstanceUID", notes),
            _uid(header, "SOPInstanceUID", notes),
            tuple(notes),
            _phi(header) if options.include_phi else {},
            orientation=orientation,
            stretched_from=None if square is pixels else orientation.swapped(pixels.shape),
        )


def _uid(header: Header, keyword: str, notes: list[str]) -> str:
    """Return a UID (PS3.5 9.1), or an empty text if it is invalid: any other text may name the patient."""
    text = header.text(keyword)
    if not text or _UID.fullmatch(text):
        return text
    notes.append(f"{keyword} is not a valid UID and was omitted")
    return ""


def _phi(header: Header) -> dict[str, str]:
    return {name: text for name, keyword in _PHI.items() if (text := header.text(keyword))}


def _shown(
    stored: Stored, display: Display, rendering: Rendering, notes: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Look up the grey level of each stored value; also return which sampled pixels are padding."""
    counted: list[Counts] = []

    def counts() -> Counts:
        if not counted:
            counted.append(_counts(stored))
        return counted[0]

    hidden = stored.hidden
    if display.padding is not None or hidden is not None:
        padding = padding_of(display, stored.bits, stored.signed)
        if counts()[~padding].sum() < BLANK_SHARE * stored.codes.size:
            notes.append("padding value ignored: it covers the whole image")
            display, hidden = replace(display, padding=None), None
            counted.clear()
            stored = replace(stored, hidden=None)
    table = grey_table(display, stored.bits, stored.signed, rendering, counts)
    pixels = np.empty(stored.codes.shape, np.float32)
    for start in range(0, len(pixels), _ROWS):
        np.take(table, stored.codes[start : start + _ROWS], out=pixels[start : start + _ROWS], mode="clip")
    outside = padding_of(display, stored.bits, stored.signed)[sampled(stored.codes)]
    if hidden is not None:
        pixels[hidden] = 0.0
        outside |= sampled(hidden)
    return pixels, outside


def _counts(stored: Stored) -> Counts:
    """Count the pixels of each bit pattern (2**bits,), without those that are hidden."""
    counts = np.zeros(2**stored.bits, np.int64)
    for start in range(0, len(stored.codes), 4 * _ROWS):
        counts += np.bincount(stored.codes[start : start + 4 * _ROWS].ravel(), minlength=len(counts))
    if stored.hidden is not None:
        counts -= np.bincount(stored.codes[stored.hidden], minlength=len(counts))
    return counts


def _luminance(stored: Stored, rendering: Rendering, notes: list[str]) -> NDArray[np.float32]:
    """Convert RGB (H, W, 3) to grey levels by Rec. 601; windows apply to greyscale only."""
    top = np.float32(2**stored.bits - 1)
    grey = stored.codes[..., 0] * (np.float32(0.299) / top)
    grey += stored.codes[..., 1] * (np.float32(0.587) / top)
    grey += stored.codes[..., 2] * (np.float32(0.114) / top)
    notes.append("colour converted to luminance")
    if rendering != "voi":
        grey = minmax(grey)
    if rendering == "minmax-equalized":
        grey = equalised(grey)
    return np.clip(grey, 0.0, 1.0, out=grey)
