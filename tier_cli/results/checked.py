"""Hold a report that was checked against its images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tier_cli.reports.mentions import Mention
    from tier_cli.reports.sentences import Sentence
    from tier_cli.results.record import Failure, FindingScore, ModelStamp

SCHEMA_VERSION = 1
_DIGITS = 6

Verdict = Literal["supported", "doubtful", "not_supported", "cannot_tell"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a sentence says of one finding, and whether the images support it.

    Parameters
    ----------
    mention
        The finding, the stance and the words.
    verdict
        Whether the images support it.
    score
        The finding's score on the image that decides: the one where it stands highest.
    image
        The index of that image.
    reason
        Why the verdict is ``cannot_tell``; empty for another one.
    """

    mention: Mention
    verdict: Verdict
    score: FindingScore
    image: int
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as the documentation names them."""
        reference = self.score.reference
        return {
            "stance": self.mention.stance,
            "verdict": self.verdict,
            "reason": self.reason or None,
            **self.score.to_dict(),
            "threshold": None if reference is None else round(reference.threshold, _DIGITS),
            "ordinary_range": None if reference is None else [reference.low, reference.high],
            "image": self.image,
            "start": self.mention.start,
            "end": self.mention.end,
        }


@dataclass(frozen=True, slots=True)
class WordFit:
    """What one word does to the fit of its sentence.

    Parameters
    ----------
    start, end
        The word's place in the sentence.
    contribution
        The cosine of image and sentence minus that of the image and the sentence without the word.
    misfit
        Whether it is one of the words that lower the fit most.
    """

    start: int
    end: int
    contribution: float
    misfit: bool = False


@dataclass(frozen=True)
class SentenceCheck:
    """One sentence and what the images say of it.

    Parameters
    ----------
    sentence
        The sentence with its place in the report.
    verdict
        The worst verdict on its claims; ``cannot_tell`` if it names no finding.
    claims
        What it says of findings.
    scores
        For each image the cosine with the sentence minus that with the opposite of what it claims; empty if
        it claims nothing.
    words
        What each word does to the fit; only for a doubtful or unsupported sentence of several words.
    prior_scores
        `scores` of the images of the prior study.
    fits_prior_better
        Whether the prior supports what the images do not; None without a prior.
    """

    sentence: Sentence
    verdict: Verdict
    claims: tuple[Claim, ...] = ()
    scores: tuple[float, ...] = ()
    words: tuple[WordFit, ...] = ()
    prior_scores: tuple[float, ...] = ()
    fits_prior_better: bool | None = None

    @property
    def best_image(self) -> int | None:
        """The index of the image that the sentence fits best, where there is a choice."""
        several = len(self.scores) > 1
        return max(range(len(self.scores)), key=lambda number: self.scores[number]) if several else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as the documentation names them."""
        own = self.sentence
        return {
            "text": own.text,
            "start": own.start,
            "end": own.end,
            "section": own.section or None,
            "verdict": self.verdict,
            "scores": [round(score, _DIGITS) for score in self.scores],
            "best_image": self.best_image,
            "claims": [claim.to_dict() for claim in self.claims],
            "words": [
                {
                    "word": own.text[word.start : word.end],
                    "start": word.start,
                    "end": word.end,
                    "contribution": round(word.contribution, _DIGITS),
                    "misfit": word.misfit,
                }
                for word in self.words
            ],
            "prior_scores": [round(score, _DIGITS) for score in self.prior_scores],
            "fits_prior_better": self.fits_prior_better,
        }


@dataclass(frozen=True)
class ReportCheck:
    """A report that was checked against the images of its study.

    Parameters
    ----------
    paths, priors
        The files that were scored, in the order of the scores.
    model, scoring
        The model, and the rule by which it scored.
    sentences
        The sentences that describe the images; empty if `error` is set.
    left_out
        How many sentences are of sections that do not describe the images, such as the indication.
    notes
        Sentences about how the pixels or scores were obtained. Never patient data.
    failed
        The files that could not be scored, each with the reason.
    error
        Why nothing was checked.
    """

    paths: tuple[str, ...]
    model: ModelStamp
    scoring: str
    sentences: tuple[SentenceCheck, ...] = ()
    left_out: int = 0
    priors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failed: tuple[tuple[str, Failure], ...] = ()
    error: Failure | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as the documentation names them."""
        error = None if self.error is None else {"kind": self.error.kind, "message": self.error.message}
        return {
            "schema_version": SCHEMA_VERSION,
            "paths": list(self.paths),
            "priors": list(self.priors),
            "sentences": [one.to_dict() for one in self.sentences],
            "left_out": self.left_out,
            "scoring": self.scoring,
            "model": self.model.to_dict(),
            "notes": list(self.notes),
            "failed": [
                {"path": path, "kind": reason.kind, "message": reason.message} for path, reason in self.failed
            ],
            "error": error,
        }
