"""Configure the documentation site: `sphinx-build -W --keep-going -b html docs build/docs`."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import tier_cli

DOCS = Path(__file__).resolve().parent
GENERATED = DOCS / "_generated"

project = "tier"
author = "the tier developers"
release = version = tier_cli.__version__
copyright = "Apache-2.0"

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx_copybutton"]
exclude_patterns = ["_generated"]
html_theme = "furo"
html_title = f"tier {release}"

# Every link between pages, and every link to a heading, must lead somewhere.
nitpicky = True
# Types of other packages: their pages would have to be downloaded.
nitpick_ignore_regex = [(r"py:.*", r".*")]

# `$...$` is a formula on the site as on GitHub; `#heading` links are checked.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# `console` blocks show a prompt; the copied text does not hold it.
copybutton_prompt_text = "$ "

# Quotation marks stay as they are typed in a shell.
smartquotes = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"
numpydoc_show_class_members = False


def _write_command_line() -> None:
    output = str(GENERATED / "command-line.md")
    command = [sys.executable, "-m", "typer", "tier_cli.app", "utils", "docs", "--name", "tier"]
    subprocess.run([*command, "--output", output], check=True, cwd=DOCS.parent, stdout=subprocess.DEVNULL)


def _write_python() -> None:
    """Write one autodoc directive per public name."""
    lines = []
    for name in getattr(tier_cli, "__all__", ()):
        if name.startswith("_"):
            continue
        value = getattr(tier_cli, name)
        if inspect.isclass(value):
            lines += [f".. autoclass:: tier_cli.{name}", "   :members:", ""]
        elif callable(value):
            lines += [f".. autofunction:: tier_cli.{name}", ""]
        else:
            lines += [f".. autodata:: tier_cli.{name}", ""]
    (GENERATED / "python.rst").write_text("\n".join(lines), encoding="utf-8")


GENERATED.mkdir(exist_ok=True)
_write_command_line()
_write_python()
