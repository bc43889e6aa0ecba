"""Convert foreign checkpoints into TIER checkpoint folders that preprocess and score as their authors do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError, UsageError, did_you_mean
from tier_cli.files.atomic import check_new_folder, whole_folder
from tier_cli.files.hashes import file_hash
from tier_cli.model.convert.detect import (
    FAMILIES,
    TAKEN_FOR_CHEXZERO,
    check_form,
    check_tokenizer,
    detect,
)
from tier_cli.model.registry import licence_of_family

if TYPE_CHECKING:
    from torch import Tensor

    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.convert.files import WeightFile
    from tier_cli.model.modeling import TierModel


@dataclass(frozen=True)
class Source:
    """A foreign checkpoint.

    Parameters
    ----------
    path
        Its file or folder.
    tokenizer
        A folder with the tokenizer, if the checkpoint has none.
    scratch
        A temporary folder that exists until the conversion is done.
    text_tower
        A folder with the text model, if the checkpoint has none.
    origin
        The origin of a download, for the record, with its ``licence`` and ``terms`` for the model card.
    """

    path: Path
    tokenizer: Path | None
    scratch: Path
    text_tower: Path | None = None
    origin: Mapping[str, Any] | None = None

    @cached_property
    def file(self) -> WeightFile:
        """The content of a source that is one file."""
        from tier_cli.model.convert.files import read_weight_file

        return read_weight_file(self.path)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The tensors of a source that is one file."""
        return self.file.tensors


@dataclass(frozen=True)
class Converted:
    """The result of a family's ``convert``, which `convert` writes.

    Parameters
    ----------
    model
        Has all weights of the source, in fp32.
    tokenizer
        A folder with tokenizer.json and tokenizer_config.json, see `tokenizer_folder`.
    preprocessing, findings
        As the authors published them.
    left_out
        Names of tensors that are known to be unused.
    notes
        Further entries for training.json.
    """

    model: TierModel
    tokenizer: Path
    preprocessing: Preprocessing
    findings: FindingSet
    left_out: tuple[str, ...] = ()
    notes: Mapping[str, Any] | None = None


def convert(
    source: Path,
    dest: Path,
    family: str | None = None,
    tokenizer: Path | None = None,
    findings: FindingSet | None = None,
    text_tower: Path | None = None,
    origin: Mapping[str, Any] | None = None,
    report: Callable[[str], object] = lambda line: None,
) -> dict[str, Any]:
    """Convert a foreign checkpoint into a folder that `open_checkpoint` opens.

    Parameters
    ----------
    source, tokenizer, text_tower, origin
        See `Source`.
    dest
        The folder to write; absent or empty.
    family
        A name in `FAMILIES`; None detects it.
    findings
        The folder's own finding set; the family's by default.
    report
        Receives a line if the family was inferred from what other models can share, and lines about the
        licence of weights that are not on the hub.

    Returns
    -------
    dict
        The entry ``converted`` of training.json, with ``difference_from_torch`` of the graphs.

    Raises
    ------
    CheckpointError
        If the source belongs to no known family, does not fit its family, or would have to run code.
    UsageError
        If `dest` is not empty.
    """
    check_paths(source, dest, family)
    dest.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(dest) as folder, TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        opened = Source(source, tokenizer, Path(scratch), text_tower, origin)
        if family is None:
            chosen = detect(source, None if source.is_dir() else opened.file)
            if chosen == "chexzero":
                report(f"{source}: {TAKEN_FOR_CHEXZERO}")
        else:
            chosen = family
        check_form(source, chosen)
        if text_tower is not None and not FAMILIES[chosen].two_parts:
            raise UsageError(
                f"a checkpoint of the family {chosen} has its own text tower",
                where="--text-tower",
                remedy="leave it out",
            )
        check_tokenizer(source, chosen, tokenizer)
        for sentence in licence_of_family(chosen):
            report(sentence)
        module = import_module(f"{__name__}.{FAMILIES[chosen].module}")
        return _write(folder, module.convert(opened, chosen), opened, chosen, findings)


def _write(
    folder: Path, converted: Converted, source: Source, family: str, findings: FindingSet | None
) -> dict[str, Any]:
    from tier_cli.model.convert.assemble import lossless_precision
    from tier_cli.model.convert.tokenizer import check_end
    from tier_cli.model.save import save_checkpoint

    check_end(converted.tokenizer, converted.model.config)
    precision = lossless_precision(converted.model)
    findings = findings or converted.findings
    record = {
        "family": family,
        "source": {**_hashes(source.path), **(_hashes(source.text_tower) if source.text_tower else {})},
        "left_out": list(converted.left_out),
        "stored_as": precision,
        "scoring": converted.model.config.scoring,
        "rendering": converted.preprocessing.rendering,
        "findings": findings.name,
        **(converted.notes or {}),
        **({"origin": dict(source.origin)} if source.origin else {}),
    }
    differences = save_checkpoint(
        folder,
        converted.model,
        converted.tokenizer,
        converted.preprocessing,
        findings,
        {"converted": record},
        precision,
        # A large text tower would need minutes, for sets that may never be used.
        builtin_vectors=False,
    )
    (folder / "README.md").write_text(_card(family, record), encoding="utf-8")
    return {**record, "difference_from_torch": differences}


def _card(family: str, record: Mapping[str, Any]) -> str:
    files = "\n".join(f"- {name}: SHA-256 {digest}" for name, digest in record["source"].items())
    origin = record.get("origin", {})
    if origin:
        said = [f"Licence: {origin['licence']}, from {origin['repository']}.", *origin.get("terms", ())]
    else:
        said = [*licence_of_family(family)]
    licence = "\n".join(said) + "\n\n" if said else ""
    return (
        f"# {FAMILIES[family].title.partition(',')[0]}, converted\n\n"
        f"Made by `tier model convert` from:\n\n{files}\n\n"
        f"Score: `{record['scoring']}`. DICOM rendering: `{record['rendering']}`. Weights stored in"
        f" {record['stored_as']}.\n\n"
        f"{licence}The licence and terms of the source weights, and of the data they were trained on, apply."
        " For research use; not a medical device.\n"
    )


def check_paths(source: Path, dest: Path, family: str | None) -> None:
    """Refuse an unknown family, a missing source or a used destination before anything is read."""
    if family is not None and family not in FAMILIES:
        raise UsageError(
            f"unknown family '{family}'{did_you_mean(family, FAMILIES)}",
            remedy=f"use one of {', '.join(FAMILIES)}",
        )
    if not source.exists():
        raise CheckpointError("no such file or folder", where=str(source), remedy="check the path")
    check_new_folder(dest, parents=True)


def _hashes(source: Path) -> dict[str, str]:
    """Return the SHA-256 of the source's weight files, by name."""
    endings = (".pt", ".pth", ".bin", ".safetensors")
    files = sorted(p for p in source.iterdir() if p.suffix in endings) if source.is_dir() else [source]
    return {path.name: file_hash(path) for path in files}
