"""Collect results in a pandas DataFrame with the columns of the output files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tier_cli.arguments import check_flags
from tier_cli.packages import require_extras
from tier_cli.results.record import Result
from tier_cli.results.rows import Layout

if TYPE_CHECKING:
    import pandas as pd


def to_dataframe(results: Result | Iterable[Result], *, wide: bool = False) -> pd.DataFrame:
    """Return results as a table with the columns of ``tier classify --output FILE.csv``.

    Parameters
    ----------
    results
        One result or several; a generator is consumed.
    wide
        One row per result and one score column per finding, instead of one row per finding.

    Raises
    ------
    UsageError
        If a finding of a wide table has the name of another column, `wide` is neither True nor False, or
        pandas, of the extra ``[eval]``, is not installed.

    Examples
    --------
    >>> from tier_cli.results.record import FindingScore, ModelStamp, Result
    >>> stamp = ModelStamp("demo", "0" * 64, "1" * 64, "2" * 64)
    >>> scores = (FindingScore("effusion", 0.25), FindingScore("hernia", -0.5))
    >>> frame = to_dataframe(Result(("a.dcm",), stamp, "cosine_difference", findings=scores))
    >>> frame[["path", "finding", "score"]].values.tolist()
    [['a.dcm', 'effusion', 0.25], ['a.dcm', 'hernia', -0.5]]
    """
    require_extras("to_dataframe", "eval")
    import pandas as pd

    check_flags(wide=wide)
    collected = [results] if isinstance(results, Result) else list(results)
    layout = Layout(
        tuple(dict.fromkeys(score.finding for result in collected for score in result.findings)),
        collected[0].unit if collected else "image",
        wide,
        any(result.phi for result in collected),
        any(result.model.adaptation for result in collected),
        any(result.input_check for result in collected),
    )
    rows = [row for result in collected for row in layout.rows(result)]
    return pd.DataFrame(rows, columns=list(layout.columns), dtype=object).astype(
        {name: _DTYPES[kind] for name, kind in layout.columns.items()}
    )


# Nullable, so that a missing call stays missing and does not become False or a float.
_DTYPES = {"text": "object", "integer": "int64", "number": "float64", "truth": "boolean", "list": "object"}
