"""Join the journals of several runs over parts of the same files."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.errors import JournalError
from tier_cli.pipeline.journal_header import RunDescription
from tier_cli.results.journal import Document, differences, document_at, read_journal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.results.record import Result
    from tier_cli.results.rows import Layout

# How many missing shards are named.
_NAMED = 10


@dataclass(frozen=True, eq=False)
class Part:
    """What a journal holds, in 16 bytes per result: there may be a thousand journals of one run.

    Parameters
    ----------
    header, end
        Its first and last line; None for the end of a run that has not ended.
    numbers, offsets
        The numbers of the files that have a result, ascending, and where their lines are.
    """

    header: Document
    end: Document | None
    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path) -> Part:
        """Read a journal; raises `JournalError` if it cannot be used."""
        contents = read_journal(path)
        places = np.frombuffer(contents.places, np.int64)
        numbers = np.flatnonzero(places >= 0)
        return cls(contents.header, contents.end, numbers, places[numbers])


@dataclass(frozen=True)
class Joined:
    """Journals that belong together.

    Parameters
    ----------
    paths, parts
        The journals, and what each holds.
    description
        What all runs have in common.
    problems
        What is missing, doubled or not finished, one phrase each.
    """

    paths: Sequence[Path]
    parts: Sequence[Part]
    description: RunDescription
    problems: Sequence[str]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Joined:
        """Read journals.

        Raises
        ------
        JournalError
            If one cannot be used, or if two differ in more than their part.
        """
        parts = [Part.read(path) for path in paths]
        first = _common(parts[0])
        for path, other in zip(paths[1:], parts[1:], strict=True):
            if found := differences(first, _common(other), f"in {paths[0].name}", f"in {path.name}"):
                raise JournalError(
                    f"differs from {paths[0]} in {', '.join(found[:4])}",
                    where=str(path),
                    remedy="join only parts of one run",
                )
        described = [RunDescription.of(one.header, str(path)) for path, one in zip(paths, parts, strict=True)]
        return cls(paths, parts, described[0], _problems(paths, parts, described))

    def refuse_unless(self, allowed: bool) -> None:
        """Refuse to go on with problems unless that is allowed; raises `JournalError`."""
        if self.problems and not allowed:
            raise JournalError(
                "; ".join(self.problems),
                remedy="score what is missing with --resume, or add --allow-incomplete",
            )

    def layout(self, wide: bool) -> Layout:
        """Return the columns of the output."""
        return replace(self.description.layout, wide=wide)

    @property
    def passed_over(self) -> Mapping[str, int]:
        """The number of files that are no images, by reason: each run counts all of them."""
        ends = [one.end for one in self.parts if one.end is not None]
        counts = ends[0].get("passed_over", {}) if ends else {}
        return {str(reason): int(count) for reason, count in counts.items()}

    def results(self) -> Generator[Result, None, None]:
        """Yield the results of all images in the order of one run over all files."""
        places, count = _places(self.parts), len(self.parts)
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in self.paths]
            for place in places:
                if place < 0:
                    continue
                offset, number = divmod(int(place), count)
                line = document_at(files[number], offset)
                if line is None:
                    raise JournalError(
                        f"the line at byte {offset} was damaged in the meantime",
                        where=str(self.paths[number]),
                        remedy="run the same command again",
                    )
                yield self.description.results.result(line)


def _common(part: Part) -> dict[str, object]:
    header = {name: value for name, value in part.header.items() if name != "shard"}
    shard = part.header.get("shard")
    return {**header, "shards": None if shard is None else str(shard).partition("/")[2]}


def _places(parts: Sequence[Part]) -> NDArray[np.int64]:
    """Return, by number of the file, where its line is: the offset times the journals, plus the journal."""
    count = max((int(one.numbers[-1]) + 1 for one in parts if len(one.numbers)), default=0)
    places = np.full(count, -1, np.int64)
    # Journals that are finished last: their numbers are right.
    for number in sorted(range(len(parts)), key=lambda number: parts[number].end is not None):
        places[parts[number].numbers] = parts[number].offsets * len(parts) + number
    return places


def _problems(paths: Sequence[Path], parts: Sequence[Part], described: Sequence[RunDescription]) -> list[str]:
    problems = []
    for path, one in zip(paths, parts, strict=True):
        if one.end is None:
            problems.append(f"{path} is not finished ({len(one.numbers)} results so far)")
    given = _by_shard(paths, described)
    for name, journals in given.items():
        if len(journals) > 1:
            problems.append(f"{name} is given {len(journals)} times ({', '.join(map(str, journals))})")
    count = next((one.shard.count for one in described if one.shard is not None), 0)
    missing = [name for number in range(1, count + 1) if (name := f"shard {number}/{count}") not in given]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        problems.append(f"{', '.join(missing[:_NAMED])}{more} {'is' if len(missing) == 1 else 'are'} missing")
    ends = [one.end for one in parts if one.end is not None]
    if len({end.get("sources") for end in ends}) > 1:
        problems.append("the runs did not see the same files")
    if not problems and ends:
        expected, places = int(ends[0].get("files", 0)), _places(parts)
        absent = expected - int(np.count_nonzero(places[:expected] >= 0))
        if absent:
            what = "1 file has no result" if absent == 1 else f"{absent} files have no result"
            problems.append(f"{what}: a journal is damaged")
    return problems


def _by_shard(paths: Sequence[Path], described: Sequence[RunDescription]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path, one in zip(paths, described, strict=True):
        found.setdefault("the run" if one.shard is None else f"shard {one.shard}", []).append(path)
    return found
