"""Reword errors for Python: arguments in place of the options of the command line."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from tier_cli.errors import TierError

# A command between backticks; or an option, perhaps with a placeholder, or with a value that ends a clause.
_OPTION = re.compile(
    r"(?P<command>`[^`]*`)"
    r"|(?<![\w-])--(?P<name>[a-z][a-z-]*)(?: (?P<value>[A-Z][\w.]*|[\w-]+(?=$|[,;]| or )))?"
)


@contextmanager
def python_terms(**names: str) -> Generator[None, None, None]:
    """Reword the errors that leave the block, as `in_python` does; also usable as a decorator."""
    try:
        yield
    except TierError as error:
        error.what = in_python(error.what, names)
        error.where = error.where and in_python(error.where, names)
        error.remedy = error.remedy and in_python(error.remedy, names)
        raise


def in_python(text: str, names: dict[str, str] | None = None) -> str:
    """Write the options in a message as arguments.

    Parameters
    ----------
    text
        A message for the command line.
    names
        What to write for an option whose argument has another name, by the option's name.

    Examples
    --------
    >>> in_python("use --device cpu or auto")
    "use device='cpu' or auto"
    >>> in_python("give --data MANIFEST.csv, or --dataset NAME", {"data": "manifest="})
    'give manifest=MANIFEST.csv, or dataset=NAME'
    >>> in_python("--batch-size is too large: try `tier train --batch-size 8`")
    'batch_size= is too large: try `tier train --batch-size 8`'
    """

    def argument(match: re.Match[str]) -> str:
        if match["command"]:
            return match["command"]
        value = match["value"] or ""
        quoted = repr(value) if value and not value[0].isupper() and not value.isdigit() else value
        return (names or {}).get(match["name"], f"{match['name'].replace('-', '_')}=") + quoted

    return _OPTION.sub(argument, text)
