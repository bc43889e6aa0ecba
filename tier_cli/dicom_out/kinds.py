"""List the kinds of DICOM objects that show the maps of one image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tier_cli.dicom_out.capture import secondary_capture
from tier_cli.dicom_out.presentation import presentation_state
from tier_cli.dicom_out.segmentation import segmentation
from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from tier_cli.findings.schema import FindingSet
    from tier_cli.maps.explanation import Explanation
    from tier_cli.maps.scale import MapScale
    from tier_cli.results.record import Result

# Returns the object of one image; None if there is nothing to show.
Builder: TypeAlias = "Callable[[Result, Explanation, FindingSet], Dataset | None]"


@dataclass(frozen=True)
class ImageKind:
    """A kind of DICOM object of one image.

    Parameters
    ----------
    what
        What an object is called in messages.
    build
        Builds it; raises `InputError` for an image that cannot have one.
    outlines
        Whether it shows only what reaches a threshold of the maps.
    """

    what: str
    build: Builder
    outlines: bool = False


# By the names of the options of `tier classify` that write them.
IMAGE_KINDS = {
    "gsps": ImageKind(
        "DICOM presentation state",
        lambda result, explanation, findings: presentation_state(result, explanation),
        outlines=True,
    ),
    "sc": ImageKind(
        "DICOM secondary capture",
        lambda result, explanation, findings: secondary_capture(result, explanation),
    ),
    "seg": ImageKind("DICOM segmentation", segmentation, outlines=True),
}


def check_thresholds(names: Iterable[str], scale: MapScale, model: str, findings: str) -> None:
    """Refuse kinds that outline what stands out where nothing says from when on it does.

    Parameters
    ----------
    names
        Keys of `IMAGE_KINDS`; others are passed over.
    scale
        The scale of the checkpoint's maps.
    model, findings
        The names of checkpoint and finding set, for the message.

    Raises
    ------
    UsageError
        If there are no thresholds.
    """
    outlined = [name for name in names if name in IMAGE_KINDS and IMAGE_KINDS[name].outlines]
    if outlined and not scale.thresholds:
        raise UsageError(
            f"{model} has no map thresholds for the finding set {findings}",
            where=", ".join(outlined),
            remedy="fit them with `tier model map-scale`, or omit it",
        )
