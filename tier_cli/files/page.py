"""Render self-contained HTML pages from the templates of this package."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

from tier_cli.console import printable

# Not printable according to Python, but harmless.
_KEPT = ("\n", "\N{NO-BREAK SPACE}")


def resource(package: str, name: str) -> str:
    """Return the text of a file of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """Fill a template; every value is escaped unless it is marked as HTML."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=visible
    )
    return environment.from_string(template).render(**values)


def visible(value: Any) -> Any:
    """Escape the unprintable characters of a text, which file names and reports may contain."""
    from markupsafe import Markup

    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join(
        one if one in _KEPT else printable(one) for one in re.split("([\n\N{NO-BREAK SPACE}])", value)
    )
