"""Write what `tier explain` prints on a terminal: `python docs/make_terminal_picture.py FILE.html`."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from tier_cli.display.explain_table import ExplanationTable
from tier_cli.imaging.discover import Source
from tier_cli.maps.sheet import Drawn
from tier_cli.pipeline.explanations import finding_maps
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.pipeline.stream import stream_options

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = "examples/02-effusion-pa.dcm"


def main() -> None:
    """Explain an example and write what is printed."""
    output = Path(sys.argv[1]).absolute()
    os.chdir(ROOT)
    console = Console(
        record=True, width=80, force_terminal=True, color_system="truecolor", file=io.StringIO()
    )
    console.print(Text(f"$ tier explain {EXAMPLE}", "bold"))
    table = ExplanationTable(console, preview=True, environment={})
    maps = finding_maps(open_job("tier-small", device="cpu"))
    for image in maps.explain([Source(EXAMPLE)], stream_options(workers=0)):
        if image.explanation is not None:
            table.show(image.result, Drawn(image.explanation, image.explanation.maps), [])
    console.save_html(str(output), theme=DIMMED_MONOKAI)


if __name__ == "__main__":
    main()
