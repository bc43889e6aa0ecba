"""Describe a public data set without reading it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Texts(StrEnum):
    """The texts that a data set comes with."""

    NONE = ""
    REPORTS = "reports"
    PHRASES = "phrases"


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """All that the program and its documentation know of a public data set.

    Parameters
    ----------
    name
        The value of ``--dataset``. The module ``readers/<name>.py``, with ``_`` for ``-``, reads it.
    title
        Its name for people.
    aliases
        Other names that ``--dataset`` accepts, in lower case.
    findings
        The built-in finding set that its labels belong to.
    labels
        Which findings are labelled and who says so, for the documentation.
    texts
        Reports fill the column `text`, so that ``read`` takes a ``text``. Phrases belong to boxes.
    regions
        Which boxes or masks there are, for the documentation; empty = none.
    splits
        The splits that it can have, in the usual order.
    default_split
        The split that is evaluated when none is named.
    unit
        What is evaluated by default, following the literature.
    exclusive
        Every image has exactly one positive finding: accuracy can be reported beside AUC.
    patient_namespace
        Whose patient keys it uses. Equal keys in data sets of one namespace are the same patient.
    patient_in_name
        A regular expression for its file names without suffix, whose first group is the patient; None where
        names do not contain the patient.
    image_sources
        The archives that its images were taken from. Two data sets with a common source may contain the
        same images, whatever their patient keys are.
    evaluation_only
        Why ``tier train`` refuses it; None = it may be trained on.
    layout
        The short tree that is expected under the root, for errors and documentation.
    """

    name: str
    title: str
    aliases: tuple[str, ...] = ()
    findings: str
    labels: str
    texts: Texts = Texts.NONE
    regions: str = ""
    splits: tuple[str, ...]
    default_split: str
    unit: Literal["image", "study"] = "image"
    exclusive: bool = False
    patient_namespace: str
    patient_in_name: str | None = None
    image_sources: tuple[str, ...]
    evaluation_only: str | None
    layout: str

    @property
    def reports(self) -> bool:
        """Whether the column `text` can be filled from reports."""
        return self.texts is Texts.REPORTS

    @property
    def trainable(self) -> bool:
        """Whether ``tier train`` accepts it."""
        return self.evaluation_only is None
