"""Scores of sentences are cosines of the model, whatever comes between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_checkpoint
from xrays import write_dicom, write_png

import tier_cli as tier
from tier_cli.pipeline.check import ReportChecker, Study
from tier_cli.pipeline.scoring_job import ScoringJob, open_job
from tier_cli.pipeline.stream import StreamOptions
from tier_cli.results.checked import ReportCheck

HERE = StreamOptions(workers=0)
REPORT = "INDICATION: Effusion?\nFINDINGS: No evidence of pleural effusion.\nThe lungs are clear."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def job(folder: Path) -> ScoringJob:
    return open_job(str(folder))


@pytest.fixture
def images(tmp_path: Path) -> tuple[str, str]:
    return str(write_png(tmp_path / "a.png", 1)), str(write_png(tmp_path / "b.png", 2))


def check(job: ScoringJob, *studies: Study) -> list[ReportCheck]:
    return list(ReportChecker(job).check(studies, HERE))


def test_the_score_is_the_cosine_less_that_with_the_contrary(
    folder: Path, job: ScoringJob, images: tuple[str, str]
) -> None:
    (result,) = check(job, Study(REPORT, images))
    first, second = result.sentences
    model = tier.load(folder)
    text = model.encode_text("No evidence of pleural effusion.")[0]
    positive = model.encode_text(job.findings.findings[4].positive).mean(axis=0)
    contrary = positive / np.linalg.norm(positive)
    expected = [model.encode_image(path) @ (text - contrary) for path in images]
    assert first.scores == pytest.approx(expected, abs=1e-5)
    assert first.best_image == int(np.argmax(expected))
    # No calibration: the score says what it can, the verdict nothing.
    assert first.verdict == "cannot_tell"
    assert (second.scores, second.claims, second.verdict) == ((), (), "cannot_tell")
    assert result.left_out == 1


def test_a_words_contribution_is_what_is_lost_without_it(
    folder: Path, job: ScoringJob, images: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tier_cli.pipeline.check.verdict_of", lambda claims: "cannot_tell")
    monkeypatch.setattr("tier_cli.pipeline.check._MISFITTING", ("cannot_tell",))
    (result,) = check(job, Study("No pleural effusion.", images[:1]))
    words = result.sentences[0].words
    model = tier.load(folder)
    image = model.encode_image(images[0])
    whole, *without = model.encode_text(
        ["No pleural effusion.", "pleural effusion.", "No effusion.", "No pleural ."]
    )
    assert [word.contribution for word in words] == pytest.approx(
        [image @ (whole - one) for one in without], abs=1e-5
    )
    worst = min(word.contribution for word in words)
    assert [word.misfit for word in words] == [word.contribution <= min(0, worst / 2) for word in words]


def test_studies_keep_their_images_and_a_broken_file_is_named(
    job: ScoringJob, images: tuple[str, str], tmp_path: Path
) -> None:
    lateral = str(write_dicom(tmp_path / "lateral.dcm", view="LL"))
    alone, mixed, lost = check(
        job,
        Study("Edema.", images[:1]),
        Study("Edema.", (lateral, images[1]), priors=images[:1]),
        Study("Edema.", (lateral,)),
    )
    assert (alone.paths, alone.priors, alone.failed) == (images[:1], (), ())
    assert (mixed.paths, mixed.priors) == (images[1:], images[:1])
    assert [path for path, _ in mixed.failed] == [lateral]
    assert mixed.sentences[0].prior_scores == pytest.approx(alone.sentences[0].scores)
    assert mixed.sentences[0].fits_prior_better is False
    assert lost.error is not None
    assert lost.sentences == ()


def test_scores_of_findings_are_those_of_classify(
    folder: Path, job: ScoringJob, images: tuple[str, str]
) -> None:
    (result,) = check(job, Study("Edema. No cardiomegaly.", images[:1]))
    scores = tier.load(folder).classify(images[0]).scores
    claims = [claim for one in result.sentences for claim in one.claims]
    assert {claim.score.finding: claim.score.score for claim in claims} == pytest.approx(
        {name: scores[name] for name in ("edema", "cardiomegaly")}
    )


def test_a_sentence_longer_than_the_model_reads_is_noted(job: ScoringJob, images: tuple[str, str]) -> None:
    (result,) = check(job, Study("Effusion " * 100, images[:1]))
    assert any("tokens, but the model reads 80" in note for note in result.notes)
