"""Name the coded concepts of the objects that are written."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING

from tier_cli.dicom_out.objects import LONGEST_TEXT
from tier_cli.dicom_out.uids import derived_uid
from tier_cli.findings.load import builtin, builtin_names
from tier_cli.findings.schema import Code, Finding, fold

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept

# The private scheme for what no public scheme has. docs/dicom-results.md publishes it.
SCHEME = "99TIER"
SCHEME_NAME = "TIER findings and results"
SCHEME_UID = derived_uid("coding scheme", SCHEME)

SCORE = Code(SCHEME, "score", "Score")
PROBABILITY = Code("DCM", "122157", "Probability")
CALL = Code(SCHEME, "call", "Score reaches operating point")
YES, NO = Code("SCT", "373066001", "Yes"), Code("SCT", "373067005", "No")
COMMENT = Code("DCM", "121106", "Comment")
CHEST_IMAGING = Code("SCT", "413815006", "Chest imaging")
ENGLISH = Code("RFC5646", "en", "English")
IMAGE_LIBRARY = Code("DCM", "111028", "Image Library")
IMAGE_LIBRARY_GROUP = Code("DCM", "126200", "Image Library Group")
SOURCE = Code("SCT", "260753009", "Source")
SOURCE_IMAGE = Code("DCM", "121322", "Source image for image processing operation")
SPATIAL = Code("SCT", "309825002", "Spatial and Relational Concept")
ARTIFICIAL_INTELLIGENCE = Code("DCM", "123110", "Artificial Intelligence")
NO_UNITS = Code("UCUM", "1", "no units")

_HEX_DIGITS = 12


def code_of(finding: Finding) -> Code:
    """Return the code of a finding.

    It is the finding's own; or that of the built-in finding with the same id and label, which a checkpoint's
    own set lacks; or one of the private scheme: the id of a built-in finding, and for any other finding a
    hash of its id and prompts, since two users may give one id to different findings.

    Examples
    --------
    >>> code_of(Finding("pneumothorax", "Pneumothorax", (), ("A pneumothorax.",), ("None.",))).value
    '36118008'
    >>> code_of(Finding("sail_sign", "Sail sign", (), ("A sail sign.",), ("No sail sign.",)))
    Code(scheme='99TIER', value='u-1fca72cc572b', meaning='Sail sign')
    """
    if finding.code is not None:
        return finding.code
    known = _builtin_codes().get((finding.id, fold(finding.label)))
    if known is not None:
        return known
    content = json.dumps([finding.id, finding.positive, finding.negative])
    return Code(SCHEME, f"u-{hashlib.sha256(content.encode()).hexdigest()[:_HEX_DIGITS]}", _meaning(finding))


def concept(code: Code) -> CodedConcept:
    """Return a code as highdicom writes it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


@cache
def _builtin_codes() -> dict[tuple[str, str], Code]:
    found: dict[tuple[str, str], Code] = {}
    for name in builtin_names():
        for finding in builtin(name).findings:
            code = finding.code or Code(SCHEME, finding.id[:LONGEST_TEXT], _meaning(finding))
            found.setdefault((finding.id, fold(finding.label)), code)
    return found


def _meaning(finding: Finding) -> str:
    return finding.label.replace("\\", "/")[:LONGEST_TEXT] or finding.id
