"""The page of an evaluation: self-contained, correct, safe to open, without patient data."""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tier_cli.datasets.manifest import read_manifest
from tier_cli.display.evaluation_table import show
from tier_cli.errors import UsageError
from tier_cli.evaluation.build import build_report
from tier_cli.evaluation.context import Evaluation
from tier_cli.evaluation.measure import Measured, Metric, Resampling, Row
from tier_cli.evaluation.origin import Origin
from tier_cli.evaluation.page.curves import curve
from tier_cli.evaluation.page.figures import _without_spike
from tier_cli.evaluation.page.write import PageOptions, check_page, page, write_page
from tier_cli.evaluation.protocol import Protocol
from tier_cli.evaluation.report import Report
from tier_cli.evaluation.scores import Scores, Unscored
from tier_cli.evaluation.sections.exclusive import measure_exclusive
from tier_cli.evaluation.sections.radiologists import readers_section
from tier_cli.evaluation.selection import select
from tier_cli.evaluation.thresholds import Thresholds
from tier_cli.evaluation.truth import Labelled, labelled
from tier_cli.evaluation.unit_scores import UnitScores, combine_scores
from tier_cli.findings.load import builtin, load_findings
from tier_cli.findings.schema import FindingSet
from tier_cli.phantom.image_files import write_png
from tier_cli.phantom.render import make_phantom
from tier_cli.pipeline.stream import StreamOptions

VOID = {"input", "meta", "img", "br", "path", "use", "line", "rect", "circle", "polyline"}
SET = load_findings("pneumothorax,pleural effusion")
N = 24
ORIGIN = Origin("tier eval", {"numpy": "2"}, {"m.csv": "ab12"}, "cd34")


class Reader(HTMLParser):
    """Notes what a browser would see; complains about tags that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def _read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert (reader.wrong, reader.open) == ([], [])
    return reader


def _evaluation(
    folder: Path,
    sets: int = 1,
    findings: FindingSet = SET,
    names: tuple[str, ...] = ("peer.csv", "other.csv"),
) -> Evaluation:
    """Phantoms of patients "secret0", "secret1", ...; the first is missing on disk."""
    rng = np.random.default_rng(0)
    readers = ",reader:anna:pneumothorax"
    lines = ["path,patient,sex,<b>site</b>,pneumothorax,effusion" + readers]
    for n in range(N):
        if n:
            write_png(folder / f"keyed-{n}.png", make_phantom(n, [], (72, 64)))
        cells = (
            f"keyed-{n}.png",
            f"secret{n // 2}",
            "FM"[n % 2],
            f"<i>{n % 2}</i>",
            n % 3 == 0,
            n % 2 == 0,
            n % 4 == 0,
        )
        lines.append(",".join(str(int(c)) if isinstance(c, bool) else c for c in cells))
    (folder / "manifest.csv").write_text("\n".join(lines))
    selection = select(read_manifest(folder / "manifest.csv"), None, [], True)
    selection, truth = labelled(selection, findings, "ignore")
    values = rng.uniform(size=(sets, N, 2))
    values[0, 0] = np.nan
    gone = Unscored(str(folder / "keyed-0.png"), "missing", f"{folder}/keyed-0.png: no such file")
    scores = tuple(Scores(names[k], findings.ids, one, (gone,) * (not k)) for k, one in enumerate(values))
    score_sets = []
    for k, one in enumerate(scores):
        one_set = combine_scores(one, truth, are_probabilities=k == 0)[0]
        thresholds = Thresholds("split valid", "youden", np.array([0.4, 0.6]))
        score_sets.append(replace(one_set, thresholds=thresholds if k == 0 else None))
    protocol = Protocol(
        "manifest.csv", "csv", "all", N, "frontal", (), "ignore", {"name": "set", "hash": "f00d"},
        (None,) * sets, "", Resampling(30),
    )  # fmt: skip
    return Evaluation(
        findings, selection, truth.by_image, scores, truth.units, truth.by_unit, tuple(score_sets), protocol,
        None, StreamOptions(),
    )  # fmt: skip


def _report(evaluation: Evaluation, by: tuple[str, ...] = ()) -> Report:
    report = build_report(evaluation, by)
    return replace(report, sections={"readers": readers_section().measure(evaluation)})


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return _evaluation(tmp_path_factory.mktemp("data"), sets=2)


@pytest.fixture(scope="module")
def report(evaluation: Evaluation) -> Report:
    return _report(evaluation, ("sex", "<b>site</b>"))


@pytest.fixture(scope="module")
def html(report: Report, evaluation: Evaluation) -> str:
    return page(replace(report, origin=ORIGIN), evaluation)


def test_nothing_is_loaded_and_nothing_runs(html: str) -> None:
    """A hospital's browser must not call home, and a page by mail must not run anything."""
    seen = _read(html)
    links = [
        v for _, attributes in seen.tags for k, v in attributes.items() if k in ("src", "href", "xlink:href")
    ]
    assert links
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in links)
    assert not seen.all("script")
    assert not seen.all("link")
    assert not re.search(r"url\((?!#)|@import", html)
    assert "default-src 'none'" in seen.all("meta")[2]["content"]


