"""Wrong arguments are refused at once, by an error that names the argument and what to give instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_checkpoint

import tier_cli as tier

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PA = EXAMPLES / "02-effusion-pa.dcm"
MANIFEST = EXAMPLES / "manifest.csv"
# Values of the wrong kind are the point of these tests.
EVALUATION: Any = tier.EvaluationSettings
SECTIONS: Any = tier.SectionOptions
LOAD: Any = tier.load
READ: Any = tier.read_image
EVALUATE: Any = tier.evaluate
FRAME: Any = tier.to_dataframe


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tier.load(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"), device="cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "cache"))


WRONG: list[tuple[Callable[[Any], object], str]] = [
    (lambda m: m.classify(PA, by="patient"), "by=: unknown value 'patient'; use one of image, study"),
    (lambda m: m.classify(PA, by="Study"), "by=: unknown value 'Study' (did you mean study?)"),
    (
        lambda m: m.classify(PA, input_check="yes"),
        "input_check=: unknown value 'yes'; use one of note, refuse, off",
    ),
    (
        lambda m: m.classify(PA, views="lateral"),
        "views=: unknown value 'lateral'; use one of frontal",
    ),
    (lambda m: m.classify(PA, views="Frontal"), "views=: unknown value 'Frontal' (did you mean frontal?)"),
    (lambda m: m.classify(PA, window=0), "window=: cannot be 0; give a whole number of at least 1"),
    (lambda m: m.classify([PA], batch_size=0), "batch_size=: cannot be 0; give a whole number of at least 1"),
    (lambda m: m.classify([PA], batch_size=1.5), "batch_size=: cannot be 1.5"),
    (lambda m: m.classify([PA], batch_size="8"), "batch_size=: cannot be '8'"),
    (lambda m: m.classify([PA], batch_size=True), "batch_size=: cannot be True"),
    (lambda m: m.classify([PA], workers=-5), "workers=: cannot be -5; give a whole number of at least 0"),
    (lambda m: m.classify([PA], workers="2"), "workers=: cannot be '2'"),
    (lambda m: m.classify(None), "paths=: None is not a path; give a path, or a list of paths"),
    (lambda m: m.classify(5), "paths=: 5 is not a path; give a path, or a list of paths"),
    (lambda m: m.classify([None]), "paths=: None is not a path; give a text or a pathlib.Path"),
    (lambda m: list(m.classify(iter([None]), workers=0)), "paths=: None is not a path"),
    (lambda m: m.classify(PA, 5), "findings: 5 names no findings; write them like"),
    (lambda m: m.classify(PA, []), "findings: no finding given; write them like"),
    (lambda m: m.classify(PA, [5]), "findings: 5 is not a finding name; give names, or a FindingSet"),
    (lambda m: m.classify(PA, ["mass, large"]), "findings: 'mass, large' has a comma; give one finding per"),
    (lambda m: m.embed(PA), "paths=: a list of paths is needed; pass [path]"),
    (lambda m: m.embed(None), "paths=: None is not a path"),
    (lambda m: m.embed([PA], views="x"), "views=: unknown value 'x'"),
    (lambda m: m.encode_image(None), "path=: None is not a path"),
    (lambda m: m.encode_image(PA, views="x"), "views=: unknown value 'x'"),
    (lambda m: m.encode_text(5), "texts=: 5 is not a text; give a phrase"),
    (lambda m: m.similarity(PA, "effusion", window=0), "window=: cannot be 0"),
    (lambda m: READ(PA, rendering="equalized"), "rendering=: unknown value 'equalized' (did you mean minmax"),
    (lambda m: READ(PA, rendering="MinMax"), "rendering=: unknown value 'MinMax' (did you mean minmax?)"),
    (lambda m: READ(PA, rendering="x"), "rendering=: unknown value 'x'; use one of voi, minmax, minmax-equa"),
    (lambda m: READ(PA, views="x"), "views=: unknown value 'x'; use one of frontal, strict, all"),
    (lambda m: READ(PA, window="1"), "window=: cannot be '1'"),
    (lambda m: READ(None), "path=: None is not a path"),
    (lambda m: m.classify(PA, accept_any="no"), "accept_any=: cannot be 'no'; give True or False"),
    (lambda m: m.classify(PA, include_phi="no"), "include_phi=: cannot be 'no'; give True or False"),
    (lambda m: m.classify([PA], fail_fast=1), "fail_fast=: cannot be 1; give True or False"),
    (lambda m: m.classify([PA], progress="off"), "progress=: cannot be 'off'"),
    (lambda m: m.embed([PA], patches="no"), "patches=: cannot be 'no'"),
    (lambda m: m.embed([PA], progress=None), "progress=: cannot be None"),
    (lambda m: m.encode_image(PA, accept_any="no"), "accept_any=: cannot be 'no'"),
    (lambda m: m.similarity(PA, "effusion", accept_any=0), "accept_any=: cannot be 0"),
    (lambda m: READ(PA, accept_any="no"), "accept_any=: cannot be 'no'"),
    (lambda m: FRAME([], wide="no"), "wide=: cannot be 'no'"),
    (lambda m: LOAD("tier-small", engine=5), "engine=: cannot be 5; give a name, as a text"),
    (lambda m: LOAD("tier-small", device=0), "device=: cannot be 0; give a name, as a text"),
    (lambda m: EVALUATION(exclude_trained="no"), "exclude_trained=: cannot be 'no'"),
    (lambda m: EVALUATION(probabilities="no"), "probabilities=: cannot be 'no'"),
    (lambda m: EVALUATION(dataset=5), "dataset=: cannot be 5; give a name"),
    (lambda m: EVALUATION(split=["test"]), "split=: cannot be ['test']; give a name"),
    (lambda m: EVALUATION(engine=5), "engine=: cannot be 5; give a name"),
    (lambda m: SECTIONS(grounding="no"), "grounding=: cannot be 'no'"),
    (lambda m: EVALUATE(m, MANIFEST, progress="no"), "progress=: cannot be 'no'"),
    (lambda m: LOAD([]), "model=: no model is named; give a name or a folder"),
    (lambda m: LOAD(None), "model=: None is not a path; give a text or a pathlib.Path"),
    (lambda m: LOAD(3), "model=: 3 is not a path"),
    (lambda m: LOAD(["tier-small"] * 2, device="cpu"), "model=: tier-small appears twice"),
    (lambda m: LOAD("tier-small", engine="onnx", device="cuda"), "use engine='torch'"),
    (lambda m: EVALUATION(views="x"), "views=: unknown value 'x'; use one of frontal, all"),
    (
        lambda m: EVALUATION(uncertain="maybe"),
        "uncertain=: unknown value 'maybe'; use one of ignore",
    ),
    (lambda m: EVALUATION(unit="x"), "unit=: unknown value 'x'; use one of image, study, patient"),
    (lambda m: EVALUATION(replicates=0), "replicates=: cannot be 0; give a whole number of at least 1"),
    (lambda m: EVALUATION(replicates=-1), "replicates=: cannot be -1"),
    (lambda m: EVALUATION(seed="a"), "seed=: cannot be 'a'; give a whole number of at least 0"),
    (lambda m: EVALUATION(batch_size=0), "batch_size=: cannot be 0"),
    (lambda m: EVALUATION(workers=-1), "workers=: cannot be -1"),
    (lambda m: EVALUATION(root=5), "root=: 5 is not a path"),
    (lambda m: EVALUATION(by=5), 'by=: 5 is not a text; give names of columns, e.g. by=("sex", "age")'),
    (lambda m: EVALUATION(exclude="view=AP"), "exclude=: 'view=AP' is not a column and a value; give pairs"),
    (
        lambda m: EVALUATION(sections="corrupt"),
        "sections=: 'corrupt' chooses no sections; give",
    ),
    (lambda m: SECTIONS(corrupt=True), "corrupt=: True is not a text; give kinds of corruption"),
    (
        lambda m: EVALUATE(m),
        "manifest=: no data given; give manifest=MANIFEST.csv, or dataset=NAME with",
    ),
    (lambda m: EVALUATE(m, 5), "manifest=: 5 is not a path"),
    (lambda m: EVALUATE(m, MANIFEST, {}), "settings=: cannot be {}; give tier.EvaluationSettings(...)"),
    (lambda m: EVALUATE([], MANIFEST), "scores=: no results; give the results of Model.classify"),
    (lambda m: EVALUATE(None, MANIFEST), "scores=: cannot evaluate None; give a model"),
    (lambda m: EVALUATE(["a", "b"], MANIFEST), "scores=: cannot evaluate 'a'; give a model"),
    (lambda m: EVALUATE("nope.csv", MANIFEST), "nope.csv: no such file; check the path"),
    (
        lambda m: EVALUATE(MANIFEST, MANIFEST),
        "findings=: scores without a model need a finding set; name the",
    ),
    (lambda m: EVALUATE(m, MANIFEST, EVALUATION(findings=5)), "findings: 5 names no findings"),
    (
        lambda m: EVALUATE(m, MANIFEST, EVALUATION(sections=SECTIONS(corrupt="foo"))),
        "corrupt=: unknown corruption 'foo'; choose from all",
    ),
    (
        lambda m: EVALUATE(m.classify([PA], "hernia", workers=0), MANIFEST),
        "settings=: the results do not belong to one built-in finding set; give their finding set: "
        "tier.EvaluationSettings(findings=...)",
    ),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_wrong_argument_is_named_with_the_remedy(
    model: Any, call: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(tier.TierError) as raised:
        call(model)
    assert message in str(raised.value)
    assert raised.value.remedy
    assert "--" not in str(raised.value)


def test_findings_are_a_list_or_a_path_too(model: Any, tmp_path: Path) -> None:
    names = "pneumothorax,rib fracture"
    file = tmp_path / "mine"
    file.write_text(tier.load_findings(names).to_toml(), "utf-8")
    expected = model.classify(PA, names).scores
    for findings in (["pneumothorax", "rib fracture"], ("pneumothorax", "rib fracture"), file):
        assert model.classify(PA, findings).scores == expected


def test_one_text_stands_for_one_item() -> None:
    assert tier.EvaluationSettings(by="sex") == tier.EvaluationSettings(by=("sex",))
    assert tier.SectionOptions(corrupt="noise") == tier.SectionOptions(corrupt=("noise",))
    assert tier.EvaluationSettings(exclude=[("view", "AP")]).exclude == (("view", "AP"),)


@pytest.mark.parametrize("findings", ["chexpert5", ["effusion", "pneumothorax"], tier.load_findings("nih4")])
def test_evaluation_takes_findings_in_every_form(model: Any, findings: Any) -> None:
    settings = tier.EvaluationSettings(findings=findings, replicates=5, workers=0)
    results = model.classify([EXAMPLES], findings, workers=0)
    whole, again = (tier.evaluate(one, MANIFEST, settings).to_dict()["scores"][0] for one in (model, results))
    assert [row["auc"] for row in whole["findings"]] == [row["auc"] for row in again["findings"]]


def test_results_bring_their_built_in_finding_set(model: Any) -> None:
    results = model.classify([EXAMPLES], "chexpert5", workers=0)
    report = tier.evaluate(results, MANIFEST, tier.EvaluationSettings(replicates=5))
    assert report.to_dict()["finding_set"]["name"] == "chexpert5"
    assert repr(report).startswith(f"<Report on 8 images of {MANIFEST}, split all; scores: mean AUC 0.")


def test_representations_are_short(model: Any) -> None:
    result = model.classify(PA, "chexpert14")
    assert repr(result).startswith(f"<Result {PA}: ")
    assert repr(result).endswith(", and 11 more>")
    assert repr(model.classify("missing.dcm")).startswith("<Result missing.dcm: missing: no such file")
    assert repr(tier.load_findings("nih4")).startswith("<FindingSet nih4: ")
