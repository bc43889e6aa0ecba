"""Run a grid of settings one by one, resumably, and compare the runs on the validation patients."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import TierError, UsageError
from tier_cli.model.checkpoint import TRAINING, read_json, write_json
from tier_cli.model.copying import CARD
from tier_cli.training.loop.diverged import LIST_FILE
from tier_cli.training.loop.log import METRICS
from tier_cli.training.report.card import VALIDATION, write_card
from tier_cli.training.report.curves import CURVES
from tier_cli.training.run.record import check_identity, identity
from tier_cli.training.run.run import train
from tier_cli.training.run.work_folder import POINTS
from tier_cli.training.settings import parts_of
from tier_cli.training.sweep.grid import SEED, Point, apply_point, folder_name, label
from tier_cli.training.sweep.heat_map import draw_sweep
from tier_cli.training.sweep.results import POINT, Cell, best_of, gather, table, write_csv

if TYPE_CHECKING:
    from tier_cli.training.progress import TrainingProgress
    from tier_cli.training.settings import Keep, RunOptions, TrainSettings
    from tier_cli.training.train_inputs import TrainInputs

SHARED = ".shared"
TABLE, DOCUMENT, PICTURE = "sweep.csv", "sweep.json", "sweep.png"
# Files of a run that stay when its weights are deleted.
_KEPT = (TRAINING, METRICS, VALIDATION, CURVES, CARD, POINT, LIST_FILE)


@dataclass(frozen=True)
class Sweep:
    """A grid of runs.

    Parameters
    ----------
    inputs, settings, run_options
        What all runs have in common.
    points
        The values of each run, with the seeds of one setting in a row.
    output
        Folder for points/NAME/ of each run, the tables and the picture.
    keep
        ``all`` keeps every checkpoint, ``best`` those of the best setting so far.
    command
        Returns the command of a point, for its record.
    part_size
        Divide the batches of every point into parts of so many images.
    """

    inputs: TrainInputs
    settings: TrainSettings
    run_options: RunOptions
    points: Sequence[Point]
    output: Path
    keep: Keep
    command: Callable[[Point], str]
    part_size: int | None = None

    def run(
        self,
        display: Callable[[], AbstractContextManager[TrainingProgress]],
        announce: Callable[[str], None],
        stop: Callable[[], bool] = lambda: False,
    ) -> list[Cell]:
        """Run the points that are not done yet, and write the tables.

        Parameters
        ----------
        display
            Opens the progress display of one run.
        announce
            Prints which run begins.
        stop
            As for `train`; the same sweep with `RunOptions.resume` continues.

        Raises
        ------
        UsageError
            There are no labels to compare the runs by, or the folder holds a sweep already.
        TierError
            As `train`; but a run whose loss diverged is only recorded, and the next one begins.
        """
        self._check()
        for number, point in enumerate(self.points, 1):
            same = identity(self.inputs, self._settings_of(point))
            there = self._done(point, same)
            announce(f"Run {number} of {len(self.points)}: {label(point)}{', already done' if there else ''}")
            if not there:
                self._run_point(point, same, display, stop)
                self._prune(number)
        return self._finish()

    def folder(self, point: Point) -> Path:
        """Return the folder of a point's run."""
        return self.output / POINTS / folder_name(point)

    def _settings_of(self, point: Point) -> TrainSettings:
        """Return the settings of a point."""
        settings = apply_point(self.settings, point)
        if self.part_size is None:
            return settings
        return replace(settings, accumulate=parts_of(settings.batch_size, self.part_size))

    def _check(self) -> None:
        if self.part_size is not None and any("accumulate" in point for point in self.points):
            raise UsageError(
                "set the same value",
                where="--sweep accumulate, --micro-batch-size",
                remedy="give only one of them",
            )
        for point in self.points:
            self._settings_of(point).parts(1)
        if not self.inputs.can_compare():
            raise UsageError(
                "no finding has both positive and negative validation labels, to compare the runs by",
                where="--sweep",
                remedy="give labelled validation images: a split, --valid-data, or --valid-share above 0",
            )
        if (self.output / POINTS).exists() and not self.run_options.resume:
            raise UsageError(
                "already holds a sweep",
                where=str(self.output),
                remedy="continue it with --resume, or name another --output folder",
            )

    def _done(self, point: Point, same: dict[str, Any]) -> bool:
        file = self.folder(point) / POINT
        if not file.is_file():
            return False
        check_identity(read_json(file)["identity"], same, self.folder(point))
        return True

    def _run_point(
        self,
        point: Point,
        same: dict[str, Any],
        display: Callable[[], AbstractContextManager[TrainingProgress]],
        stop: Callable[[], bool],
    ) -> None:
        folder, shared, board = self.folder(point), self.output / SHARED, self.run_options.tensorboard
        run_options = replace(
            self.run_options,
            resume=True,
            squares=shared,
            features=self.run_options.features or shared,
            tensorboard=None if board is None else board / folder.name,
            command=self.command(point),
        )
        failed = None
        try:
            with display() as progress:
                train(self.inputs, self._settings_of(point), run_options, folder, progress, stop)
        except TierError as error:
            if error.kind != "diverged":
                raise
            failed = error.what
            _clear(folder)
        write_json(folder / POINT, {"values": dict(point), "failed": failed, "identity": json.dumps(same)})

    def _cells(self, count: int) -> list[Cell]:
        return gather([(point, self.folder(point)) for point in self.points[:count]])

    def _prune(self, count: int) -> None:
        """Delete the weights of settings that are not the best, once all seeds of a setting are done."""
        settings = [self._settings_of({**point, SEED: 0}) for point in self.points]
        if self.keep == "all" or (count < len(settings) and settings[count] == settings[count - 1]):
            return
        cells = self._cells(count)
        best = best_of(cells)
        for folder in (folder for cell in cells if cell is not best for folder in cell.folders):
            for file in folder.iterdir():
                if file.name not in _KEPT:
                    file.unlink()

    def _finish(self) -> list[Cell]:
        cells = self._cells(len(self.points))
        best = best_of(cells)
        rows = table(cells)
        synthetic = bool(self.inputs.about.get("synthetic"))
        write_csv(rows, self.output / TABLE)
        write_json(
            self.output / DOCUMENT,
            {
                "chosen_by": "mean zero-shot AUC on the validation patients, mean over the seeds",
                "synthetic": synthetic,
                "best": [str(folder.relative_to(self.output)) for folder in best.folders] if best else None,
                "settings": rows,
            },
        )
        if best is not None:
            draw_sweep(cells, self.output / PICTURE, synthetic)
            for folder in best.folders:
                write_card(folder, _selection(best, len(cells)))
        shutil.rmtree(self.output / SHARED, ignore_errors=True)
        return cells


def _clear(folder: Path) -> None:
    """Delete everything of a diverged run but the list of the images in its last batch."""
    for left in folder.iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        elif left.name != LIST_FILE:
            left.unlink()


def _selection(best: Cell, count: int) -> str:
    seeds = len(best.aucs)
    return (
        f"This setting ({label(best.values)}) was chosen among {count} by the mean zero-shot AUC of"
        f" {'one run' if seeds == 1 else f'{seeds} seeds'} on the labels of the validation patients below. So"
        " these numbers are too optimistic, the more so the more settings were tried, and the model is not"
        " strictly zero-shot for these findings. No test image was used."
    )
