"""Divide the files of a run among several runs: the images of a study stay together."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import warnings
from dataclasses import dataclass
from io import BytesIO

from tier_cli.errors import UsageError
from tier_cli.imaging.header import import_pydicom
from tier_cli.imaging.opening import head_of
from tier_cli.imaging.sniff import HEAD_BYTES, content_of

# The study's UID mostly lies in the first kilobytes, which every part reads of every file. The second bound
# keeps a hostile header from costing more.
_HEADS = (1 << 14, 1 << 18)


@dataclass(frozen=True)
class Shard:
    """One of several parts of a run.

    Parameters
    ----------
    number, count
        The part, from 1, and the number of parts.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``2/8``.

        Raises
        ------
        UsageError
            If the text is something else.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"'{text}' is no shard", where="--shard", remedy="give for example 1/4 to 4/4")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def has(self, path: str) -> bool:
        """Return whether a file belongs to this part: by its study, or by its path if it names none."""
        return self._mine(study_of(path) or path)

    def has_path(self, path: str) -> bool:
        """Return whether a path belongs to this part, whatever the file holds."""
        return self._mine(path)

    def _mine(self, key: str) -> bool:
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.number - 1


def study_of(path: str) -> str:
    """Return the Study Instance UID (0020,000D) of a DICOM file; "" if there is none to be read."""
    found = ""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return ""
        for size in _HEADS:
            head = head_of(path, status, size)
            if content_of(head[:HEAD_BYTES]) != "dicom":
                return ""
            found = _study_in(head)
            # A UID at the very end may have been cut.
            if status.st_size <= size or (found and not head.rstrip(b" \0").endswith(found.encode())):
                break
    except (OSError, ValueError):
        return ""
    return found


def _study_in(head: bytes) -> str:
    import_pydicom()
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(
                BytesIO(head), stop_before_pixels=True, force=True, specific_tags=["StudyInstanceUID"]
            )
            return str(dataset.get("StudyInstanceUID") or "").strip()
    except Exception:  # noqa: BLE001 - pydicom raises many kinds; the file then has no study, for every shard
        return ""
