"""`tier search`: find the chest X-rays nearest to a text or an image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import echo

from tier_cli.commands.options import Device, DeviceName, Engine, EngineName, option, switch
from tier_cli.console import is_terminal, print_message, printable
from tier_cli.errors import UsageError
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tier_cli.search.exact import Hit
    from tier_cli.search.index import EmbeddingIndex

_SEARCH = "Search"

Text = Annotated[
    str | None,
    typer.Argument(metavar="TEXT", help="Text describing what to look for.", show_default=False),
]
Index = Annotated[
    Path,
    option(_SEARCH, "FILE|FOLDER", "Embeddings written by `tier embed`: a file, or a folder of files."),
]
Image = Annotated[
    str | None,
    option(_SEARCH, "FILE", "Find images similar to this one, instead of a text."),
]
Negative = Annotated[
    str | None,
    option(
        _SEARCH,
        "TEXT",
        "Text describing what to avoid; scores become differences of cosines, as in `classify`.",
    ),
]
Top = Annotated[
    int, typer.Option(min=1, metavar="K", help="Number of images to return.", rich_help_panel=_SEARCH)
]
Approximate = Annotated[
    bool,
    switch(
        _SEARCH, "--approximate", "Use a faiss index, kept beside the file. Faster, but may miss some images."
    ),
]
Model = Annotated[
    str | None,
    option(
        _SEARCH, "NAME|FOLDER", "Checkpoint that made the embeddings. Default: the name stored with them."
    ),
]


def search(
    index: Index,
    text: Text = None,
    image: Image = None,
    negative: Negative = None,
    top: Top = 10,
    approximate: Approximate = False,
    model: Model = None,
    engine: Engine = EngineName.AUTO,
    device: Device = DeviceName.AUTO,
) -> None:
    """Find the chest X-rays nearest to a text or to an image.

    Prints a table on a terminal, JSON lines in a pipe, best first.

    Exit codes: 0 success; 2 wrong usage; 3 the image cannot be used.
    For research use.
    """
    _check(text, image, negative, approximate)
    from tier_cli.search.open_index import open_indexes

    indexes, skipped = open_indexes(index)
    for file in skipped:
        print_message(f"{file} holds no embeddings and is skipped", colour="yellow")
    query = _query(indexes, text, image, negative, model, engine, device)
    hits = _find(indexes, query, top, approximate)
    scoring = "cosine" if negative is None else "cosine_difference"
    documents = _documents(indexes, hits, scoring)
    if is_terminal("stdout"):
        _show(documents, sum(one.count for one in indexes), approximate)
        return
    for document in documents:
        echo(json.dumps(document))


def _check(text: str | None, image: str | None, negative: str | None, approximate: bool) -> None:
    """Refuse options that contradict each other, before anything is loaded."""
    if (text is None) == (image is None):
        raise UsageError("needs either a text or --image", remedy='e.g. tier search "effusion"')
    if image is not None and negative is not None:
        raise UsageError(
            "requires a text, not an image", where="--negative", remedy="omit --negative or --image"
        )
    if any(one is not None and not one.strip() for one in (text, negative)):
        raise UsageError("the text is empty", remedy="describe what the images should show")
    if approximate:
        require_extras("--approximate", "search", otherwise="omit it to search exactly")


def _query(
    indexes: Sequence[EmbeddingIndex],
    text: str | None,
    image: str | None,
    negative: str | None,
    model: str | None,
    engine: EngineName,
    device: DeviceName,
) -> NDArray[np.float32]:
    from tier_cli.model.checkpoint import open_checkpoint
    from tier_cli.model.open_engine import open_engine
    from tier_cli.search.query import check_model, image_vector, text_vector

    checkpoint = open_checkpoint(model or indexes[0].model)
    check_model(checkpoint, indexes, image is not None)
    opened = open_engine(checkpoint, engine.value, device.value)
    if image is not None:
        return image_vector(checkpoint, opened, image)
    return text_vector(opened, text or "", negative)


def _find(
    indexes: Sequence[EmbeddingIndex], query: NDArray[np.float32], top: int, approximate: bool
) -> list[Hit]:
    if not approximate:
        from tier_cli.search.exact import nearest

        return nearest(indexes, query, top)
    from tier_cli.search.approximate import approximately_nearest

    return approximately_nearest(indexes, query, top, print_message)


def _documents(indexes: Sequence[EmbeddingIndex], hits: Sequence[Hit], scoring: str) -> list[dict[str, Any]]:
    keys: dict[tuple[int, int], dict[str, str | None]] = {}
    for file, index in enumerate(indexes):
        rows = [hit.row for hit in hits if hit.file == file]
        if rows:
            keys |= {(file, row): known for row, known in zip(rows, index.keys(rows), strict=True)}
    return [
        {
            "rank": rank,
            "score": round(hit.score, 6),
            "scoring": scoring,
            **keys[hit.file, hit.row],
            "index": str(indexes[hit.file].path),
        }
        for rank, hit in enumerate(hits, 1)
    ]


def _show(documents: Sequence[dict[str, Any]], count: int, approximate: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text as Line

    table = Table(box=None, header_style="dim", padding=(0, 1))
    difference = any(document["scoring"] == "cosine_difference" for document in documents)
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("difference" if difference else "cosine", justify="right", no_wrap=True)
    table.add_column("view", no_wrap=True)
    table.add_column("path", overflow="fold")
    for document in documents:
        path, view = printable(document["path"] or ""), printable(document["view"] or "")
        table.add_row(str(document["rank"]), f"{document['score']:+.3f}", Line(view), Line(path))
    console = Console()
    console.print(table)
    how = "approximate search" if approximate else "exact search"
    console.print(Line(f"of {count} {'image' if count == 1 else 'images'}, {how}", style="dim"))
