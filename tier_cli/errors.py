"""The errors of the project: what failed, where, and what to do about it."""

from __future__ import annotations


class TierError(Exception):
    """An error written for the person who runs the command.

    Parameters
    ----------
    what
        What failed, one clause without a full stop.
    where
        The file, tag, column, tensor or option it failed in.
    remedy
        What to do about it.
    kind
        Stable word for programs, such as ``modality``; the class's own kind by default.
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
        """What failed and what to do, without the place: for rows that already name the file."""
        return f"{self.what}; {self.remedy}" if self.remedy else self.what

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" if self.where else self.reason

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments do not survive the trip back from a worker process otherwise.
        return _rebuild, (type(self), self.what, self.where, self.remedy, self.kind)


def _rebuild(cls: type[TierError], what: str, where: str | None, remedy: str | None, kind: str) -> TierError:
    return cls(what, where=where, remedy=remedy, kind=kind)


class UsageError(TierError):
    """The command was called wrongly: an option, a path or a name that makes no sense."""

    default_kind = "usage"


class InputError(TierError):
    """One input cannot be used. It becomes a row with an error; the batch goes on.

    ``kind`` is one of: ``missing``, ``unreadable``, ``not_an_image``, ``modality``, ``body_part``,
    ``presentation_intent``, ``frames``, ``view``, ``photometric``, ``codec``, ``too_small``, ``too_large``,
    ``blank``, ``crashed``.
    """

    exit_code = 3
    default_kind = "unreadable"


class CheckpointError(TierError):
    """A checkpoint folder is absent, incomplete, altered or not of a kind that can be used."""

    default_kind = "checkpoint"


class FindingSetError(TierError):
    """A finding set cannot be read or makes no sense."""

    default_kind = "finding_set"


class ManifestError(TierError):
    """A manifest or label file cannot be used."""

    default_kind = "manifest"
