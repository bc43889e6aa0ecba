"""Feed broken inputs to the readers: each is used, refused with a reason, or a fault of ours.

Run: python benchmarks/fuzz.py [--cases 20000] [--seed 0] [--only KIND] [--images FOLDER]

Kinds of cases: images in every encoding with damaged bytes, DICOM attributes of any value, manifests, finding
files and checkpoint folders. A fault is an exception that is no refusal, a refusal without a reason, a
warning, a crash or a case that takes too long. Each is listed with the command that repeats it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mutations import DAMAGES, ENCODERS, Grey, Other, damaged, drawn_chest
from PIL import Image
from pydicom.datadict import dictionary_VR
from pydicom.tag import Tag

from tier_cli.datasets.manifest import read_manifest
from tier_cli.errors import TierError
from tier_cli.findings.load import load_findings
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.model.checkpoint import find, open_checkpoint

# A case takes milliseconds; a busy machine may need seconds.
_SECONDS = 30.0
# Of each hundred cases.
_SHARES = MappingProxyType({"image": 64, "attributes": 16, "manifest": 8, "findings": 8, "checkpoint": 4})
_SMALL = 96
Case = tuple[str, int]


def main() -> None:
    """Run the cases and list the faults; exit with 1 if there are any."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=2000, help="2,000 take two minutes of one core or less")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first case; the next has the next seed"
    )
    parser.add_argument("--only", choices=_SHARES, help="only cases of one kind")
    parser.add_argument("--images", type=Path, help="folder of images to damage; default: drawn ones")
    given_ = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        faults = run(given_.cases, given_.seed, Path(folder), only=given_.only, images=given_.images)
    seconds = time.monotonic() - started
    sys.stdout.write(f"{given_.cases} cases in {seconds:.0f} s, {len(faults)} faults\n")
    sys.exit(1 if faults else 0)


def run(
    number: int, first: int, folder: Path, *, only: str | None = None, images: Path | None = None
) -> list[str]:
    """Run cases in another process, print what became of them and return the faults."""
    subject = Subject(folder, images)
    other: Other[Case, str] = Other(subject.answer, _SECONDS)
    counts: Counter[str] = Counter()
    faults = []
    for kind, case in cases(number, first, only):
        answer = other.ask((kind, case))
        counts[f"{kind}: {answer.partition(':')[0]}"] += 1
        if answer.startswith(("fault", "crash", "hang")):
            faults.append(f"{answer}; repeat with --only {kind} --seed {case} --cases 1")
            sys.stdout.write(faults[-1] + "\n")
    other.close()
    for line, count in sorted(counts.items()):
        sys.stdout.write(f"{count:6}  {line}\n")
    return faults


def cases(number: int, first: int, only: str | None = None) -> Iterator[Case]:
    """Yield the kind and the seed of each case."""
    kinds = [kind for kind, share in _SHARES.items() for _ in range(share)]
    # A stride coprime to 100 mixes the kinds.
    for case in range(first, first + number):
        yield only or kinds[case * 37 % len(kinds)], case


