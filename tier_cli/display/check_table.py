"""Print a checked report: each sentence with its verdict, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tier_cli.console import printable

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.results.checked import Claim, ReportCheck, SentenceCheck, Verdict

_VERDICTS: Mapping[Verdict, tuple[str, str]] = {
    "supported": ("supported", "green"),
    "doubtful": ("doubtful", "yellow"),
    "not_supported": ("not supported", "bold red"),
    "cannot_tell": ("cannot tell", "dim"),
}
_LIMITS = (
    "The verdicts compare scores of findings with operating points and ordinary ranges. Sides, sizes, "
    "places and changes are not judged. For research use."
)


class CheckWriter:
    """Print reports one by one, and what the verdicts mean after the last.

    Parameters
    ----------
    console
        Where to print.
    labels
        The labels of the findings, by id.
    finding_set
        The name of the finding set.
    """

    def __init__(self, console: Console, labels: Mapping[str, str], finding_set: str):
        self._console, self._labels, self._set = console, labels, finding_set
        self._printed = False

    def write(self, result: ReportCheck) -> None:
        """Print one report."""
        self._console.print(Group(*self._parts(result)))
        self._printed = self._printed or result.error is None

    def finish(self) -> None:
        """Print what the verdicts mean."""
        if self._printed:
            self._console.print(Text(_LIMITS, style="dim"))

    def _parts(self, result: ReportCheck) -> Iterator[Text | Table]:
        for number, path in enumerate(result.paths, 1):
            several = f"{number} " if len(result.paths) > 1 else ""
            yield Text(several + printable(path), style="bold", overflow="fold")
        for path in result.priors:
            yield Text(f"prior {printable(path)}", style="dim", overflow="fold")
        for path, reason in result.failed:
            yield Text(f"{printable(path)}: {printable(reason.message)}", style="red", overflow="fold")
        if result.error is not None:
            yield Text(f"not checked: {printable(result.error.message)}", style="red")
        if result.sentences:
            yield self._table(result)
        elif result.error is None:
            yield Text("no sentence that describes the image")
        if result.left_out:
            yield Text(
                f"{_counted(result.left_out)} not checked: indication, technique or advice", style="dim"
            )
        for note in result.notes:
            yield Text(printable(note), style="dim", overflow="fold")
        yield Text()

    def _table(self, result: ReportCheck) -> Table:
        table = Table(box=None, header_style="dim", padding=(0, 1))
        table.add_column("verdict", no_wrap=True)
        table.add_column("sentence, and what the image says of it", overflow="fold")
        for checked in result.sentences:
            name, style = _VERDICTS[checked.verdict]
            reasons = [Padding(Text(why, style="dim"), (0, 0, 0, 2)) for why in self._reasons(checked)]
            table.add_row(Text(name, style=style), Group(_sentence(checked), *reasons))
        return table

    def _reasons(self, checked: SentenceCheck) -> Iterator[str]:
        if not checked.claims:
            yield f"names no finding of {printable(self._set)}"
        yield from (self._reason(claim) for claim in checked.claims)
        misfits = [word for word in checked.words if word.misfit]
        if misfits:
            text = checked.sentence.text
            words = (
                f"{printable(text[word.start : word.end])} ({word.contribution:+.3f})" for word in misfits
            )
            yield f"misfit: {', '.join(words)}"
        if checked.fits_prior_better:
            yield "the prior supports it"
        if checked.best_image is not None:
            yield f"fits image {checked.best_image + 1} best"

    def _reason(self, claim: Claim) -> str:
        name = printable(self._labels.get(claim.mention.finding, claim.mention.finding))
        reference = claim.score.reference
        if claim.verdict == "cannot_tell" or reference is None:
            return f"{name}: {claim.reason}"
        denied = claim.mention.stance == "negated"
        compared = f"threshold {reference.threshold:+.3f}"
        if claim.verdict == "not_supported":
            compared = (
                f"ordinary up to {reference.high:+.3f}" if denied else f"ordinary from {reference.low:+.3f}"
            )
        return f"{name} {'denied' if denied else 'affirmed'}: score {claim.score.score:+.3f}, {compared}"


def _sentence(checked: SentenceCheck) -> Text:
    """Return the sentence with the misfit words underlined; control characters keep their width."""
    plain = "".join(character if character.isprintable() else " " for character in checked.sentence.text)
    text = Text(plain, style=_VERDICTS[checked.verdict][1], overflow="fold")
    for word in checked.words:
        if word.misfit:
            text.stylize("underline", word.start, word.end)
    return text


def _counted(sentences: int) -> str:
    return "1 sentence was" if sentences == 1 else f"{sentences} sentences were"
