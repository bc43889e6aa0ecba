"""Define the errors of the package: what failed, where, and what to do about it.

::

    TierError
        UsageError          an option, path or name is wrong
        InputError          one file cannot be used; the run continues
        CheckpointError     a checkpoint cannot be used
        FindingSetError     a finding set cannot be used
        ManifestError       a manifest or label file cannot be used
        JournalError        a journal cannot be used
        StorageError        a disk is full, or a file system was lost
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import get_close_matches


class TierError(Exception):
    """An error with a message for the user.

    Parameters
    ----------
    what
        What failed, one clause without a full stop.
    where
        The file, tag, column, tensor or option where it failed.
    remedy
        What to do about it.
    kind
        A stable word for programs, such as ``modality``; by default the kind of the class.

    Examples
    --------
    >>> str(UsageError("unknown device 'tpu'", where="--device", remedy="use cpu or cuda"))
    "--device: unknown device 'tpu'; use cpu or cuda"
    """

    exit_code = 2
    default_kind = "error"

    def __init__(
        self, what: str, *, where: str | None = None, remedy: str | None = None, kind: str | None = None
    ):
        super().__init__(what, where, remedy, kind)
        self.what, self.where, self.remedy = what, where, remedy
        self.kind = kind or self.default_kind

    @property
    def reason(self) -> str:
        """What failed and what to do, without the place: for results that already name the file."""
        return f"{self.what}; {self.remedy}" if self.remedy else self.what

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" if self.where else self.reason

    def __reduce__(self) -> tuple[object, ...]:
        # Without this, exceptions with keyword arguments cannot be unpickled from a worker process.
        return _rebuild, (type(self), self.what, self.where, self.remedy, self.kind)


def did_you_mean(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return a question that proposes the nearest known name, after a blank; "" if none is near.

    Parameters
    ----------
    name, known
        What was typed, and what could have been meant.
    likeness
        How like the two must be, from 0 to 1: more where an unknown name may be meant as it is.

    Examples
    --------
    >>> did_you_mean("chexpert-5", ["chexpert5", "nih14"])
    ' (did you mean chexpert5?)'
    """
    lowered: dict[str, str] = {}
    for one in known:
        lowered.setdefault(one.lower(), one)
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=likeness)
    return f" (did you mean {lowered[near[0]]}?)" if near else ""


def counted(reasons: Mapping[str, int]) -> str:
    """List reasons with how often each occurred, the most frequent first.

    Examples
    --------
    >>> counted({"too small": 1, "not an image": 8})
    'not an image (8), too small (1)'
    """
    return ", ".join(f"{name} ({count})" for name, count in Counter(reasons).most_common())


def _rebuild(cls: type[TierError], what: str, where: str | None, remedy: str | None, kind: str) -> TierError:
    return cls(what, where=where, remedy=remedy, kind=kind)


class UsageError(TierError):
    """An option, a path or a name is wrong."""

    default_kind = "usage"


class InputError(TierError):
    """One input cannot be used. It becomes a result with an error, and the run continues.

    ``kind`` is one of: ``missing``, ``unreadable``, ``not_an_image``, ``modality``, ``body_part``,
    ``presentation_intent``, ``frames``, ``view``, ``photometric``, ``codec``, ``too_small``, ``too_large``,
    ``blank``, ``mask``, ``damaged``, ``input_check``, ``costly``, ``time_limit``, ``memory_limit``,
    ``changed``, ``crashed``, ``not_finite``. `kind_label` says each in words.
    """

    exit_code = 3
    default_kind = "unreadable"


_LABELS = {
    "not_an_image": "not an image",
    "modality": "other modality",
    "body_part": "other body part",
    "presentation_intent": "for processing",
    "frames": "several frames",
    "view": "other view",
    "mask": "mask or drawing",
    "photometric": "unsupported photometric interpretation",
    "codec": "no decoder",
    "too_small": "too small",
    "too_large": "too large",
    "input_check": "not a frontal chest X-ray by the input check",
    "costly": "far costlier than an image",
    "changed": "changed while it was read",
    "crashed": "reader failed",
    "not_finite": "no finite number from the model",
}


def kind_label(kind: str) -> str:
    """Say the kind of an error in a few words, such as "other modality"."""
    return _LABELS.get(kind, kind.replace("_", " "))


class CheckpointError(TierError):
    """A checkpoint folder is missing, incomplete, altered or of an unsupported kind."""

    default_kind = "checkpoint"


class FindingSetError(TierError):
    """A finding set cannot be read or is invalid."""

    default_kind = "finding_set"


class ManifestError(TierError):
    """A manifest or label file cannot be used."""

    default_kind = "manifest"


class JournalError(TierError):
    """A journal cannot be used, or belongs to another run."""

    default_kind = "journal"


class StorageError(TierError):
    """Results cannot be written: a disk is full, or a file system was lost. What is in the journal stays.

    The exit code is that of ``EX_IOERR`` in sysexits.h.
    """

    exit_code = 74
    default_kind = "storage"
