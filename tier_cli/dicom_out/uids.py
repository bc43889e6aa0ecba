"""Derive UIDs from what an object says, so that the same run writes the same object again."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tier_cli.results.record import ModelStamp

# Never change it: objects that a second run writes would no longer replace those of the first.
_NAMESPACE = uuid.UUID("bf67695f-c283-45ec-bdc1-c74803797103")


def derived_uid(*parts: str) -> str:
    """Return the UID that stands for texts: a name-based UUID under 2.25 (PS3.5 B.2, RFC 9562 5.5).

    Examples
    --------
    >>> derived_uid("coding scheme", "99TIER")
    '2.25.44448735730566136578530484539488894480'
    """
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(0).join(parts)).int}"


def identity_of(model: ModelStamp) -> tuple[str, ...]:
    """Return what tells one model with its finding set from another, whatever their names."""
    return model.weights, model.preprocessing, model.findings, model.adaptation
