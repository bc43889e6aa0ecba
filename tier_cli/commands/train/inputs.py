"""Open what `tier train` starts from: training data, validation data and starting weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tier_cli.commands.train.command_line import was_given
from tier_cli.datasets.registry import CSV
from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.commands.train.options import Arguments
    from tier_cli.training.settings import SplitChoice
    from tier_cli.training.train_inputs import TrainInputs

# Data set or ``csv``, manifest, folder.
Separate = tuple[str, Path | None, Path | None]


def check_validation(context: typer.Context, given: Arguments) -> Separate | None:
    """Return what ``--valid-data`` or ``--valid-dataset`` names, for `open_validation_data`, or None.

    Raises
    ------
    UsageError
        Both were given, or options that need one of them or exclude it.
    """
    if given.valid_data is not None and given.valid_dataset is not None:
        raise UsageError(
            "validation uses either a manifest or a data set",
            where="--valid-data, --valid-dataset",
            remedy="give only one of them",
        )
    if given.valid_data is None and given.valid_dataset is None:
        if given.valid_root is not None:
            raise UsageError(
                "needs --valid-dataset or --valid-data", where="--valid-root", remedy="give one of them"
            )
        return None
    for name, option in (("valid_share", "--valid-share"), ("split_seed", "--split-seed")):
        if was_given(context, name):
            raise UsageError(
                "no patients are drawn when validation uses other data", where=option, remedy="leave it out"
            )
    return given.valid_dataset or CSV, given.valid_data, given.valid_root


def check_comparable(inputs: TrainInputs) -> None:
    """Check that validation can rank epochs.

    Raises
    ------
    UsageError
        No finding has positive and negative validation labels.
    """
    if not inputs.can_compare():
        raise UsageError(
            "no finding has both positive and negative validation labels, to choose epochs by",
            where="--keep-epochs",
            remedy="give labelled images: a split, --valid-data or --valid-dataset",
        )


def collect_inputs(given: Arguments, choice: SplitChoice, separate: Separate | None) -> TrainInputs:
    """Open the data and the starting weights that the options name, and choose the rows.

    Parameters
    ----------
    given
        The options.
    choice
        Which rows to train on and which to validate on.
    separate
        Separate validation data, from `check_validation`.
    """
    from tier_cli.datasets.registry import dataset_info
    from tier_cli.display.training_progress import print_notes
    from tier_cli.findings.load import load_findings
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.checkpoint import open_checkpoint, refuse_quantised
    from tier_cli.model.convert.image_tower import tower_normalisation
    from tier_cli.model.verify import require_unaltered
    from tier_cli.training.data.rows import check_contrast, choose_rows, open_training_data
    from tier_cli.training.data.soft_labels import read_soft_labels
    from tier_cli.training.data.validation_data import open_validation_data
    from tier_cli.training.train_inputs import TrainInputs

    manifest = open_training_data(given.dataset, given.data, given.root, given.text)
    init = None
    if given.init is not None:
        checkpoint = open_checkpoint(given.init)
        refuse_quantised(checkpoint.path, checkpoint.config)
        require_unaltered(checkpoint.path)
        preprocessing, own, init = checkpoint.preprocessing, checkpoint.findings, checkpoint.path
    else:
        side = given.image_size or 224
        # The paper's proportion: short side 256, crop 224.
        preprocessing = Preprocessing(resize_short=round(side * 8 / 7), crop=side)
        stated = tower_normalisation(given.image_tower) if given.image_tower is not None else None
        if stated is not None:
            preprocessing = replace(preprocessing, mean=stated[0], std=stated[1])
        own = load_findings("nih14" if given.dataset == CSV else dataset_info(given.dataset).findings)
    named = None if given.findings is None else load_findings(given.findings)
    findings = named or own
    validation = None
    if separate is not None:
        validation = open_validation_data(*separate, choice.valid_split, named, findings)
    data = choose_rows(manifest, given.dataset, choice, findings, validation)
    check_contrast(data.manifest)
    print_notes(data.notes)
    rows, soft = data.rows, None
    if given.soft_labels is not None:
        soft = read_soft_labels(given.soft_labels, given.root, rows)
        rows = replace(rows, soft=soft.values)
    return TrainInputs(
        rows=rows,
        preprocessing=preprocessing,
        init=init,
        image_tower=given.image_tower,
        text_tower=given.text_tower,
        about=data.record,
        validation=validation,
        soft_labels=soft,
    )
