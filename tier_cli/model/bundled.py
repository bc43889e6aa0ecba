"""Describe the checkpoints that come with the program: licence, measured AUC and limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bundled:
    """What is known about a bundled checkpoint.

    Parameters
    ----------
    title, licence
        Display name and licence.
    auc
        The measured mean AUC, with its interval and the images it is from.
    limits
        Sentences about what it must not be used for.
    """

    title: str
    licence: str
    auc: str
    limits: tuple[str, ...]


# By the SHA-256 of the weights: a folder can have any name. The numbers are those of its report.json.
BUNDLED = {
    "61ae3119daea5d9d143393bc3f57a72ca45d115e81a1996e04380e2a1bb22713": Bundled(
        title="tier-small: MobileNetV2 and MiniLM, trained on 3,782 images of ChestX-ray14",
        licence="Apache-2.0",
        auc="0.670 [0.624, 0.716]: mean of 14 findings on 245 held-out images, for the recipe, not these"
        " weights;"
        " a supervised CheXNet has 0.811 there",
        limits=(
            "For research only: no diagnosis, triage, screening or other decision about a patient.",
            "Pneumothorax is at chance, and it does not beat a linear probe.",
            "Not tested on lateral views, on other hospitals, or on DICOM files with labels.",
        ),
    )
}