class Subject:
    """Make one case and feed it to its reader.

    Parameters
    ----------
    folder
        An existing folder for the files of a case.
    images
        A folder of images to damage; None draws them.
    """

    def __init__(self, folder: Path, images: Path | None = None) -> None:
        self._folder = folder
        self._images = sorted(path for path in images.rglob("*") if path.is_file()) if images else []
        self._kinds: dict[str, Callable[[int], None]] = {
            "image": self._image,
            "attributes": self._attributes,
            "manifest": self._manifest,
            "findings": self._findings,
            "checkpoint": self._checkpoint,
        }

    def answer(self, case: Case) -> str:
        """Return ``used``, ``refused: KIND`` or ``fault: ...``."""
        kind, number = case
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                self._kinds[kind](number)
        except TierError as error:
            if not (error.what and error.where and error.kind):
                return f"fault: a refusal without a reason or a place ({error})"
            return f"refused {error.kind}"
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the result
            place = traceback.extract_tb(error.__traceback__)[-1]
            return f"fault: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        return "used"

    def _image(self, number: int) -> None:
        rng = np.random.default_rng(number)
        if self._images and number % 2:
            content = self._images[int(rng.integers(len(self._images)))].read_bytes()
        else:
            content = ENCODERS[str(rng.choice(list(ENCODERS)))](self._pixels(rng), rng)
        for _ in range(int(rng.choice([1, 1, 2]))):
            if len(content) > 200:
                content = damaged(content, str(rng.choice(list(DAMAGES))), rng)
        self._read(content, rng)

    def _pixels(self, rng: np.random.Generator) -> Grey:
        pictures = [file for file in self._images if file.suffix in (".png", ".jpg")]
        if pictures:
            with Image.open(pictures[int(rng.integers(len(pictures)))]) as image:
                return np.asarray(image.convert("L").resize((_SMALL, _SMALL)))
        return drawn_chest(_SMALL, rng)

    def _read(self, content: bytes, rng: np.random.Generator) -> None:
        path = self._folder / "file"
        path.write_bytes(content)
        rendering: Any = rng.choice(["voi", "minmax", "minmax-equalized"])
        options = ReadOptions(rendering=str(rendering), accept_any=bool(rng.random() < 0.5), views="all")  # type: ignore[arg-type]
        shown = read_radiograph(str(path), options)
        if not (np.isfinite(shown.pixels).all() and shown.pixels.min() >= 0 and shown.pixels.max() <= 1):
            raise AssertionError("pixels outside [0, 1]")

    def _attributes(self, number: int) -> None:
        rng = np.random.default_rng(number)
        content = ENCODERS["DICOM, 8 bits"](drawn_chest(_SMALL, rng), rng)
        # Written byte for byte: a library would not write what no standard allows. The later of two counts.
        raw = b"".join(_element(keyword, value) for keyword, value in drawn(_ATTRIBUTES, number).items())
        start = content.index(b"\xe0\x7f\x10\x00")
        self._read(content[:start] + raw + content[start:], rng)

    def _manifest(self, number: int) -> None:
        text = drawn(_MANIFESTS, number)
        path = self._folder / "manifest.csv"
        path.write_bytes(_damaged_text(text, number))
        manifest = read_manifest(path)
        findings = load_findings("nih14")
        manifest.labels(findings)
        _ = (manifest.patients, manifest.paths, manifest.repeated_paths(), manifest.ignored_columns(findings))

    def _findings(self, number: int) -> None:
        text = (find("tier-small") / "findings.toml").read_text() if number % 3 == 0 else drawn(_TOML, number)
        path = self._folder / "findings.toml"
        path.write_bytes(_damaged_text(text, number))
        load_findings(str(path))

    def _checkpoint(self, number: int) -> None:
        rng = np.random.default_rng(number)
        start, folder = find("tier-small"), self._folder / "checkpoint"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file in start.iterdir():
            os.symlink(file, folder / file.name)
        names = ["config.json", "preprocessor_config.json", "checksums.json", "findings.toml"]
        name = str(rng.choice([*names, "tokenizer_config.json", "training.json", "calibration.json"]))
        (folder / name).unlink(missing_ok=True)
        source = start / name
        content = source.read_bytes() if source.exists() else b"{}"
        if name.endswith(".json") and rng.random() < 0.7:
            content = _altered_json(json.loads(content), drawn(_VALUES, number), rng)
        elif len(content) > 2:
            content = damaged(content, str(rng.choice(list(DAMAGES))), rng)
        if rng.random() < 0.95:
            (folder / name).write_bytes(content)
        open_checkpoint(folder)


def drawn(strategy: st.SearchStrategy[Any], number: int) -> Any:
    """Draw the value of a strategy that belongs to a seed."""
    found: list[Any] = []
    silent = list(HealthCheck)

    @seed(number)
    @settings(
        max_examples=2, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=silent
    )
    @given(strategy)
    def draw(value: Any) -> None:
        found.append(value)

    draw()
    # The first is always the simplest.
    return found[-1]


def _element(keyword: str, value: bytes) -> bytes:
    """Encode an attribute in explicit VR little endian, whatever its value."""
    tag, vr = Tag(keyword), dictionary_VR(Tag(keyword)).partition(" ")[0]
    padded = value.ljust(len(value) + len(value) % 2)
    head = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little") + vr.encode()
    return head + len(padded).to_bytes(2, "little") + padded


