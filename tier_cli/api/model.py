"""Open a model and use it from Python: scores, embeddings and similarity maps."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar, overload

from tier_cli.api.python_terms import python_terms
from tier_cli.arguments import check_choice, optional_number, path_text, texts, whole_number
from tier_cli.errors import InputError, UsageError
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.model.ensemble import members

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tier_cli.api.similarity import SimilarityMaps
    from tier_cli.findings.load import FindingSpec
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.discover import Source
    from tier_cli.imaging.radiograph import Views
    from tier_cli.pipeline.embed import Embedder
    from tier_cli.pipeline.scorer import Scorer
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.results.embedded import EmbeddingResult
    from tier_cli.results.record import Result, Unit

PathLike = str | os.PathLike[str]
_R = TypeVar("_R")


@python_terms()
def load(
    model: PathLike | Sequence[PathLike] = DEFAULT_MODEL,
    *,
    findings: FindingSpec | FindingSet | None = None,
    engine: str = "auto",
    device: str = "auto",
) -> Model:
    """Open a checkpoint, or several whose scores are averaged.

    Parameters
    ----------
    model
        Name or folder of a checkpoint or an ensemble; a list averages the scores of its models.
    findings
        The default finding set of `Model.classify`, which describes it; None for the checkpoint's own.
    engine
        ``onnx``, ``torch``, or ``auto``: onnx on CPU, torch on other devices.
    device
        ``cpu``, ``cuda``, ``mps``, or ``auto``: cuda if there is a GPU, else cpu.

    Raises
    ------
    CheckpointError
        If a checkpoint is missing, incomplete or altered.
    FindingSetError
        If the finding set is invalid.
    UsageError
        If the engine or device cannot be used, or the scores of the models cannot be averaged.

    Examples
    --------
    >>> import tier_cli as tier
    >>> model = tier.load("tier-small")
    >>> model.name
    'tier-small'
    """
    return Model(open_models(_model_names(model), findings, engine, device))


def open_models(
    names: str | Sequence[str], findings: FindingSpec | FindingSet | None, engine: str, device: str
) -> ScoringJob:
    """Open what `load` opens; the commands use it directly."""
    names = [names] if isinstance(names, str) else names
    for name in names:
        # Refuse an unknown model before anything heavy is imported.
        members(name)
    from tier_cli.pipeline.scoring_job import open_job

    return open_job(names, findings, engine, device)


def _model_names(model: object) -> list[str]:
    named = model if isinstance(model, list | tuple) else [model]
    if not named:
        raise UsageError("no model is named", where="model=", remedy="give a name or a folder")
    return [path_text("model", one) for one in named]


class Model:
    """An opened checkpoint, or an ensemble whose scores are averaged; `tier.load` opens it.

    Parameters
    ----------
    job
        The opened models with their default finding set.
    """

    def __init__(self, job: ScoringJob):
        self._job = job

    def __repr__(self) -> str:
        engines = ", ".join(f"{one.engine.name} on {one.engine.device}" for one in self._job.members)
        return f"<tier_cli.Model {self.name} ({engines})>"

    @property
    def name(self) -> str:
        """The name of the checkpoint; the names of an ensemble's members, joined by ``+``."""
        return self._job.stamp.name

    @property
    def findings(self) -> FindingSet:
        """The default finding set of `classify`."""
        return self._job.findings

    def job(self, findings: FindingSpec | FindingSet | None = None) -> ScoringJob:
        """Return what a run scores with; the commands use it directly."""
        if findings is None:
            return self._job
        from tier_cli.pipeline.scoring_job import choose_findings

        return self._job.with_findings(choose_findings(findings, self._job.checkpoint.findings))

    def embedder(self, patches: bool = False) -> Embedder:
        """Return what a run embeds with; the commands use it directly."""
        from tier_cli.pipeline.embed import Embedder

        scorer = self._single("embeddings")
        return Embedder(scorer.checkpoint, scorer.engine, patches)

    # A str is an iterable of str too; the first overload wins.
    @overload
    def classify(  # type: ignore[overload-overlap]
        self,
        paths: PathLike,
        findings: FindingSpec | FindingSet | None = None,
        *,
        by: Unit = "image",
        views: Views = "frontal",
        window: int = 1,
        accept_any: bool = False,
        include_phi: bool = False,
        batch_size: int | None = None,
        workers: int | None = None,
        fail_fast: bool = False,
        progress: bool = False,
    ) -> Result: ...

    @overload
    def classify(
        self,
        paths: Iterable[PathLike],
        findings: FindingSpec | FindingSet | None = None,
        *,
        by: Unit = "image",
        views: Views = "frontal",
        window: int = 1,
        accept_any: bool = False,
        include_phi: bool = False,
        batch_size: int | None = None,
        workers: int | None = None,
        fail_fast: bool = False,
        progress: bool = False,
    ) -> Generator[Result, None, None]: ...

    @python_terms()
    def classify(
        self,
        paths: PathLike | Iterable[PathLike],
        findings: FindingSpec | FindingSet | None = None,
        *,
        by: Unit = "image",
        views: Views = "frontal",
        window: int = 1,
        accept_any: bool = False,
        include_phi: bool = False,
        batch_size: int | None = None,
        workers: int | None = None,
        fail_fast: bool = False,
        progress: bool = False,
    ) -> Result | Generator[Result, None, None]:
        """Score images for findings, with the same numbers as ``tier classify``.

        Parameters
        ----------
        paths
            One file, or a list of files, folders and glob patterns. Folders are searched for images.
        findings
            Name of a built-in set, a ``.toml`` file, texts in a list or separated by commas, or a
            `FindingSet`; None for the default of `tier.load`.
        by
            One result per ``image`` or per ``study``, the mean of its images.
        views
            ``frontal`` refuses lateral and oblique views, ``strict`` also uncertain ones; ``all`` scores
            every view.
        window
            Which of several DICOM windows to apply, counted from 1.
        accept_any
            Also score other modalities, other body parts and images FOR PROCESSING.
        include_phi
            Fill `Result.phi` with the patient's name, id, dates and accession number.
        batch_size
            Images per batch; None for 8 on CPU and 32 on other devices.
        workers
            Decoding processes; 0 decodes in this process, None starts one per CPU, at most 8.
        fail_fast
            Stop after the first file that cannot be scored.
        progress
            Show a progress bar.

        Returns
        -------
        One path gives one `Result`. A list gives a generator of results, in the order of the files, which are
        read as it is consumed. A file that cannot be scored gives a result whose `error` says why.

        Raises
        ------
        FindingSetError
            If the finding set is invalid.
        UsageError
            If an argument has a wrong value, or `paths` is a folder or a pattern that is not in a list.

        Examples
        --------
        >>> import tier_cli as tier
        >>> model = tier.load("tier-small")
        >>> result = model.classify("examples/02-effusion-pa.dcm", "pleural effusion,cardiomegaly")
        >>> sorted(result.scores)
        ['cardiomegaly', 'effusion']
        >>> [result.view for result in model.classify(["examples/*.dcm"], workers=0)]
        ['PA', 'AP', 'PA', 'PA']
        """
        job = self.job(findings)
        options = _options(
            views=views,
            window=window,
            accept_any=accept_any,
            include_phi=include_phi,
            by=by,
            batch_size=batch_size,
            workers=workers,
            fail_fast=fail_fast,
        )
        if isinstance(paths, str | os.PathLike):
            (result,) = job.classify(_one_file(paths), options)
            return result
        return _stream(job.classify, _paths(paths), options, "Scoring" if progress else None)

    @python_terms()
    def embed(
        self,
        paths: Iterable[PathLike],
        *,
        patches: bool = False,
        views: Views = "frontal",
        window: int = 1,
        accept_any: bool = False,
        batch_size: int | None = None,
        workers: int | None = None,
        fail_fast: bool = False,
        progress: bool = False,
    ) -> Generator[EmbeddingResult, None, None]:
        """Embed images, with the same vectors as ``tier embed``; parameters as in `classify`.

        Parameters
        ----------
        paths
            A list of files, folders and glob patterns.
        patches
            Also embed every patch.
        views, window, accept_any, batch_size, workers, fail_fast, progress
            See `classify`.

        Yields
        ------
        One result per file, in order: a vector of length 1, or the error.
        """
        options = _options(
            views=views,
            window=window,
            accept_any=accept_any,
            batch_size=batch_size,
            workers=workers,
            fail_fast=fail_fast,
        )
        run = self.embedder(patches).embed
        return _stream(run, _paths(paths), options, "Embedding" if progress else None)

    @python_terms()
    def encode_image(
        self, path: PathLike, *, views: Views = "frontal", window: int = 1, accept_any: bool = False
    ) -> NDArray[np.float32]:
        """Embed one image as a vector of length 1.

        Scores depend only on the direction of an embedding, so it is L2-normalised: its dot product with a
        row of `encode_text` is their cosine. Under the rule ``cosine_difference``, a finding with one
        positive and one negative prompt has the score ``image @ positive - image @ negative``.

        Parameters
        ----------
        path
            One file.
        views, window, accept_any
            See `classify`.

        Returns
        -------
        float32 (D,).

        Raises
        ------
        InputError
            If the file cannot be used.
        UsageError
            If the model is an ensemble, which has several embedding spaces.
        """
        options = _options(views=views, window=window, accept_any=accept_any)
        (result,) = self.embedder().embed(_one_file(path), options)
        if result.vector is None:
            failure = result.error
            what, kind = (failure.message, failure.kind) if failure else ("not embedded", None)
            raise InputError(what, where=os.fspath(path), kind=kind)
        return result.vector

    @python_terms()
    def encode_text(self, texts: str | Sequence[str]) -> NDArray[np.float32]:
        """Embed texts as vectors of length 1.

        Parameters
        ----------
        texts
            One text or several.

        Returns
        -------
        float32 (n, D), one row per text.

        Raises
        ------
        UsageError
            If the model is an ensemble, which has several embedding spaces.
        """
        return self._single("embeddings").engine.embed_texts(_texts(texts))

    @python_terms()
    def similarity(
        self,
        path: PathLike,
        texts: str | Sequence[str],
        *,
        views: Views = "frontal",
        window: int = 1,
        accept_any: bool = False,
    ) -> SimilarityMaps:
        """Compare every patch of an image with texts.

        Parameters
        ----------
        path
            One file.
        texts
            One text or several.
        views, window, accept_any
            See `classify`.

        Returns
        -------
        The cosine similarities (T, h, w), with the way back to source pixels.

        Raises
        ------
        CheckpointError
            If the image tower has no grid of patches.
        InputError
            If the file cannot be used.
        UsageError
            If the model is an ensemble.

        Examples
        --------
        >>> import tier_cli as tier
        >>> maps = tier.load("tier-small").similarity("examples/02-effusion-pa.dcm", "small left effusion")
        >>> maps.values.shape
        (1, 7, 7)
        """
        import numpy as np

        from tier_cli.api.similarity import SimilarityMaps
        from tier_cli.pipeline.encode import patch_maps

        scorer, wanted = self._single("similarity maps"), _texts(texts)
        options = _options(views=views, window=window, accept_any=accept_any)
        (source,) = _one_file(path)
        (seen,) = patch_maps([source.path], scorer, options)
        if isinstance(seen, InputError):
            raise seen
        patches = seen.patches.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            patches /= np.linalg.norm(patches, axis=1, keepdims=True)
        values = scorer.engine.embed_texts(wanted).astype(np.float64) @ patches.T
        return SimilarityMaps(
            tuple(wanted),
            values.reshape(len(wanted), *seen.grid).clip(-1, 1).astype(np.float32),
            np.array(seen.affine),
            seen.side,
            seen.size,
            seen.turned,
        )

    def _single(self, what: str) -> Scorer:
        if len(self._job.members) > 1:
            names = ", ".join(one.checkpoint.name for one in self._job.members)
            raise UsageError(
                f"an ensemble has no common {what}",
                where=self.name,
                remedy=f"load one of its models: {names}",
            )
        return self._job.members[0]


