"""Write the maps of one study as one self-contained HTML file that a browser shows without a network."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.files.atomic import whole_file
from tier_cli.files.page import render, resource
from tier_cli.maps.colours import ABOVE, BELOW, OPACITY
from tier_cli.maps.page.content import image_data, image_rows
from tier_cli.maps.page.picture import data_uri
from tier_cli.maps.similarity import SIMILARITIES

if TYPE_CHECKING:
    from tier_cli.maps.explanation import Explanation

_HERE = "tier_cli.maps.page"
# Bytes of all pictures of a page: base64 adds a third, and the page is to stay below 3 MB.
_PICTURES = 1_900_000
# What the notes call the maps of a similarity.
_SHOWN = {"difference": "findings", "positive": "findings", "phrase": "texts and words"}


def write_page(path: Path, explanations: Sequence[Explanation]) -> None:
    """Write the page completely or not at all.

    Parameters
    ----------
    path
        The file; it is replaced if it exists.
    explanations
        The images of one study with their maps, at least one.
    """
    content = page_html(explanations)
    with whole_file(Path(os.path.realpath(path))) as partial:
        partial.write_text(content, encoding="utf-8")


def page_html(explanations: Sequence[Explanation]) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    explanations
        The images of one study with their maps, at least one.

    Raises
    ------
    ValueError
        There is no image.
    """
    if not explanations:
        raise ValueError("a page needs at least one image")
    from markupsafe import Markup

    style, script = (Markup(resource(_HERE, name)) for name in ("page.css", "page.js"))  # noqa: S704
    first, *others = explanations
    return render(
        resource(_HERE, "page.html"),
        title=first.title + (f" and {len(others)} more" if others else ""),
        policy=_policy(style, script),
        style=style,
        script=script,
        images=[
            {
                "title": one.title,
                "model": one.model,
                "picture": data_uri(one.picture, _PICTURES // len(explanations)),
                "size": one.grid.size,
                "rows": image_rows(one),
                "notes": [note for note in dict.fromkeys((one.scale.note, *one.notes)) if note],
            }
            for one in explanations
        ],
        similarities={
            _SHOWN[kind]: meaning for kind, meaning in SIMILARITIES.items() if kind in _kinds(explanations)
        },
        opacity=round(100 * OPACITY),
        data={"above": ABOVE, "below": BELOW, "images": [image_data(one) for one in explanations]},
    )


def _kinds(explanations: Sequence[Explanation]) -> set[str]:
    shown = [one for explanation in explanations for one in explanation.maps]
    return {one.kind for one in shown} | {"phrase" for one in shown if one.tokens is not None}


def _policy(style: str, script: str) -> str:
    """Return the content security policy: this style, this script, pictures within the page, nothing else."""
    style_hash, script_hash = (
        "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") + "'"
        for text in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src {style_hash}; script-src {script_hash}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