def _damaged_text(text: str, number: int) -> bytes:
    """Encode a text, and damage every second one."""
    content = text.encode("utf-8", "replace")
    rng = np.random.default_rng(number)
    if number % 2 == 0 or len(content) < 4:
        return content
    kind = str(rng.choice(list(DAMAGES)))
    return bytes(DAMAGES[kind](bytearray(content), 0, rng))


def _altered_json(document: Any, value: Any, rng: np.random.Generator) -> bytes:
    """Put a value in a place of a document, or remove the place."""
    place, key = document, None
    while isinstance(place, dict | list) and place:
        parent, keys = place, list(place) if isinstance(place, dict) else list(range(len(place)))
        key = keys[int(rng.integers(len(keys)))]
        place = parent[key]
        if rng.random() < 0.4:
            break
    if key is None:
        return json.dumps(value).encode()
    if rng.random() < 0.2:
        del parent[key]
    else:
        parent[key] = value
    return json.dumps(document).encode()


_NUMBERS = st.sampled_from(
    ["0", "-1", "1", "2", "1e400", "nan", "inf", "65535", "65536", "99999999999999999999"]
)
_WORDS = st.one_of(
    _NUMBERS, st.sampled_from(["CHEST", "PA", "", "MONOCHROME1", "PALETTE COLOR"]), st.text(max_size=12)
)
_KEYWORDS = """
    Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel NumberOfFrames
    PhotometricInterpretation PlanarConfiguration WindowCenter WindowWidth VOILUTFunction RescaleSlope
    RescaleIntercept PixelPaddingValue PixelPaddingRangeLimit PixelSpacing PixelAspectRatio ImagerPixelSpacing
    PatientOrientation ViewPosition BodyPartExamined Modality PresentationLUTShape PresentationIntentType
    SeriesDescription SpecificCharacterSet SOPClassUID StudyInstanceUID PatientSpeciesDescription
    """.split()  # noqa: SIM905
_RAW = st.one_of(
    st.lists(_WORDS, min_size=1, max_size=3).map(lambda words: "\\".join(words).encode("utf-8", "replace")),
    st.binary(max_size=8),
    st.sampled_from([0, 1, 7, 8, 12, 16, 64, 96, 65535]).map(lambda number: number.to_bytes(2, "little")),
)
_ATTRIBUTES = st.dictionaries(st.sampled_from(_KEYWORDS), _RAW, min_size=1, max_size=4)
_COLUMNS = st.sampled_from(
    """path patient study series instance view sex age text split source boxes mask
    Pneumonia Effusion odd""".split()  # noqa: SIM905
)
_CELLS = st.one_of(
    st.sampled_from(
        ["a.png", "1", "0", "-1", "", "yes", "nan", "1.0", "train", "test", "M", "060Y", '[{"box": 1}]']
    ),
    st.text(max_size=10),
)


@st.composite
def _manifests(draw: st.DrawFn) -> str:
    columns = draw(st.lists(st.one_of(_COLUMNS, st.text(max_size=8)), min_size=1, max_size=6))
    if draw(st.booleans()):
        columns = ["path", *columns]
    comma = draw(st.sampled_from([",", ";", "\t"]))
    width = len(columns) if draw(st.integers(0, 9)) else len(columns) + 1
    rows = draw(st.lists(st.lists(_CELLS, min_size=width, max_size=width), min_size=1, max_size=5))
    if columns[0] == "path":
        rows = [[f"{number}.png", *row[1:]] for number, row in enumerate(rows)]
    quoted = [[f'"{cell}"' if draw(st.booleans()) else cell for cell in row] for row in rows]
    return "\n".join(comma.join(row) for row in [columns, *quoted])


_MANIFESTS = _manifests()
_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from([-1, 0, 1e308, 2**63, "", "../x", [], {}]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def _toml(draw: st.DrawFn) -> str:
    words = "label positive negative aliases templates note groups group name findings"
    keys = st.sampled_from(words.split())
    lines = []
    for _ in range(draw(st.integers(0, 4))):
        table = draw(
            st.one_of(st.sampled_from(["findings.a", "findings.b", "templates", "set"]), st.text(max_size=5))
        )
        lines.append(f"[{table}]")
        for key in draw(st.lists(keys, max_size=4)):
            value = draw(st.one_of(_VALUES, st.lists(st.text(max_size=8), min_size=1, max_size=3)))
            lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines)


_TOML = _toml()


if __name__ == "__main__":
    main()
