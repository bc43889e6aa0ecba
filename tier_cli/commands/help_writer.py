"""Import what writes the help of the commands."""

from __future__ import annotations

from tier_cli.late_imports import imported_later


def import_help_writer() -> None:
    """Import what Typer writes help with, but not what it uses only for Markdown and tracebacks.

    These parts of Rich take as long to import as all the others together.
    """
    with imported_later("rich.markdown", "rich.traceback"):
        import typer.rich_utils  # noqa: F401
