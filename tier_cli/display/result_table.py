"""Print results as tables on a terminal, one table per study."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tier_cli.console import printable

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.results.record import FindingScore, Reference, Result

# How many images of a study fit side by side in 80 columns.
_MAX_COLUMNS = 4
# Differences of cosines can reach 2, but rarely exceed this value; larger ones fill the bar.
_FULL_BAR = 1.0
_HALF_WIDTH = 14
_MAX_UID = 44


class TableWriter:
    """Print one table per study: a single image with bars, consecutive images of a study side by side.

    Parameters
    ----------
    console
        Where to print.
    labels
        The labels of the findings, by id.
    run_notes
        Notes that apply to the whole run; each is printed once.
    """

    def __init__(self, console: Console, labels: Mapping[str, str], run_notes: Collection[str] = ()):
        self._console = console
        self._labels = labels
        self._run_notes = run_notes
        self._printed: set[str] = set()
        self._study: list[Result] = []

    def write(self, result: Result) -> None:
        """Print an error at once, and a study when the next one begins."""
        if self._study and not self._belongs(result):
            self._print_study()
        if result.error is not None:
            self._console.print(_error(result))
            return
        self._study.append(result)
        if not result.study or result.unit == "study":
            self._print_study()

    def finish(self) -> None:
        """Print the last study."""
        if self._study:
            self._print_study()

    def _belongs(self, result: Result) -> bool:
        same = result.error is None and result.study == self._study[-1].study
        return same and len(self._study) < _MAX_COLUMNS

    def _print_study(self) -> None:
        study, self._study = self._study, []
        ascii_only = self._console.options.ascii_only
        table = (
            _bars(study[0], self._labels, ascii_only) if len(study) == 1 else _columns(study, self._labels)
        )
        notes = dict.fromkeys(note for result in study for note in result.notes)
        remarks = [_indented(note, "dim") for note in notes if note not in self._printed]
        self._printed.update(note for note in notes if note in self._run_notes)
        self._console.print(Group(*_heading(study), *_patients(study), table, *remarks, Text()))


def _error(result: Result) -> Group:
    message = result.error.message if result.error else ""
    path = ", ".join(map(printable, result.paths))
    return Group(Text(path, style="bold", overflow="fold"), _indented(message, "red"), Text())


def _indented(text: str, style: str) -> Padding:
    return Padding(Text(printable(text), style=style, overflow="fold"), (0, 0, 0, 2), expand=False)


def _heading(study: Sequence[Result]) -> list[Text]:
    first = study[0]
    if len(study) == 1 and len(first.paths) == 1:
        return [_title(first.paths[0], first.view)]
    paths = [path for result in study for path in result.paths]
    rows = [
        Text(f"  {number} {printable(path)}", style="dim", overflow="fold")
        for number, path in enumerate(paths, 1)
    ]
    return [_title(f"study {_short(first.study)}", f"{len(paths)} images"), *rows]


def _patients(study: Sequence[Result]) -> list[Padding]:
    """Return the patient data, which results hold only if requested, once for all images that share them."""
    phi = (", ".join(f"{name}: {value}" for name, value in result.phi.items()) for result in study)
    return [_indented(text, "dim") for text in dict.fromkeys(phi) if text]


def _title(name: str, detail: str) -> Text:
    return Text.assemble((printable(name), "bold"), "  ", (printable(detail), "dim"), overflow="fold")


def _short(uid: str) -> str:
    return uid if len(uid) <= _MAX_UID else f"{uid[: _MAX_UID - 13]}...{uid[-10:]}"


def _bars(result: Result, labels: Mapping[str, str], ascii_only: bool) -> Table:
    calibrated = any(score.probability is not None for score in result.findings)
    compared = any(score.reference is not None for score in result.findings)
    table = _empty_table("score", *(("probability", "call") if calibrated else ()))
    table.add_column("ordinary range, | threshold" if compared else "", no_wrap=True)
    for score in result.ranked():
        extra = (_percent(score), _call(score)) if calibrated else ()
        if score.reference is not None:
            bar = _scale(score.score, score.reference, ascii_only)
        else:
            # A bar from zero has no place on a scale of ordinary ranges.
            bar = Text() if compared else _bar(score.score, ascii_only)
        table.add_row(_label(score.finding, labels), f"{score.score:+.3f}", *extra, bar)
    return table


def _columns(study: Sequence[Result], labels: Mapping[str, str]) -> Table:
    table = _empty_table(*(f"{number} {result.view}".strip() for number, result in enumerate(study, 1)))
    cells = [{score.finding: f"{score.score:+.3f}" for score in result.findings} for result in study]
    # In the order of the first image; findings that only other images have (--top) follow.
    for name in dict.fromkeys(score.finding for result in study for score in result.ranked()):
        table.add_row(_label(name, labels), *(image.get(name, "") for image in cells))
    return table


def _empty_table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column("finding", max_width=34, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _label(finding: str, labels: Mapping[str, str]) -> Text:
    return Text(printable(labels.get(finding, finding)))


def _percent(score: FindingScore) -> str:
    return "" if score.probability is None else f"{score.probability:.0%}"


def _call(score: FindingScore) -> Text:
    if score.call is None:
        return Text()
    return Text("yes", style="bold") if score.call else Text("no", style="dim")


def _scale(score: float, reference: Reference, ascii_only: bool) -> Text:
    """Draw a score on the scale of its finding, see `Reference.place`."""
    shade, axis, mark = ("-", "|", "*") if ascii_only else ("░", "│", "●")
    width = 2 * _HALF_WIDTH + 1

    def place(value: float) -> int:
        return round(reference.place(value) * (width - 1))

    cells = [" "] * width
    cells[place(reference.low) : place(reference.high) + 1] = shade * (
        place(reference.high) - place(reference.low) + 1
    )
    cells[place(reference.threshold)] = axis
    cells[place(score)] = mark
    text = Text("".join(cells), style="dim")
    text.stylize(
        "not dim cyan" if score >= reference.threshold else "not dim", place(score), place(score) + 1
    )
    return text


def _bar(score: float, ascii_only: bool) -> Text:
    """Draw a score as a bar to the right or left of an axis, to the nearest half cell."""
    halves = min(round(abs(score) / _FULL_BAR * 2 * _HALF_WIDTH), 2 * _HALF_WIDTH)
    full, half, axis = ("#", "", "|") if ascii_only else ("█", "▌" if score > 0 else "▐", "│")
    length, odd = divmod(halves, 2)
    drawn = full * length + half * odd
    if score > 0:
        return Text.assemble(" " * _HALF_WIDTH, (axis, "dim"), (drawn, "cyan"))
    left = full * length if ascii_only else half * odd + full * length
    return Text.assemble((left.rjust(_HALF_WIDTH), "dim"), (axis, "dim"))
