"""Check the arguments that the methods of a model share, and run over files."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, TypedDict, TypeVar

from tier_cli.api.python_terms import python_terms
from tier_cli.arguments import check_choice, check_flags, optional_number, path_text, texts, whole_number
from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.imaging.budget import Decode
    from tier_cli.imaging.discover import Source
    from tier_cli.imaging.radiograph import Views
    from tier_cli.pipeline.input_checks import CheckMode
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.results.record import Unit

PathLike = str | os.PathLike[str]
_R = TypeVar("_R")


class ClassifyOptions(TypedDict, total=False):
    """The keyword arguments of `tier_cli.Model.classify`, whose overloads share them."""

    by: Unit
    views: Views
    window: int
    accept_any: bool
    decode: Decode
    include_phi: bool
    batch_size: int | None
    workers: int | None
    fail_fast: bool
    input_check: CheckMode
    progress: bool


def run_options(
    *,
    views: Views,
    window: int,
    accept_any: bool,
    decode: Decode,
    include_phi: bool = False,
    by: Unit = "image",
    batch_size: int | None = None,
    workers: int | None = None,
    fail_fast: bool = False,
    input_check: CheckMode = "off",
) -> StreamOptions:
    """Check the arguments that describe a run, and return its settings."""
    from tier_cli.imaging.budget import Decode as DecodeNames
    from tier_cli.imaging.radiograph import Views as ViewNames
    from tier_cli.pipeline.input_checks import CheckMode as CheckModes
    from tier_cli.pipeline.stream import stream_options
    from tier_cli.results.record import Unit as UnitNames

    check_flags(accept_any=accept_any, include_phi=include_phi, fail_fast=fail_fast)
    check_choice("views", views, ViewNames)
    check_choice("decode", decode, DecodeNames)
    check_choice("by", by, UnitNames)
    check_choice("input_check", input_check, CheckModes)
    return stream_options(
        views=views,
        window=whole_number("window", window, 1),
        accept_any=accept_any,
        decode=decode,
        include_phi=include_phi,
        by=by,
        batch_size=optional_number("batch_size", batch_size, 1),
        workers=optional_number("workers", workers, 0),
        fail_fast=fail_fast,
        input_check=input_check,
    )


def stream(
    run: Callable[[Iterable[Source], StreamOptions, Callable[[], object]], Generator[_R, None, None]],
    paths: Iterable[str],
    options: StreamOptions,
    title: str | None,
) -> Generator[_R, None, None]:
    """Run over the files of `paths`, showing progress under `title` unless it is None."""
    from tier_cli.imaging.discover import discover

    with python_terms():
        if title is None:
            yield from run(discover(paths), options, lambda: None)
            return
        from tier_cli.display.progress import progress_bar

        given = list(paths)
        with progress_bar(lambda: sum(1 for _ in discover(given)), title) as tick:
            yield from run(discover(given), options, tick)


def one_file(path: PathLike) -> list[Source]:
    from glob import has_magic

    from tier_cli.imaging.discover import Source

    given = path_text("path", path)
    if os.path.isdir(given) or (has_magic(given) and not os.path.lexists(given)):
        raise UsageError(
            "is a folder or a pattern, but one file is needed",
            where=given,
            remedy="pass it in a list, [path], to stream its images",
        )
    return [Source(given)]


def file_paths(paths: object) -> Iterable[str]:
    """Return the given paths as texts, those of a list checked at once, others as they are consumed."""
    if isinstance(paths, str | os.PathLike):
        raise UsageError("a list of paths is needed", where="paths=", remedy="pass [path]")
    if isinstance(paths, bytes) or not isinstance(paths, Iterable):
        raise UsageError(f"{paths!r} is not a path", where="paths=", remedy="give a path, or a list of paths")
    checked = (path_text("paths", path) for path in paths)
    return list(checked) if isinstance(paths, list | tuple) else checked


def phrases(given: str | Sequence[str]) -> list[str]:
    chosen = texts("texts", given, "a phrase, or a list of phrases")
    if not chosen or not all(text.strip() for text in chosen):
        raise UsageError(
            "at least one text is needed, and none may be empty", where="texts=", remedy="write a phrase"
        )
    return list(chosen)