def test_the_page_works_for_screen_readers_phones_and_print(html: str) -> None:
    seen = _read(html)
    assert any(meta.get("name") == "viewport" for meta in seen.all("meta"))
    assert all(image["alt"] for image in seen.all("img"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in seen.all("svg"))
    assert all(head["scope"] in ("col", "row") for head in seen.all("th"))
    assert len(seen.all("caption")) == len(seen.all("table"))
    assert seen.all("html")[0]["lang"] == "en"
    assert "@media print" in html
    assert "prefers-color-scheme: dark" in html
    ids = Counter(attributes["id"] for _, attributes in seen.tags if "id" in attributes)
    assert set(ids.values()) == {1}
    targets = {v[1:] for _, a in seen.tags for k, v in a.items() if k == "href" and v.startswith("#")}
    assert targets <= set(ids)


def test_every_part_is_there_with_the_numbers_of_the_report(html: str, report: Report) -> None:
    seen = _read(html)
    for title in (
        "Means over findings", "Findings", "Differences", "ROC curves", "Precision-recall curves",
        "Reliability of probabilities", "Groups by sex", "Radiologists", "Worst errors", "Images", "Notes",
        "Protocol", "How to reproduce",
    ):  # fmt: skip
        assert title in seen.text
    for measured in (*report.measured, *report.differences):
        form = "+.3f" if measured in report.differences else ".3f"
        for row in measured.rows:
            metric = row.metrics["auc"]
            bounds = f"[{metric.low:{form}},\N{NO-BREAK SPACE}{metric.high:{form}}]"
            assert f"{metric.value:{form}} {bounds}" in seen.text
    assert "24 images, 1 of them without scores" in seen.text
    assert "research use" in seen.text
    assert all(told in seen.text for told in ("ab12", "cd34", "numpy 2", "tier eval"))


def test_no_patient_and_no_path_by_default(html: str, report: Report, evaluation: Evaluation) -> None:
    told = replace(report, notes=("1 of 24 images are not on disk: keyed-0.png, keyed-1.png",))
    without, whole = (page(told, evaluation, PageOptions(paths=paths)) for paths in (False, True))
    for text in (html, without):
        assert "keyed-" not in text
        assert "secret" not in text
    assert "1 of 24 images are not on disk (paths omitted)" in without
    assert "keyed-0.png: no such file" in whole
    assert whole.count("keyed-") > 10
    assert "secret" not in whole


def test_pictures_are_small_grey_pixels_only(html: str) -> None:
    sources = [image["src"] for image in _read(html).all("img")]
    assert sources
    for source in set(sources):
        image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        assert (image.format, image.mode) == ("JPEG", "L")
        assert max(image.size) <= 320
        assert not image.getexif()


def test_pictures_can_be_enlarged_without_a_script(html: str) -> None:
    seen = _read(html)
    boxes = [one for one in seen.all("input") if one["type"] == "checkbox"]
    assert len(boxes) == len(seen.all("img"))
    assert all(box["aria-label"].startswith("Enlarge") for box in boxes)
    assert ".zoom input:checked + img { position: fixed" in html


def test_panels_carry_their_numbers_and_tables_begin_with_the_auc(html: str, report: Report) -> None:
    first, _ = report.measured
    for row in first.rows:
        metric = row.metrics["auc"]
        bounds = f"[{metric.low:.3f},\N{NO-BREAK SPACE}{metric.high:.3f}]"
        assert f"<span>{first.name}: AUC {metric.value:.3f} {bounds}</span>" in html
    heads = re.findall(r'<th scope="col">([^<]*)</th>', html.split("<caption>AUC</caption>")[1])
    assert heads[:5] == ["finding", "peer.csv", "other.csv", "n", "positives"]


def test_prompts_are_printed_only_if_they_were_opened(html: str) -> None:
    """Thousands of prompts would fill page after page of paper."""
    assert "details-content" not in html
    assert _rules(_print(html))["details:not([open])"] == "display: none;"


def test_page_breaks_leave_rows_and_headings_whole(html: str) -> None:
    printed = _rules(_print(html))
    for selector in ("tr", ".wide:not(:has(tbody tr:nth-child(25)))"):
        assert "break-inside: avoid" in printed[selector]
    for selector in ("thead", "caption", "h2"):
        assert "break-after: avoid" in printed[selector]
    assert "display: table-header-group" in printed["thead"]


def test_the_first_columns_fit_a_phone(html: str, report: Report) -> None:
    """The mean's interval and its count may stand in two lines: together they are wider than a column."""
    mean = report.measured[0].macro["auc"]
    bounds = f"[{mean.low:.3f},\N{NO-BREAK SPACE}{mean.high:.3f}]"
    assert f"{mean.value:.3f} {bounds} ({mean.findings})" in html
    narrow = _rules(_block(html, "@media (max-width: 40rem)"))
    assert "font-size: 0.72rem" in narrow["table"]


def _print(html: str) -> str:
    return _block(html, "@media print")


def _block(html: str, name: str) -> str:
    """Return the rules of a media query, whose closing brace stands alone in its line."""
    return html.split(f"{name} {{")[1].split("\n}")[0]


def _rules(css: str) -> dict[str, str]:
    found: dict[str, str] = {}
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        for selector in re.split(r",\s*(?![^()]*\))", selectors.strip()):
            found[selector] = f"{found.get(selector, '')} {body.strip()}".strip()
    return found


def test_precision_does_not_jump_before_the_first_positive() -> None:
    labels, scores = np.array([0.0, 0, 1, 0, 1]), np.array([5.0, 4, 3, 2, 1])
    found = curve(labels, scores)
    assert found is not None
    recall, precision = _without_spike(found)
    assert recall.tolist() == [0.0, 0.5, 0.5, 1.0]
    np.testing.assert_allclose(precision, [1 / 3, 1 / 3, 1 / 4, 2 / 5])


def test_without_pictures_none_is_made(report: Report, evaluation: Evaluation) -> None:
    seen = _read(page(report, evaluation, PageOptions(images=False)))
    assert not seen.all("img")
    assert "Worst errors" not in seen.text


def test_an_image_deleted_meanwhile_does_not_end_the_page(tmp_path: Path) -> None:
    evaluation = _evaluation(tmp_path)
    for file in tmp_path.glob("*.png"):
        file.unlink()
    assert "cannot be shown" in page(_report(evaluation), evaluation)


def test_foreign_names_are_escaped(tmp_path: Path) -> None:
    """Labels, columns, groups, files, notes: whoever wrote them must not write the page."""
    bad = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>$\\frac$&amp;\udcff\x1b[31m日本"
    findings = replace(
        SET,
        findings=tuple(
            replace(one, label=f"{bad}{n}", positive=(bad,)) for n, one in enumerate(SET.findings)
        ),
    )
    evaluation = _evaluation(tmp_path, 2, findings, (bad, f"{bad}2"))
    frame = evaluation.selection.manifest.frame
    column = bad.replace("\udcff", "")  # a table is UTF-8, file names need not be
    frame[column] = np.where(np.arange(N) % 2, column, "b")
    report = replace(_report(evaluation, (column,)), notes=(bad,))
    report = replace(report, sections={**report.sections, bad: {bad: [bad]}})
    report = replace(
        report, protocol=replace(report.protocol, data=bad, split=bad, scoring=bad, excluded=(bad,))
    )
    report = replace(report, origin=Origin(bad, {bad: bad}, {bad: bad}))
    text = page(report, evaluation, PageOptions(note=bad, paths=True))
    seen = _read(text)
    assert not seen.all("script")
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert all(image["src"].startswith("data:") for image in seen.all("img"))
    assert "<script>alert(1)</script>" in seen.text
    assert "\x1b" not in text
    write_page(report, evaluation, str(tmp_path / "page.html"))
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_section_without_a_layout_is_shown_as_it_is(report: Report, evaluation: Evaluation) -> None:
    more = replace(report, sections={"something_new": {"value": 0.25}})
    seen = _read(page(more, evaluation, PageOptions(images=False)))
    assert "Something new" in seen.text
    assert '"value": 0.25' in seen.text


def test_top_1_accuracy_and_retrieval_have_tables(report: Report, evaluation: Evaluation) -> None:
    exclusive = measure_exclusive(evaluation.by_unit, evaluation.unit_scores, Resampling(20), "images")
    number = {"value": 0.375, "low": 0.25, "high": 0.5, "replicates": 20}
    direction = {
        "direction": "image_to_report", "queries": 24, "gallery": 20,
        "recall": [{"k": 1, **number, "chance": 0.05}], "median_rank": {**number, "value": 4.0, "chance": 10},
    }  # fmt: skip
    finding = {
        "finding": "pneumothorax", "n": 24, "positives": 8, "precision": [{"k": 5, **number}], "chance": None,
    }  # fmt: skip
    retrieval = {"rule": "by cosine", "directions": [direction], "findings": [finding]}
    told = replace(report, sections={"exclusive": exclusive, "retrieval": retrieval})
    seen = _read(page(told, evaluation, PageOptions(images=False)))
    accuracy = exclusive["scores"][0]["accuracy"]["value"]
    assert f"{accuracy:.3f} [" in seen.text
    for text in (
        "chance 0.500",
        "image to report: 24 queries, 20 candidates",
        "recall at 1",
        "0.375 [0.250",
        "first 5",
    ):
        assert text in seen.text


def test_the_same_evaluation_gives_the_same_page(html: str, report: Report, evaluation: Evaluation) -> None:
    again = page(replace(report, origin=ORIGIN), evaluation)
    assert again == html


@pytest.mark.parametrize("name", ["page.pdf", "page", "absent/page.html"])
def test_a_page_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        check_page(str(tmp_path / name))


def _published(images: int, unscored: tuple[Unscored, ...] = (), excluded: tuple[str, ...] = ()) -> Report:
    metrics = {name: Metric(0.9, 0.85, 0.95, 30, findings=5) for name in ("auc", "auprc")}
    rows = tuple(Row(name, images, 50, 50, images - 50, metrics) for name in builtin("chexpert5").ids)
    protocol = Protocol(
        "chexpert", "chexpert", "test", images, "all", excluded, "ignore", {"name": "chexpert5", "hash": "0"},
        (None,), "", Resampling(30),
    )  # fmt: skip
    return Report(protocol, (Measured("mine", images, 500, rows, metrics),), (), (), unscored, ())


def test_published_numbers_stand_beside_the_same_images_and_findings_only() -> None:
    same = _published(668)
    assert [one["auc"] for one in json.loads(same.to_json())["yardsticks"]] == [0.903, 0.897, 0.894]
    text = io.StringIO()
    show(same, {}, Console(file=text, width=80))
    assert "0.903" in text.getvalue()
    assert "Published results on the same images and findings\n" in text.getvalue()
    lost = (Unscored("a.jpg", "missing", "no such file"),)
    for other in (_published(518), _published(668, unscored=lost), _published(668, excluded=("sex=F",))):
        assert json.loads(other.to_json())["yardsticks"] == []
        text = io.StringIO()
        show(other, {}, Console(file=text, width=80))
        assert "Published" not in text.getvalue()


def test_different_prompts_are_pointed_out() -> None:
    """Prompts are not compared, so a better number may be that of better prompts."""
    from_file = _published(668)
    from_model = replace(from_file, protocol=replace(from_file.protocol, models=({"name": "mine"},)))
    for report, known in ((from_file, "; those behind mine are unknown."), (from_model, ".")):
        text = io.StringIO()
        show(report, {}, Console(file=text, width=80))
        shown = " ".join(text.getvalue().split())
        assert "FINDING / no FINDING" in shown
        assert f"The prompts may differ{known}" in shown
        assert "protocol" not in shown


def test_published_numbers_are_on_the_page(evaluation: Evaluation) -> None:
    truth = Labelled(builtin("chexpert5").ids, np.ones((1, 5)), np.array(["p"]))
    other = replace(evaluation, unit_scores=(UnitScores("mine", np.ones((1, 5))),), by_unit=truth)
    seen = _read(page(_published(668), other, PageOptions(images=False)))
    assert "Published results on the same images and findings" in seen.text
    assert "The prompts may differ; those behind mine are unknown." in seen.text
    assert "CheXzero (one checkpoint, run by the TIER authors)" in seen.text


def test_the_mean_without_labels_that_are_not_findings_is_on_the_page() -> None:
    from tier_cli.evaluation.page.numbers import overview

    published = _published(668)
    first = published.measured[0]
    rows = (*first.rows, replace(first.rows[0], finding="normal"))
    macro = {name: replace(one, findings=6) for name, one in first.macro.items()}
    both = replace(first, rows=rows, macro=macro, macro_without=first.macro)
    (table,) = overview(replace(published, measured=(both,))).tables
    assert [(head, cell.split()[-1]) for head, cell in table.rows[2:]] == [
        ("AUC", "(6)"),
        ("AUPRC", "(6)"),
        ("AUC, without normal", "(5)"),
        ("AUPRC, without normal", "(5)"),
    ]


def test_many_images_and_findings_keep_the_page_small(evaluation: Evaluation) -> None:
    """A curve of every image of PadChest would be megabytes a finding."""
    from tier_cli.evaluation.page.figures import draw_precision_recall, draw_roc

    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, (30_000, 1)).astype(float), rng.normal(size=(30_000, 1))
    for kind in (draw_roc, draw_precision_recall):
        figure = kind("x", 0, labels, [UnitScores("a", scores)])
        assert figure is not None
        assert len(figure.svg) < 20_000
