"""Replace paths and UIDs in results by keyed hashes, so that rows can still be joined."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tier_cli.results.record import Result

KEY_VARIABLE = "TIER_HASH_KEY"
RANDOM_NOTE = f"paths and UIDs are hashed with a random key for this run; set {KEY_VARIABLE} to join runs"
_HEX_DIGITS = 32


@dataclass(frozen=True, repr=False)
class Hasher:
    """Replace paths and UIDs by HMAC-SHA256 (RFC 2104), 128 bits in hex.

    The hash is keyed because paths and UIDs can be guessed, and a plain hash would confirm a guess.

    Parameters
    ----------
    key
        The secret; anyone who has it can test a guess.
    note
        Added to every result.
    """

    key: bytes
    note: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Hasher:
        """Take the key from ``TIER_HASH_KEY``; if it is not set, draw one for this run and add a note."""
        if key := environment.get(KEY_VARIABLE):
            return cls(key.encode("utf-8", "surrogateescape"))
        import secrets

        return cls(secrets.token_bytes(32), RANDOM_NOTE)

    def hash(self, value: str) -> str:
        """Hash one value; an empty one stays empty."""
        if not value:
            return ""
        # Lone surrogates stand for the bytes of a file name that is not valid UTF-8.
        data = value.encode("utf-8", "surrogateescape")
        return hmac.new(self.key, data, hashlib.sha256).hexdigest()[:_HEX_DIGITS]

    def apply(self, result: Result) -> Result:
        """Return the result with hashed paths and UIDs, and with the note."""
        return self.noted(self.hashed(result))

    def hashed(self, result: Result) -> Result:
        """Return the result with hashed paths and UIDs."""
        return replace(
            result,
            paths=tuple(self.hash(path) for path in result.paths),
            study=self.hash(result.study),
            series=self.hash(result.series),
            instance=self.hash(result.instance),
        )

    def noted(self, result: Result) -> Result:
        """Return the result with the note."""
        return replace(result, notes=(*result.notes, self.note)) if self.note else result
