"""Word the notes that tell people how training rows were chosen; nothing reads them but people."""

from __future__ import annotations

from enum import Enum


class Note(Enum):
    """The notes, with the names of what `text` fills in."""

    NO_SPLIT = "images without a split left out: {images}"
    NO_VALIDATION_SPLIT = "no validation: no split for it, and --valid-share is 0"
    NO_VALIDATION_LABELS = "no validation: no image has a label of {findings}"
    NO_FRONTAL_VALIDATION = "no validation: no frontal validation image has a label of {findings}"
    DRAWN = "no validation split: {split}"
    PATIENTS_OF_OTHER_SPLITS = "images of patients of other splits left out of training: {images}"
    VALIDATION_PATIENTS = "images of validation patients left out of training: {images}"
    SHARED_IMAGES = (
        "some validation images may also be trained on: {train} and {validation} share images, and their"
        " patients cannot be compared"
    )
    LATERAL = "lateral images left out of training: {images}"
    CAPTIONS = "no reports: captions are written from labels; uncertain labels (-1) are not mentioned"
    NO_LABEL = "images without a label of a known finding left out: {images}"
    NO_CAPTION = "images whose labels give no caption (uncertain, or No Finding 0) left out: {images}"
    NO_TEXT = "images without a text left out: {images}"
    LABELS_WITHOUT_TEXT = "images with labels and no text left out (--text labels trains on labels): {images}"

    def text(self, **values: object) -> str:
        """Return the note with its values filled in."""
        return self.value.format(**values)
