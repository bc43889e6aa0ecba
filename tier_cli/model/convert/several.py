"""Convert several foreign checkpoints of one family into an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import UsageError
from tier_cli.files.atomic import whole_folder
from tier_cli.model.convert import check_paths, convert

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet


def convert_several(
    sources: Sequence[Path],
    dest: Path,
    family: str | None = None,
    tokenizer: Path | None = None,
    findings: FindingSet | None = None,
    text_tower: Path | None = None,
    report: Callable[[str], object] = lambda line: None,
) -> list[dict[str, Any]]:
    """Convert each source into a folder in `dest`, which opens as one model that averages their scores.

    Parameters
    ----------
    sources
        Two or more, of one family.
    dest, family, tokenizer, findings, text_tower, report
        See `tier_cli.model.convert.convert`.

    Returns
    -------
    The result of `convert` for each source, with its ``name`` in `dest`.

    Raises
    ------
    CheckpointError, UsageError
        As `convert`; also if two files belong to different families or have the same weights.
    """
    from tier_cli.model.checkpoint import open_checkpoint
    from tier_cli.model.ensemble import write_ensemble

    said: set[str] = set()

    def once(line: str) -> None:
        if line not in said:
            said.add(line)
            report(line)

    for source in sources:
        check_paths(source, dest, family)
    dest.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(dest) as folder:
        records: list[dict[str, Any]] = []
        seen: dict[str, Path] = {}
        for number, source in enumerate(sources, start=1):
            # The name contains that of the ensemble, because results name each member.
            member = f"{dest.name}-{number}"
            record = convert(source, folder / member, family, tokenizer, findings, text_tower, report=once)
            if records and record["family"] != records[0]["family"]:
                raise UsageError(
                    f"belongs to the family {record['family']}, not {records[0]['family']}",
                    where=str(source),
                    remedy="convert files of one family together; only scores of one kind can be averaged",
                )
            weights = open_checkpoint(folder / member).hashes["weights"]
            if weights in seen:
                raise UsageError(
                    f"has the weights of {seen[weights]}", where=str(source), remedy="name each file once"
                )
            seen[weights] = source
            records.append({"name": member, **record})
        write_ensemble(folder, [record["name"] for record in records])
        (folder / "README.md").write_text(_card(dest.name, records), encoding="utf-8")
    return records


def _card(name: str, records: Sequence[dict[str, Any]]) -> str:
    lines = [f"- {record['name']}: {', '.join(record['source'])}" for record in records]
    return (
        f"# {name}, an ensemble\n\nAs a model, it gives the mean of the scores of:\n\n"
        + "\n".join(lines)
        + "\n\nEach folder is a checkpoint with its own model card.\n"
    )