def _options(
    *,
    views: Views,
    window: int,
    accept_any: bool,
    include_phi: bool = False,
    by: Unit = "image",
    batch_size: int | None = None,
    workers: int | None = None,
    fail_fast: bool = False,
) -> StreamOptions:
    """Check the arguments that describe a run, and return its settings."""
    from tier_cli.imaging.radiograph import Views as ViewNames
    from tier_cli.pipeline.stream import stream_options
    from tier_cli.results.record import Unit as UnitNames

    check_choice("views", views, ViewNames)
    check_choice("by", by, UnitNames)
    return stream_options(
        views=views,
        window=whole_number("window", window, 1),
        accept_any=accept_any,
        include_phi=include_phi,
        by=by,
        batch_size=optional_number("batch_size", batch_size, 1),
        workers=optional_number("workers", workers, 0),
        fail_fast=fail_fast,
    )


def _stream(
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


def _one_file(path: PathLike) -> list[Source]:
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


def _paths(paths: object) -> Iterable[str]:
    """Return the given paths as texts, those of a list checked at once, others as they are consumed."""
    if isinstance(paths, str | os.PathLike):
        raise UsageError("a list of paths is needed", where="paths=", remedy="pass [path]")
    if isinstance(paths, bytes) or not isinstance(paths, Iterable):
        raise UsageError(f"{paths!r} is not a path", where="paths=", remedy="give a path, or a list of paths")
    checked = (path_text("paths", path) for path in paths)
    return list(checked) if isinstance(paths, list | tuple) else checked


def _texts(given: str | Sequence[str]) -> list[str]:
    chosen = texts("texts", given, "a phrase, or a list of phrases")
    if not chosen or not all(text.strip() for text in chosen):
        raise UsageError(
            "at least one text is needed, and none may be empty", where="texts=", remedy="write a phrase"
        )
    return list(chosen)
