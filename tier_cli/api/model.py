"""Open a model and use it from Python: scores, embeddings and similarity maps."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Unpack, overload

from tier_cli.api.python_terms import python_terms
from tier_cli.api.run_arguments import (
    ClassifyOptions,
    PathLike,
    file_paths,
    one_file,
    phrases,
    run_options,
    stream,
)
from tier_cli.arguments import check_flags, check_names, path_text
from tier_cli.errors import InputError, UsageError
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.model.ensemble import members

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tier_cli.api.similarity import SimilarityMaps
    from tier_cli.findings.load import FindingSpec
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.budget import Decode
    from tier_cli.imaging.radiograph import Views
    from tier_cli.pipeline.embed import Embedder
    from tier_cli.pipeline.explanations import ExplainedImage
    from tier_cli.pipeline.input_checks import CheckMode
    from tier_cli.pipeline.runners.work import Runner
    from tier_cli.pipeline.scorer import Scorer
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.results.checked import ReportCheck
    from tier_cli.results.embedded import EmbeddingResult
    from tier_cli.results.record import Result, Unit


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
    check_names(engine=engine, device=device)
    return Model(open_models(_model_names(model), findings, engine, device))


def open_models(
    names: str | Sequence[str],
    findings: FindingSpec | FindingSet | None,
    engine: str,
    device: str,
    runner: Runner | None = None,
) -> ScoringJob:
    """Open what `load` opens; the commands use it directly."""
    names = [names] if isinstance(names, str) else names
    for name in names:
        # Refuse an unknown model before anything heavy is imported.
        members(name)
    from tier_cli.pipeline.scoring_job import open_job

    return open_job(names, findings, engine, device, runner)


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
        **options: Unpack[ClassifyOptions],
    ) -> Result: ...

    @overload
    def classify(
        self,
        paths: Iterable[PathLike],
        findings: FindingSpec | FindingSet | None = None,
        **options: Unpack[ClassifyOptions],
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
        decode: Decode = "fast",
        include_phi: bool = False,
        batch_size: int | None = None,
        workers: int | None = None,
        fail_fast: bool = False,
        input_check: CheckMode = "note",
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
        decode
            ``fast`` reads no more pixels than the model needs, ``full`` all of them.
        include_phi
            Fill `Result.phi` with the patient's name, id, dates and accession number.
        batch_size
            Images per batch; None for 8 on CPU and 32 on other devices.
        workers
            Decoding processes; 0 decodes in this process, None starts one per CPU, at most 8.
        fail_fast
            Stop after the first file that cannot be scored.
        input_check
            What to do with images that do not look like frontal chest X-rays, if the checkpoint can tell:
            ``note`` scores them with a note, ``refuse`` gives an error, ``off`` does not check.
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
        check_flags(progress=progress)
        job = self.job(findings)
        options = run_options(
            views=views,
            window=window,
            accept_any=accept_any,
            decode=decode,
            include_phi=include_phi,
            by=by,
            batch_size=batch_size,
            workers=workers,
            fail_fast=fail_fast,
            input_check=input_check,
        )
        if isinstance(paths, str | os.PathLike):
            (result,) = job.classify(one_file(paths), options)
            return result
        return stream(job.classify, file_paths(paths), options, "Scoring" if progress else None)

    @python_terms()
    def check(
        self,
        paths: PathLike | Iterable[PathLike],
        report: str,
        *,
        priors: Iterable[PathLike] = (),
        views: Views = "frontal",
        window: int = 1,
        accept_any: bool = False,
        decode: Decode = "fast",
        batch_size: int | None = None,
        workers: int | None = None,
        input_check: CheckMode = "note",
    ) -> ReportCheck:
        """Compare each sentence of a report with the images that it describes, as ``tier check`` does.

        Parameters
        ----------
        paths
            The images of one study: one file, or a list of files, folders and glob patterns.
        report
            The text of the report.
        priors
            Images of an earlier study.
        views, window, accept_any, decode, batch_size, workers, input_check
            See `classify`.

        Returns
        -------
        The sentences with verdicts and scores; its `error` is set if no image could be scored.

        Raises
        ------
        CheckpointError
            If a sentence has no finite embedding.
        UsageError
            If the model is an ensemble, or an argument has a wrong value.

        Examples
        --------
        >>> import tier_cli as tier
        >>> model = tier.load("tier-small")
        >>> checked = model.check("examples/02-effusion-pa.dcm", "No pleural effusion. Clear lungs.")
        >>> [one.verdict for one in checked.sentences]
        ['not_supported', 'cannot_tell']
        """
        from tier_cli.imaging.discover import discover
        from tier_cli.pipeline.check import ReportChecker, Study

        self._single("embeddings")
        options = run_options(
            views=views,
            window=window,
            accept_any=accept_any,
            decode=decode,
            batch_size=batch_size,
            workers=workers,
            input_check=input_check,
        )
        (text,) = phrases(report)
        images = one_file(paths) if isinstance(paths, str | os.PathLike) else discover(file_paths(paths))
        sources = [tuple(source.path for source in found) for found in (images, discover(file_paths(priors)))]
        (checked,) = ReportChecker(self._job).check([Study(text, *sources)], options)
        return checked

    @python_terms()
    def embed(
        self,
        paths: Iterable[PathLike],
        *,
        patches: bool = False,
        views: Views = "frontal",
        window: int = 1,
        accept_any: bool = False,
        decode: Decode = "fast",
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
        views, window, accept_any, decode, batch_size, workers, fail_fast, progress
            See `classify`.

        Yields
        ------
        One result per file, in order: a vector of length 1, or the error.
        """
        check_flags(patches=patches, progress=progress)
        options = run_options(
            views=views,
            window=window,
            accept_any=accept_any,
            decode=decode,
            batch_size=batch_size,
            workers=workers,
            fail_fast=fail_fast,
        )
        run = self.embedder(patches).embed
        return stream(run, file_paths(paths), options, "Embedding" if progress else None)

    @python_terms()
    def encode_image(
        self,
        path: PathLike,
        *,
        views: Views = "frontal",
        window: int = 1,
        accept_any: bool = False,
        decode: Decode = "fast",
    ) -> NDArray[np.float32]:
        """Embed one image as a vector of length 1.

        Scores depend only on the direction of an embedding, so it is L2-normalised: its dot product with a
        row of `encode_text` is their cosine. Under the rule ``cosine_difference``, a finding with one
        positive and one negative prompt has the score ``image @ positive - image @ negative``.

        Parameters
        ----------
        path
            One file.
        views, window, accept_any, decode
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
        options = run_options(views=views, window=window, accept_any=accept_any, decode=decode)
        (result,) = self.embedder().embed(one_file(path), options)
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
        return self._single("embeddings").engine.embed_texts(phrases(texts))

    @python_terms()
    def similarity(
        self,
        path: PathLike,
        texts: str | Sequence[str],
        *,
        views: Views = "frontal",
        window: int = 1,
        accept_any: bool = False,
        decode: Decode = "fast",
    ) -> SimilarityMaps:
        """Compare every patch of an image with texts.

        Parameters
        ----------
        path
            One file.
        texts
            One text or several.
        views, window, accept_any, decode
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

        scorer, wanted = self._single("similarity maps"), phrases(texts)
        options = run_options(views=views, window=window, accept_any=accept_any, decode=decode)
        (source,) = one_file(path)
        (seen,) = patch_maps([source.path], scorer, options)
        if isinstance(seen, InputError):
            raise seen
        values = seen.similarities(scorer.engine.embed_texts(wanted))
        place = seen.grid
        return SimilarityMaps(
            tuple(wanted),
            values.clip(-1, 1).astype(np.float32),
            np.array(place.affine),
            place.side,
            place.size,
            place.orientation,
        )

    @python_terms()
    def explain(
        self,
        paths: Iterable[PathLike],
        findings: FindingSpec | FindingSet | None = None,
        *,
        texts: str | Sequence[str] = (),
        views: Views = "frontal",
        window: int = 1,
        accept_any: bool = False,
        decode: Decode = "fast",
        batch_size: int | None = None,
        workers: int | None = None,
        fail_fast: bool = False,
        input_check: CheckMode = "note",
        progress: bool = False,
    ) -> Generator[ExplainedImage, None, None]:
        """Compare every patch of images with all findings of a set, or with texts, as ``tier explain`` does.

        Parameters
        ----------
        paths
            A list of files, folders and glob patterns.
        findings
            See `classify`.
        texts
            One text or several, instead of findings.
        views, window, accept_any, decode, batch_size, workers, fail_fast, input_check, progress
            See `classify`.

        Yields
        ------
        One per file, in order: the scores, and the picture with its maps unless the scores have an error.

        Raises
        ------
        CheckpointError
            If the image tower has no grid of patches.
        UsageError
            If the model is an ensemble, or findings and texts are given.

        Examples
        --------
        >>> import tier_cli as tier
        >>> model = tier.load("tier-small")
        >>> (image,) = model.explain(["examples/02-effusion-pa.dcm"], "pleural effusion", workers=0)
        >>> [(one.name, one.values.shape) for one in image.explanation.maps]
        [('effusion', (7, 7))]
        """
        from tier_cli.pipeline.explanations import finding_maps, text_maps

        check_flags(progress=progress)
        self._single("maps")
        if texts and findings is not None:
            raise UsageError("findings and texts contradict each other", where="texts=", remedy="give one")
        job = self.job(findings)
        maps = text_maps(job, phrases(texts)) if texts else finding_maps(job, every=True)
        options = run_options(
            views=views,
            window=window,
            accept_any=accept_any,
            decode=decode,
            batch_size=batch_size,
            workers=workers,
            fail_fast=fail_fast,
            input_check=input_check,
        )
        return stream(maps.explain, file_paths(paths), options, "Explaining" if progress else None)

    def _single(self, what: str) -> Scorer:
        if len(self._job.members) > 1:
            names = ", ".join(one.checkpoint.name for one in self._job.members)
            raise UsageError(
                f"an ensemble has no common {what}",
                where=self.name,
                remedy=f"load one of its models: {names}",
            )
        return self._job.members[0]
