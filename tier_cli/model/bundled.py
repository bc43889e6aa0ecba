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
    "1297a9cefb07d5670b454484aa68269bca0562e4ba10053ee076661683dbecea": Bundled(
        title="tier-small: MobileNetV2 and MiniLM, trained on 5,029 images of ChestX-ray14",
        licence="Apache-2.0",
        auc="0.696 [0.670, 0.721]: mean of 14 findings on 538 test images; the same tower with a linear layer"
        " has 0.700 with labels alone and 0.706 with the same soft labels",
        limits=(
            "For research only: no diagnosis, triage, screening or other decision about a patient.",
            "Consolidation is at chance; a supervised CheXNet is better by 0.09 where both were measured.",
            "Not tested on lateral views, on other hospitals, or on DICOM files with labels.",
        ),
    )
}
