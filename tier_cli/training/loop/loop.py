"""The training loop: batches in, steps, the average of the weights, and a state to go on from."""

from __future__ import annotations

import json
import math
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from tier_cli.errors import ManifestError
from tier_cli.training.inputs.loader import load, loading_processes
from tier_cli.training.loop.diverged import forget, not_a_number
from tier_cli.training.loop.log import METRICS, Log, measures
from tier_cli.training.loop.optimise import WeightAverage, build_optimizer, changing, set_changing, set_rate
from tier_cli.training.loop.state import save_state
from tier_cli.training.loop.step import Gradients, alone
from tier_cli.training.progress import Epoch, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from tier_cli.errors import TierError
    from tier_cli.model.modeling import TierModel
    from tier_cli.training.distributed import World
    from tier_cli.training.inputs.loader import Batch
    from tier_cli.training.loop.step import Outcome
    from tier_cli.training.loop.task import Task
    from tier_cli.training.progress import TrainingProgress

_LOG_EVERY = 20


@dataclass
class Trainer:
    """One run over a model that is changed in place; every process of a run has one.

    Parameters
    ----------
    task
        What is trained.
    world, device
        The processes of the run, and where this one computes.
    stop
        Asked before every step; the run ends in good order where it says so.
    """

    task: Task
    world: World
    device: torch.device
    stop: Callable[[], bool] = lambda: False
    measured: dict[str, float] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        task, s = self.task, self.task.settings
        self.model: TierModel = task.encoders.model
        self._part_size = s.parts(self.world.size)
        self._per_epoch = task.batches.plan.steps_per_epoch
        self.steps = self._per_epoch * s.epochs
        self._step = 0
        self._seconds = 0.0
        self._optimizer = build_optimizer(self.model, s, task.fresh_heads)
        self._average = WeightAverage(self.model, s.average_decay)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=s.precision == "fp16")
        self._log: Log | None = None
        self._log_length = 0
        # When speed was measured last, and at which step.
        self._mark = (0.0, 0)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same run."""
        set_changing(self.model, state["weights"])
        self._average.load(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self._step, self._seconds, self._log_length = state["step"], state["seconds"], state["log_bytes"]
        self.measured, self.bad = dict(state["measured"]), dict(state["bad"])

    def run(
        self,
        progress: TrainingProgress,
        after_epoch: Callable[[TierModel], dict[str, float]] | None = None,
    ) -> float:
        """Train; the first process's model ends with the averaged weights and in eval mode.

        Parameters
        ----------
        progress
            Told about every step, and now and then what it measured.
        after_epoch
            Given a model with the averaged weights; what it measures is logged and kept in `measured`.

        Returns
        -------
        float
            The seconds it took, those before it was resumed included.

        Raises
        ------
        TierError
            When the loss is not a number, naming the images; when the state cannot be saved.
        KeyboardInterrupt
            It was stopped, and the state saved.
        """
        task, s = self.task, self.task.settings
        used = task.encoders.wholly_used
        shared = self.world.shared(task.encoders, self.device, alone(self.model), every_one_used=used)
        pad_id = self.model.text_tower.config.pad_token_id or 0
        gradients = Gradients(shared, self.model, task.objective, self.world, s.precision, s.seed, pad_id)
        if self.world.first:
            file, board = task.folder / METRICS, task.run_options.tensorboard
            self._log = Log(file, self._log_length, board, self._step)
            forget(task.folder)
        try:
            self._train(gradients, progress, after_epoch)
        finally:
            if self._log is not None:
                self._log.close()
        if self.world.first:
            self._average.settle()
        return self._seconds

    def _train(
        self,
        gradients: Gradients,
        progress: TrainingProgress,
        after_epoch: Callable[[TierModel], dict[str, float]] | None,
    ) -> None:
        task, s = self.task, self.task.settings
        task.encoders.train_mode(s.freeze_text_layers, statistics=s.accumulate == 1)
        workers = task.run_options.workers
        if workers is None:
            workers = loading_processes(task.batches.images, self.device)
        with closing(load(task.batches, self._step, self.steps, workers, self.device)) as batches:
            self._follow(batches, gradients, progress, after_epoch)

    def _follow(
        self,
        batches: Iterator[Batch],
        gradients: Gradients,
        progress: TrainingProgress,
        after_epoch: Callable[[TierModel], dict[str, float]] | None,
    ) -> None:
        s = self.task.settings
        saved = began = time.monotonic()
        before = self._seconds
        self._mark = began, self._step
        while self._step < self.steps:
            batch = next(batches)
            rows, stopping = self._agree(batch)
            if stopping:
                self._save()
                raise KeyboardInterrupt
            rate = set_rate(self._optimizer, self._step, self.steps, s)
            outcome = self._move(gradients, batch, rows)
            self._step += 1
            self._seconds = before + time.monotonic() - began
            figures = self._note(outcome, rate)
            epoch = Epoch(self._epoch(), s.epochs)
            progress(Stage.TRAINING, self._step, self.steps, figures, epoch)
            if self._step % self._per_epoch == 0:
                self._measure(after_epoch, progress)
            if self._due(saved):
                self._save()
                saved = time.monotonic()

    def _agree(self, batch: Batch) -> tuple[Tensor, bool]:
        """The rows that all processes took, and whether one of them is to stop; all fail or none."""
        rows, stopping, found = batch.rows, self.stop(), [(batch.bad, batch.error)]
        if self.world.size > 1:
            flags = [int(stopping), int(bool(batch.bad or batch.error))]
            told = torch.tensor([[*flags, *rows.tolist()]], device=self.device)
            everyone = self.world.gather(told).cpu()
            rows, stopping = everyone[:, 2:].flatten(), bool(everyone[:, 0].any())
            found = self.world.everyones(found[0]) if everyone[:, 1].any() else []
        self._count_bad(found)
        return rows, stopping

    def _count_bad(self, found: list[tuple[list[tuple[int, str]], TierError | None]]) -> None:
        for bad, error in found:
            if error is not None:
                raise error
            for row, reason in bad:
                self.bad.setdefault(row, reason)
        count = self.task.left_out + len(self.bad)
        if self.bad and count > self.task.max_bad:
            row, reason = next(iter(self.bad.items()))
            raise ManifestError(
                f"{count} images could not be read, one of them: {reason}",
                remedy="mend the manifest, or allow so many with --max-bad",
            )

    def _move(self, gradients: Gradients, batch: Batch, rows: Tensor) -> Outcome:
        """One step of the optimiser."""
        s, plan = self.task.settings, self.task.batches.plan
        excluded = plan.pairs.excluded(rows.numpy(), plan.all_places(self._step))
        negatives = torch.from_numpy(excluded).to(self.device)
        batch = batch.to(self.device)
        scaling = 1.0
        if self._scaler.is_enabled():
            # Asked so, it also wakes the scaler up.
            scaling = self._scaler.scale(torch.ones((), device=self.device)).item()
        self._optimizer.zero_grad(set_to_none=True)
        if s.accumulate == 1:
            outcome = gradients.whole(batch, negatives, self._step, scaling)
        else:
            outcome = gradients.in_parts(batch, negatives, self._step, self._part_size, scaling)
        self._scaler.unscale_(self._optimizer)
        learning = [p for group in self._optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(learning, s.clip_norm or math.inf)
        loss = outcome.parts.total.item()
        # Infinite gradients are what the scaler of fp16 looks for and passes over.
        if not math.isfinite(loss) or not (self._scaler.is_enabled() or math.isfinite(norm.item())):
            images = [self.task.paths[row] for row in rows.tolist()]
            raise not_a_number(loss, self._step, images, self.task.folder, self.world.first)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.model.clamp_logit_scale()
        if self.world.first:
            self._average.update(self._step + 1)
        return outcome

    def _note(self, outcome: Outcome, rate: float) -> dict[str, float] | None:
        if self._log is None or not (self._step % _LOG_EVERY == 0 or self._step == 1):
            return None
        now, (then, step) = time.monotonic(), self._mark
        speed = (self._step - step) * self.task.settings.batch_size / max(now - then, 1e-9)
        self._mark = now, self._step
        figures = {**measures(outcome), "learning_rate": rate, "images_per_second": speed}
        self._log.write({"step": self._step, "epoch": self._epoch() - 1, **figures})
        return figures

    def _measure(
        self, after_epoch: Callable[[TierModel], dict[str, float]] | None, progress: TrainingProgress
    ) -> None:
        if self._log is None or after_epoch is None:
            return
        then = time.monotonic()
        self.measured = after_epoch(self._average.averaged())
        # Not counted as training time.
        self._mark = self._mark[0] + time.monotonic() - then, self._mark[1]
        self._log.write({"epoch_end": self._epoch() - 1, "step": self._step, **self.measured})
        epoch = Epoch(self._epoch(), self.task.settings.epochs)
        progress(Stage.VALIDATION, self._step, self.steps, self.measured, epoch)

    def _epoch(self) -> int:
        """Of the step before, counted from 1."""
        return -(-self._step // self._per_epoch)

    def _due(self, saved: float) -> bool:
        run_options = self.task.run_options
        return (
            self._step % self._per_epoch == 0
            or bool(run_options.save_steps and self._step % run_options.save_steps == 0)
            or time.monotonic() - saved > run_options.save_minutes * 60
        )

    def _save(self) -> None:
        if self._log is None:
            return
        save_state(
            self.task.state_file,
            {
                "identity": json.dumps(self.task.identity),
                "step": self._step,
                "seconds": self._seconds,
                "weights": changing(self.model),
                "average": self._average.state(),
                "optimizer": self._optimizer.state_dict(),
                "scaler": self._scaler.state_dict(),
                "measured": self.measured,
                "bad": self.bad,
                "log_bytes": self._log.length(),
            },
        )
