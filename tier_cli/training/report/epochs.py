"""Keep the best epochs of a run as checkpoints of their own.

The paper averages the scores of its best five epochs.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from tier_cli.errors import TierError
from tier_cli.files.atomic import remove_partial, whole_folder
from tier_cli.model.checkpoint import read_json, write_json
from tier_cli.model.modeling import TierModel
from tier_cli.model.save import save_checkpoint, save_weights
from tier_cli.model.trained_on import TRAINED_ON
from tier_cli.training.progress import Stage
from tier_cli.training.report.card import CARD_ERRORS, VALIDATION, write_card
from tier_cli.training.report.curves import CURVES

if TYPE_CHECKING:
    from tier_cli.training.loop.validate import Validation
    from tier_cli.training.progress import TrainingProgress
    from tier_cli.training.train_inputs import TrainInputs

EPOCHS = "epochs"
CHOSEN_BY = "mean zero-shot AUC on the validation patients"
_MEASURED, _SCORES = "measured.json", "scores.npy"


@dataclass
class KeptEpochs:
    """Validate a model after each epoch and keep the weights of the best epochs until the run ends.

    Only weights are kept during the run: graphs and vectors take a minute or more and are made at the end,
    for the epochs that remain. Weights that a saved state may need are deleted only after the next epoch, so
    that the run can be killed at any time.

    Parameters
    ----------
    check
        Measures the model on the validation images.
    count
        How many epochs to keep.
    folder
        Where the weights are kept.
    done
        How many epochs are finished.
    """

    check: Validation
    count: int
    folder: Path
    done: int = field(default=0, init=False)

    def begin(self, done: int) -> None:
        """Start after `done` epochs; delete what remains of later ones, since they will be repeated."""
        self.done = done
        for path in self.folder.glob("*"):
            if path.name not in {epoch_name(number) for number in range(1, done + 1)}:
                shutil.rmtree(path)

    def __call__(self, model: TierModel) -> dict[str, float]:
        """Return what `Validation` measures; keep the weights if they are among the best."""
        scores = self.check.scores(model)
        figures = self.check.aucs(scores)
        self.done += 1
        if "mean_auc" not in figures:
            return figures
        # The state saved after the previous epoch already accounts for all of these.
        for measured in self._ranked()[self.count :]:
            shutil.rmtree(self.folder / epoch_name(measured["epoch"]))
        measured = {"epoch": self.done, "figures": figures}
        if measured in sorted([*self._ranked(), measured], key=_rank)[: self.count]:
            self._keep(model, scores, measured)
        return figures

    def best(self) -> list[dict[str, Any]]:
        """Return epoch and figures of the best epochs, in the order of the epochs."""
        return sorted(self._ranked()[: self.count], key=lambda measured: int(measured["epoch"]))

    def _ranked(self) -> list[dict[str, Any]]:
        return sorted((read_json(file) for file in self.folder.glob(f"*/{_MEASURED}")), key=_rank)

    def _keep(self, model: TierModel, scores: Any, measured: dict[str, Any]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_folder(self.folder / epoch_name(measured["epoch"])) as folder:
                save_weights(folder, model)
                np.save(folder / _SCORES, scores)
                write_json(folder / _MEASURED, measured)
        except (OSError, SafetensorError) as error:
            raise TierError(
                f"cannot keep epoch {measured['epoch']} ({getattr(error, 'strerror', None) or error})",
                where=str(self.folder),
                remedy="free disk space and continue with --resume",
            ) from error

    def finish(
        self,
        output: Path,
        inputs: TrainInputs,
        record: dict[str, Any],
        progress: TrainingProgress,
    ) -> None:
        """Write the best epochs as checkpoints into ``epochs`` of the output, each whole or not at all.

        Parameters
        ----------
        output
            The output folder of the run, with its curves.
        inputs, record
            What the run started from, and the content of its training.json.
        progress
            Reports how many epochs are written.
        """
        best = self.best()
        remove_partial(output / EPOCHS)
        for number, measured in enumerate(best):
            name = epoch_name(measured["epoch"])
            if not (output / EPOCHS / name).exists():
                progress(Stage.WRITING_EPOCHS, number, len(best))
                (output / EPOCHS).mkdir(exist_ok=True)
                with whole_folder(output / EPOCHS / name) as folder:
                    self._write(folder, output, inputs, record, measured)
        progress(Stage.WRITING_EPOCHS, len(best), len(best))

    def _write(
        self,
        folder: Path,
        output: Path,
        inputs: TrainInputs,
        record: dict[str, Any],
        measured: dict[str, Any],
    ) -> None:
        kept = self.folder / epoch_name(measured["epoch"])
        if (output / CURVES).is_file():
            shutil.copyfile(output / CURVES, folder / CURVES)
        shutil.copyfile(output / TRAINED_ON, folder / TRAINED_ON)
        write_json(folder / VALIDATION, self.check.record(np.load(kept / _SCORES)))
        own = {
            **record,
            "epoch": measured["epoch"],
            "chosen_by": CHOSEN_BY,
            "validation": {**record["validation"], **measured["figures"]},
        }
        model = TierModel.from_pretrained(kept)
        save_checkpoint(folder, model, inputs.tokenizer_folder, inputs.preprocessing, inputs.findings, own)
        # The run has already reported that its own card cannot be written.
        with suppress(*CARD_ERRORS):
            write_card(folder, _selection(measured["epoch"], record["settings"]["epochs"], self.count))


def epoch_name(number: int) -> str:
    """Return the folder name of an epoch, counted from 1."""
    return f"epoch-{number:02d}"


def _rank(measured: dict[str, Any]) -> tuple[float, int]:
    """Sort the highest AUC first and, among equals, the earlier epoch."""
    return -measured["figures"]["mean_auc"], measured["epoch"]


def _selection(epoch: int, epochs: int, count: int) -> str:
    return (
        f"Epoch {epoch} of {epochs} is one of the {min(count, epochs)} epochs kept for their highest mean"
        " zero-shot AUC on the labels of the validation patients. The validation results are therefore"
        " optimistic for this checkpoint, and it is not strictly zero-shot for these findings. No test images"
        " were used."
    )
