"""What `tier train` starts from: data, what is watched, and starting weights, from its options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tier_cli.commands.train.command_line import was_given
from tier_cli.datasets.registry import CSV
from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.training.data.splits import SplitChoice
    from tier_cli.training.train_inputs import TrainInputs


def check_watched(
    context: typer.Context, data: Path | None, dataset: str | None, root: Path | None
) -> tuple[str, Path | None, Path | None] | None:
    """Return what ``--valid-data`` or ``--valid-dataset`` names, for `open_validation_data`, or None.

    Raises
    ------
    UsageError
        Both, or options that make no sense with or without them.
    """
    if data is not None and dataset is not None:
        raise UsageError(
            "a manifest and a data set are two different data",
            where="--valid-data, --valid-dataset",
            remedy="watch one of them",
        )
    if data is None and dataset is None:
        if root is not None:
            raise UsageError(
                "of what data?", where="--valid-root", remedy="give --valid-dataset or --valid-data with it"
            )
        return None
    for name, option in (("valid_share", "--valid-share"), ("split_seed", "--split-seed")):
        if was_given(context, name):
            raise UsageError(
                "no patients are drawn where other data are watched", where=option, remedy="leave it out"
            )
    return dataset or CSV, data, root


def check_comparable(inputs: TrainInputs) -> None:
    """Refuse to choose epochs where nothing tells them apart.

    Raises
    ------
    UsageError
        No finding is both present and absent in what is watched.
    """
    if not inputs.can_compare():
        raise UsageError(
            "nothing is watched that has a finding both present and absent, to choose epochs by",
            where="--keep-epochs",
            remedy="give labelled images: a split, --valid-data or --valid-dataset",
        )


def collect_inputs(
    start: tuple[str | None, Path | None, Path | None],
    image_size: int | None,
    findings: str | None,
    manifest: Manifest,
    dataset: str,
    choice: SplitChoice,
    elsewhere: tuple[str, Path | None, Path | None] | None,
    **others: Any,
) -> TrainInputs:
    """Open what the options name, and choose its rows.

    Parameters
    ----------
    start
        ``--init``, ``--image-tower`` and ``--text-tower``.
    image_size, findings
        As given.
    manifest, dataset, choice
        The training data, their name, and which of their rows are wanted.
    elsewhere
        From `check_watched`.
    others
        Further fields of `TrainInputs`.
    """
    from tier_cli.datasets.registry import dataset_info
    from tier_cli.display.training_progress import tell_notes
    from tier_cli.findings.load import load_findings
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.checkpoint import open_checkpoint
    from tier_cli.training.data.rows import check_contrast, choose_rows
    from tier_cli.training.data.validation_data import open_validation_data
    from tier_cli.training.train_inputs import TrainInputs

    init, image_tower, text_tower = start
    if init is not None:
        checkpoint = open_checkpoint(init)
        preprocessing, own = checkpoint.preprocessing, checkpoint.findings
        others["init"] = checkpoint.path
    else:
        side = image_size or 224
        # The paper's proportion: short side 256, crop 224.
        preprocessing = Preprocessing(resize_short=round(side * 8 / 7), crop=side)
        own = load_findings("nih14" if dataset == CSV else dataset_info(dataset).findings)
        others |= {"image_tower": image_tower, "text_tower": text_tower}
    chosen = own if findings is None else load_findings(findings)
    validation = None
    if elsewhere is not None:
        named = None if findings is None else chosen
        validation = open_validation_data(*elsewhere, choice.valid_split, named, chosen)
    data = choose_rows(manifest, dataset, choice, chosen, validation)
    check_contrast(data.manifest)
    tell_notes(data.notes)
    return TrainInputs(
        rows=data.rows,
        about=data.record,
        preprocessing=preprocessing,
        validation=validation,
        **others,
    )
