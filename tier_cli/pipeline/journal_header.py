"""Describe a run in the header of its journal, and read the description again to make the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError, JournalError
from tier_cli.pipeline.finish import Finish
from tier_cli.pipeline.journaled import JournalResults
from tier_cli.pipeline.shards import Shard
from tier_cli.pipeline.versions import result_versions
from tier_cli.results.record import ModelStamp, Unit
from tier_cli.results.rows import Layout
from tier_cli.scoring.calibration import Calibration

if TYPE_CHECKING:
    from tier_cli.pipeline.image_scorer import ImageScorer
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.results.journal import Document

# They decide how long a file may take, not what it gives; the rendering is the checkpoint's.
_NO_RESULT = ("rendering", "timeout", "memory")


def header_of(
    job: ScoringJob,
    scorer: ImageScorer,
    options: StreamOptions,
    *,
    hash_ids: str = "",
    note: str = "",
    columns: bool = False,
    content_hashes: bool = False,
    shard: Shard | None = None,
) -> Document:
    """Describe a run.

    Parameters
    ----------
    job, scorer, options
        What scores, and the settings.
    hash_ids
        Tells one key of ``--hash-ids`` from another; empty without the option.
    note
        The note that hashed results have.
    columns
        Whether tables have the columns of the input check.
    content_hashes
        Whether the content of the files is compared.
    shard
        The part of the files.
    """
    read = {name: value for name, value in asdict(options.read).items() if name not in _NO_RESULT}
    return {
        "model": job.stamp.to_dict(),
        "scoring": job.scoring,
        "findings": {"name": job.findings.name, "ids": list(job.findings.ids)},
        "options": {"by": options.by, **read, "hash_ids": hash_ids, "content_hashes": content_hashes},
        "calibration": scorer.finish.calibration.to_dict(),
        "notes": list(scorer.finish.notes),
        "hash_note": note,
        "input_check": {"mode": options.input_check, "hash": scorer.check, "columns": columns},
        "engines": [[member.engine.name, member.engine.device] for member in job.members],
        "versions": result_versions(),
        "shard": None if shard is None else str(shard),
    }


@dataclass(frozen=True)
class RunDescription:
    """What the output of a run needs to know besides the lines of its journal.

    Parameters
    ----------
    results
        Turns lines into results of images.
    finish
        Turns results of images into those of the run.
    layout
        The columns, one row per finding.
    shard
        The part of the files; None for all.
    note
        Added to every result if ids are hashed.
    """

    results: JournalResults
    finish: Finish
    layout: Layout
    shard: Shard | None
    note: str

    @classmethod
    def of(cls, header: Mapping[str, Any], where: str) -> RunDescription:
        """Read the header of a journal.

        Raises
        ------
        JournalError
            If it is not valid.
        """
        try:
            stamp, ids = _stamp(header["model"]), tuple(map(str, header["findings"]["ids"]))
            unit: Unit = "study" if header["options"]["by"] == "study" else "image"
            phi = bool(header["options"]["include_phi"])
            calibration = Calibration.from_dict(header["calibration"])
            shard = header["shard"]
            check = header["input_check"]
            return cls(
                JournalResults(stamp, str(header["scoring"]), unit, ids, str(check["hash"])),
                Finish(calibration, tuple(map(str, header["notes"])), unit),
                Layout(ids, unit, phi=phi, adapted=bool(stamp.adaptation), checked=bool(check["columns"])),
                None if shard is None else Shard.parse(shard),
                str(header["hash_note"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError, CheckpointError) as error:
            raise JournalError(
                "its header is not valid", where=where, remedy="score again with a new journal"
            ) from error


def _stamp(model: Mapping[str, Any]) -> ModelStamp:
    hashes = model["hashes"]
    members: Sequence[Mapping[str, Any]] = model.get("members", ())
    return ModelStamp(
        str(model["name"]),
        str(hashes["weights"]),
        str(hashes["preprocessing"]),
        str(hashes["findings"]),
        str(hashes.get("adaptation", "")),
        tuple(map(_stamp, members)),
    )
