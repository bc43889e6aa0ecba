"""Finding sets by name, by file and by words; errors and their messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tier_cli.errors import FindingSetError
from tier_cli.findings.load import builtin, load_findings, parse_findings
from tier_cli.findings.parse import fill

GOOD = """
[templates]
negative = ["No {finding}."]

[findings.left_effusion]
label = "Left effusion"
aliases = ["L effusion"]
positive = ["Left effusion is present."]

[findings.normal]
templates = {}
positive = ["Normal chest radiograph."]
negative = ["Abnormal findings."]
"""


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ward.toml"
    path.write_text("\ufeff" + GOOD.replace("\n", "\r\n"), encoding="utf-8", newline="")
    fs = load_findings(str(path))
    assert fs.name == "ward"
    assert fs.ids == ("left_effusion", "normal")
    assert fs.findings[0].negative == ("No left effusion.",)
    assert fs.findings[1].label == "Normal"
    assert fs.findings[1].negative == ("Abnormal findings.",)


PROMPTS = 'positive = ["P."]\nnegative = ["N."]\n'
BAD = {
    "no TOML": ("[findings", "not valid TOML", ""),
    "twice": (f"[findings.a]\n{PROMPTS}[findings.a]\n{PROMPTS}", "not valid TOML", ""),
    "nothing": ("", "no findings", ""),
    "key at the top": (f"finding = 1\n[findings.a]\n{PROMPTS}", "unknown key 'finding'", "finding"),
    "key": (f"[findings.a]\nprompt = []\n{PROMPTS}", "unknown key 'prompt'", "[findings.a] prompt"),
    "template key": (f"templates.x = []\n[findings.a]\n{PROMPTS}", "unknown key 'x'", "[templates] x"),
    "no table": ("[findings]\na = 1", "a is not a table", "[findings.a]"),
    "findings no table": ("findings = 1", "must be tables", "findings"),
    "a text": ('[findings.a]\npositive = "P."\nnegative = ["N."]', "not a list", "[findings.a] positive"),
    "numbers": ('[findings.a]\npositive = [1]\nnegative = ["N."]', "not a list", "[findings.a] positive"),
    "label": (f"[findings.a]\nlabel = 3\n{PROMPTS}", "not a string", "[findings.a] label"),
    "empty list": (
        '[findings.a]\npositive = []\nnegative = ["N."]',
        "an empty list",
        "[findings.a] positive",
    ),
    "no negative": ('[findings.a]\npositive = ["P."]', "no negative prompts", "[findings.a] negative"),
    "blank": ('[findings.a]\npositive = [" "]\nnegative = ["N."]', "empty text", "[findings.a] positive"),
    "line break": (
        '[findings.a]\npositive = ["P\\nQ"]\nnegative = ["N."]',
        "U+000A",
        "[findings.a] positive",
    ),
    "space": ('[findings.a]\npositive = ["P. "]\nnegative = ["N."]', "space", "[findings.a] positive"),
    "id": (f"[findings.RibFracture]\n{PROMPTS}", "'RibFracture' is not a valid id", "[findings.RibFracture]"),
    "dotted id": (f"[findings.rib.fracture]\n{PROMPTS}", "unknown key 'fracture'", "[findings.rib] fracture"),
    "reserved": (f"[findings.view]\n{PROMPTS}", "reserved column", "[findings.view]"),
    "reserved alias": (f'[findings.a]\naliases=["Age"]\n{PROMPTS}', "reserved", "[findings.a] aliases"),
    "hollow alias": (f'[findings.a]\naliases=["--"]\n{PROMPTS}', "no letter", "[findings.a] aliases"),
    "template": (
        f'[findings.a]\ntemplates = {{positive = ["No."]}}\n{PROMPTS}',
        "no {finding}",
        "[findings.a] templates positive",
    ),
    "prompt twice": (
        '[findings.a]\npositive = ["P q.", "p  Q"]\nnegative = ["N."]',
        "is repeated",
        "[findings.a] positive",
    ),
    "both sides": (
        '[findings.a]\npositive = ["P."]\nnegative = ["p"]',
        "both a positive and",
        "[findings.a] positive",
    ),
    "two findings": (
        f"[findings.a]\n{PROMPTS}[findings.b]\n{PROMPTS}",
        "also a positive prompt of a",
        "[findings.b] positive",
    ),
    "alias is an id": (
        f'[findings.ab]\n{PROMPTS}[findings.b]\naliases = ["A B"]\npositive = ["Q"]\nnegative = ["N."]',
        "'A B' already names ab",
        "[findings.b] aliases",
    ),
    "alias twice": (f'[findings.a]\naliases = ["x y", "X_Y"]\n{PROMPTS}', "twice", "[findings.a] aliases"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused_names_file_table_and_key(case: str) -> None:
    text, what, place = BAD[case]
    with pytest.raises(FindingSetError) as caught:
        parse_findings(text, "my", where="my.toml")
    assert what in caught.value.what
    assert caught.value.where == f"my.toml {place}".rstrip()
    assert caught.value.remedy


SIDES = {
    "id": ("left_effusion", "Effusion", ["Right effusion."], ["No effusion."], "positive"),
    "label": ("effusion_a", "Right effusion", ["Effusion."], ["No left-sided effusion."], "negative"),
    "id and label": ("left_effusion", "Right effusion", ["Effusion."], ["None."], "label"),
    "prompts": ("tracheal_shift", "Shift", ["Shifted rightward."], ["No left shift."], "negative"),
}


@pytest.mark.parametrize("case", SIDES)
def test_left_and_right_are_not_mixed_up(case: str) -> None:
    name, label, positive, negative, key = SIDES[case]
    text = f"[findings.{name}]\nlabel = '{label}'\npositive = {positive}\nnegative = {negative}"
    with pytest.raises(FindingSetError, match=r"left|right") as caught:
        parse_findings(text, "my")
    assert caught.value.where == f"my [findings.{name}] {key}"


@pytest.mark.parametrize(
    ("name", "positive", "negative"),
    [
        ("left_effusion", "Left effusion, the right lung is clear.", "No effusion."),
        ("effusion_b", "Left or right effusion.", "No left effusion."),
        ("bright_lung", "The lung is brighter.", "Upright view, no change."),
    ],
)
def test_other_uses_of_left_and_right_pass(name: str, positive: str, negative: str) -> None:
    parse_findings(f"[findings.{name}]\npositive = ['{positive}']\nnegative = ['{negative}']", "my")


def test_further_problems_are_counted() -> None:
    with pytest.raises(FindingSetError, match="2 more problems: `tier findings check my` lists all"):
        parse_findings("a = 1\nb = 2\nc = 3\n[findings.a]\n" + PROMPTS, "my")


@pytest.mark.parametrize(
    ("label", "text"),
    [("Rib fracture", "No rib fracture."), ("COPD signs", "No COPD signs."), ("COVID-19", "No COVID-19.")],
)
def test_labels_are_written_as_inside_a_sentence(label: str, text: str) -> None:
    assert fill("No {finding}.", label) == text
    assert fill("{finding} is present.", label) == f"{label} is present."


def test_words_take_curated_prompts_or_templates() -> None:
    fs = load_findings(" Pneumothorax , rib fracture,odd  Sign (new)")
    assert fs.ids == ("pneumothorax", "rib_fracture", "odd_sign_new")
    assert fs.findings[0] == builtin("chexpert14").match("pneumothorax")
    assert fs.findings[1] == builtin("padchest57").match("rib fracture")
    assert fs.findings[2].label == "Odd Sign (new)"
    assert fs.findings[2].positive[0] == "Odd Sign (new) is present."
    assert fs.findings[2].negative[0] == "No odd Sign (new)."
    assert parse_findings(fs.to_toml(), "x") == fs


def test_the_default_set_is_looked_up_first() -> None:
    assert load_findings("effusion").ids == ("pleural_effusion",)
    assert load_findings("effusion", builtin("nih14")).ids == ("effusion",)
    assert load_findings(None, builtin("nih14")) is builtin("nih14")
    assert load_findings("CheXpert5", builtin("nih14")) is builtin("chexpert5")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "no finding given"),
        ("pneumothorax,,edema", "name is empty"),
        ("effusion,pleural effusion", "again; name it once"),
        ("odd sign,Odd-Sign", "again; name it once"),
        ("肺炎", "cannot derive an id"),
        ("lung\x00spot", "unprintable"),
        ("view", "reserved column"),
        ("chexpert41", "did you mean chexpert14"),
        ("nih15", r"'nih15' is not a finding set \(did you mean nih14\?\)"),
        ("absent.toml", "no such file"),
        ("lesions.json", "end in .toml"),
    ],
)
def test_specs_that_name_nothing_are_refused(
    spec: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FindingSetError, match=message):
        load_findings(spec)


def test_no_set_at_all_is_an_error() -> None:
    with pytest.raises(FindingSetError, match="chexpert14"):
        load_findings(None)


@pytest.mark.parametrize(
    ("word", "near"), [("effusoin", "effusion"), ("Cardiomegly", "cardiomegaly"), ("nodulle", "nodule")]
)
def test_a_misspelt_finding_is_noted(word: str, near: str) -> None:
    """The user would otherwise compare scores of a word that no report contains."""
    chosen = load_findings(f"{word},sail sign")
    (note,) = chosen.notes
    said = f"{word!r} is not a known finding (did you mean {near}?): its prompts are made from its name"
    assert note.casefold() == said.casefold()


@pytest.mark.parametrize("word", ["sail sign", "pneumonitis", "hemothorax", "right pleural effusion"])
def test_a_finding_of_the_users_own_is_not_taken_for_a_slip(word: str) -> None:
    assert load_findings(word).notes == ()


def test_a_file_in_the_current_folder_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pneumothorax").write_text("not a set")
    assert load_findings("pneumothorax").ids == ("pneumothorax",)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    folder, latin = tmp_path / "folder.toml", tmp_path / "latin.toml"
    folder.mkdir()
    latin.write_bytes("name = 'é'".encode("latin-1"))
    with pytest.raises(FindingSetError, match="cannot be read"):
        load_findings(str(folder))
    with pytest.raises(FindingSetError, match="not UTF-8"):
        load_findings(str(latin))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("chexpert5,mass", "'chexpert5' is a finding set, and a list takes only findings"),
        ("mass,NIH14", "'NIH14' is a finding set"),
        ("my.toml,mass", r"'my\.toml' is a finding set"),
        ("without effusion", r"is a denial \('without'\); name what is seen"),
        ("effusion,no pneumothorax", r"'no pneumothorax' is a denial"),
        ("absence of a mass", "is a denial"),
        ("mass is absent", "is a denial"),
        ("effusion;mass", "contains a semicolon; separate names with commas"),
        ("effusion\nmass", "contains a line break or tab; separate names with commas"),
    ],
)
def test_lists_that_would_be_scored_as_something_else(spec: str, message: str) -> None:
    with pytest.raises(FindingSetError, match=message):
        load_findings(spec)


@pytest.mark.parametrize("spec", ["no finding", "covid,mass", "non-specific opacity", "nodule,north sign"])
def test_lists_that_only_look_like_them(spec: str) -> None:
    assert len(load_findings(spec).findings) == 1 + spec.count(",")


def test_an_alias_says_which_finding_it_chose() -> None:
    chosen = load_findings("tracheal deviation,mass,odd sign")
    assert chosen.ids == ("tracheal_shift", "mass", "odd_sign")
    assert chosen.notes == (
        "'tracheal deviation' is scored as tracheal_shift (Tracheal shift), with the prompts of padchest57",
    )
    # An id or a label says itself what is scored; the checkpoint's own set goes first.
    assert load_findings("tracheal_shift,Pulmonary edema").notes == ()
    assert load_findings("effusion", builtin("nih14")).notes == ()
    # Results of the same prompts keep their hash.
    assert chosen == load_findings("tracheal_shift,mass,odd sign")


@pytest.mark.parametrize("prompt", ["No without effusion.", "no evidence of no mass", "Absence of not much"])
def test_a_prompt_that_denies_twice(prompt: str) -> None:
    text = f'[findings.a]\npositive = ["A mass."]\nnegative = ["{prompt}"]\n'
    with pytest.raises(FindingSetError, match=r"\[findings\.a\] negative: .* denies twice"):
        parse_findings(text, "mine")
