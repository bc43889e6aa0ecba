"""Check reports against the images of their studies."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.vocabulary import vocabulary_of
from tier_cli.errors import CheckpointError
from tier_cli.imaging.discover import Source
from tier_cli.model.tokens import TextTokenizer
from tier_cli.pipeline.image_scorer import calibration_of
from tier_cli.pipeline.runners.work import Work
from tier_cli.pipeline.stream import batch_size_of, stream_results
from tier_cli.reports.sentences import sentences
from tier_cli.results.checked import ReportCheck, SentenceCheck, WordFit
from tier_cli.results.record import Failure
from tier_cli.scoring.support import judge, poorly_told, verdict_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.decoding.decode import Decoded
    from tier_cli.errors import InputError
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.reports.mentions import Mention, Vocabulary
    from tier_cli.reports.sentences import Sentence
    from tier_cli.results.checked import Verdict
    from tier_cli.results.record import FindingScore, Result

    Floats = NDArray[np.float64]

_WORD = re.compile(r"\w(?:[\w'/.-]*\w)?")
# A word is a misfit if it lowers the fit at least half as much as the worst word does.
_MISFIT_SHARE = 0.5
# No model reads longer sentences whole.
_MOST_WORDS = 128
_MISFITTING: tuple[Verdict, ...] = ("doubtful", "not_supported")
_NO_IMAGE = Failure("no_image", "no image of the study could be scored")


@dataclass(frozen=True)
class Study:
    """A report with the images that it describes.

    Parameters
    ----------
    report
        The text.
    paths, priors
        The images, and images of an earlier study.
    """

    report: str
    paths: tuple[str, ...]
    priors: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Seen:
    """An image with its scores and its embedding of length 1; or the error."""

    result: Result
    vector: Floats | None = None

    @property
    def error(self) -> Failure | None:
        return self.result.error

    @property
    def scores(self) -> Mapping[str, FindingScore]:
        return {score.finding: score for score in self.result.findings}


@dataclass(frozen=True, eq=False)
class ReportChecker:
    """Check reports with one model.

    Parameters
    ----------
    job
        One model with its finding set.
    """

    job: ScoringJob

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words by which reports name the findings of the set."""
        return vocabulary_of(self.job.findings)

    def check(
        self, studies: Iterable[Study], options: StreamOptions, tick: Callable[[], object] = lambda: None
    ) -> Generator[ReportCheck, None, None]:
        """Check reports; one without a readable image gives a result with the reason.

        Parameters
        ----------
        studies
            The reports with their images.
        options
            Settings of the run; the unit is always the image.
        tick
            Called once per image.

        Yields
        ------
        One result per study, in order.

        Raises
        ------
        CheckpointError
            If a sentence has no finite embedding.
        """
        given = list(studies)
        sources = (Source(path) for study in given for path in (*study.paths, *study.priors))
        scorer = self.job.scorer(replace(options, by="image"))
        size = batch_size_of(options, self.job.engine)

        def compute(images: list[tuple[str, Decoded]]) -> list[_Seen]:
            return [
                _seen(scorer.finish.finished(result), vector)
                for result, vector in scorer.score_with_embeddings(images)
            ]

        def failed(path: str, error: InputError) -> _Seen:
            return _Seen(scorer.failed(path, error))

        work = Work(scorer.settings(options.read), size, compute, failed)
        with closing(stream_results(sources, work, replace(options, fail_fast=False), tick)) as seen:
            for study in given:
                images = list(islice(seen, len(study.paths)))
                yield self._checked(study, images, list(islice(seen, len(study.priors))))

    def _checked(self, study: Study, images: list[_Seen], priors: list[_Seen]) -> ReportCheck:
        usable, earlier = ([one for one in seen if one.error is None] for seen in (images, priors))
        result = ReportCheck(
            _paths(usable),
            self.job.stamp,
            self.job.scoring,
            priors=_paths(earlier),
            notes=tuple(dict.fromkeys(note for one in (*usable, *earlier) for note in one.result.notes)),
            failed=tuple((one.result.paths[0], one.error) for one in (*images, *priors) if one.error),
        )
        if not usable:
            return replace(result, error=_NO_IMAGE)
        every = sentences(study.report)
        chosen = [one for one in every if one.describes_image]
        checked = self._sentences(chosen, usable, earlier)
        cut = [
            f"{text[:40]!r}... {why}" for text, why in self._tokenizer.unreadable([s.text for s in chosen])
        ]
        return replace(
            result,
            sentences=tuple(checked),
            left_out=len(every) - len(chosen),
            notes=(*result.notes, *cut),
        )

    def _sentences(
        self, chosen: Sequence[Sentence], images: Sequence[_Seen], priors: Sequence[_Seen]
    ) -> list[SentenceCheck]:
        if not chosen:
            return []
        texts = self._embed([one.text for one in chosen])
        return [self._sentence(one, text, images, priors) for one, text in zip(chosen, texts, strict=True)]

    def _sentence(
        self, sentence: Sentence, text: Floats, images: Sequence[_Seen], priors: Sequence[_Seen]
    ) -> SentenceCheck:
        mentions = self.vocabulary.mentions(sentence.text)
        claims = judge(mentions, [one.scores for one in images], self._poor)
        verdict = verdict_of(claims)
        contrary = self._contrary(mentions)
        if contrary is None:
            return SentenceCheck(sentence, verdict, claims)
        better = None
        if priors:
            before = verdict_of(judge(mentions, [one.scores for one in priors], self._poor))
            better = verdict in _MISFITTING and before == "supported"
        words: tuple[WordFit, ...] = ()
        if verdict in _MISFITTING:
            decisive = next(claim for claim in claims if claim.verdict == verdict)
            words = self._words(sentence.text, text, _vector(images[decisive.image]))
        return SentenceCheck(
            sentence,
            verdict,
            claims,
            scores=tuple(float(_vector(one) @ (text - contrary)) for one in images),
            words=words,
            prior_scores=tuple(float(_vector(one) @ (text - contrary)) for one in priors),
            fits_prior_better=better,
        )

    def _contrary(self, mentions: Sequence[Mention]) -> Floats | None:
        """Return the direction (D,) of the opposite of what a sentence claims; None if it claims nothing."""
        vectors, ids = self.job.vectors, self.job.findings.ids
        opposites = [
            (vectors.negative if mention.stance == "affirmed" else vectors.positive)[
                ids.index(mention.finding)
            ]
            for mention in mentions
            if mention.stance != "uncertain"
        ]
        if not opposites:
            return None
        mean = np.mean(np.asarray(opposites, np.float64), axis=0)
        unit: Floats = mean / np.linalg.norm(mean)
        return unit

    def _words(self, sentence: str, text: Floats, image: Floats) -> tuple[WordFit, ...]:
        """Return what each word does to the cosine of image and sentence: what is lost without it."""
        places = [match.span() for match in _WORD.finditer(sentence)]
        if not 2 <= len(places) <= _MOST_WORDS:
            return ()
        without = self._embed([f"{sentence[:start]}{sentence[end:]}".strip() for start, end in places])
        lost = (image @ (text - without).T).tolist()
        limit = min(0.0, _MISFIT_SHARE * min(lost))
        return tuple(
            WordFit(start, end, value, value < 0 and value <= limit)
            for (start, end), value in zip(places, lost, strict=True)
        )

    def _embed(self, texts: Sequence[str]) -> Floats:
        vectors = np.asarray(self.job.engine.embed_texts(texts), np.float64)
        if not np.isfinite(vectors).all():
            raise CheckpointError(
                "the model returned no finite embedding for a sentence",
                where=str(self.job.checkpoint.path),
                remedy="check it with `tier model verify`",
            )
        return vectors

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        checkpoint = self.job.checkpoint
        return TextTokenizer.of(checkpoint.path, checkpoint.config)

    @cached_property
    def _poor(self) -> frozenset[str]:
        _, content = calibration_of(self.job.members, self.job.findings, "image")
        return poorly_told(content)


def _seen(result: Result, vector: NDArray[np.float32]) -> _Seen:
    if result.error is not None:
        return _Seen(result)
    wide = vector.astype(np.float64)
    return _Seen(result, wide / np.linalg.norm(wide))


def _vector(seen: _Seen) -> Floats:
    if seen.vector is None:
        raise ValueError("an image without an embedding")
    return seen.vector


def _paths(seen: Sequence[_Seen]) -> tuple[str, ...]:
    return tuple(one.result.paths[0] for one in seen)
