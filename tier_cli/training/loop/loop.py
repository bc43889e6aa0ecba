"""Run the training loop: steps, weight averaging, validation, logging and saved state."""

from __future__ import annotations

import json
import math
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from tier_cli.errors import ManifestError
from tier_cli.training.inputs.loader import default_workers, load
from tier_cli.training.loop.diverged import divergence_error, remove_list
from tier_cli.training.loop.log import METRICS, Log, step_figures
from tier_cli.training.loop.optimise import (
    WeightAverage,
    build_optimizer,
    changing_state,
    load_changing_state,
    set_rate,
)
from tier_cli.training.loop.state import save_state
from tier_cli.training.loop.step import Gradients, PromptBatch, Relations, comparison_parameters
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

# Steps between logged ones; a short run logs more often, so that its curves have points.
_LOG_EVERY = 20
_FEWEST_POINTS = 50
# The figures on the terminal are renewed at least this often.
_SHOW_SECONDS = 1.5


@dataclass
class Trainer:
    """Train a model in place; every process of a run has its own trainer.

    Parameters
    ----------
    task
        What to train, and how.
    world, device
        The processes of the run, and the device of this one.
    stop
        Called before every step; when it returns True, the state is saved and the run ends.
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
        self._log_every = max(1, min(_LOG_EVERY, self.steps // _FEWEST_POINTS))
        self._shown = 0.0
        self._step = 0
        self._seconds = 0.0
        self._optimizer = build_optimizer(self.model, s, task.fresh_heads)
        self._average = WeightAverage(self.model, s.average_decay)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=s.precision == "fp16")
        self._log: Log | None = None
        self._log_length = 0
        # Time and step of the last speed measurement.
        self._speed_mark = (0.0, 0)

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from a saved state of the same run."""
        load_changing_state(self.model, state["weights"])
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
        """Train; afterwards the first process's model has the averaged weights and is in eval mode.

        Parameters
        ----------
        progress
            Called after every step, at times with what the step measured.
        after_epoch
            Called with a model that has the averaged weights; its result is logged and kept in `measured`.

        Returns
        -------
        float
            The training time in seconds, including the time before a resume.

        Raises
        ------
        TierError
            The loss is not a number (the error names the images), or the state cannot be saved.
        KeyboardInterrupt
            The run was stopped and its state saved.
        """
        task, s = self.task, self.task.settings
        shared = self.world.shared(
            task.encoders,
            self.device,
            comparison_parameters(self.model),
            all_used=task.encoders.all_parameters_used,
        )
        pad_id = self.model.text_tower.config.pad_token_id or 0
        gradients = Gradients(shared, self.model, task.objective, self.world, s.precision, s.seed, pad_id)
        if self.world.first:
            file, board = task.folder / METRICS, task.run_options.tensorboard
            self._log = Log(file, self._log_length, board, self._step)
            remove_list(task.folder)
        try:
            self._train(gradients, progress, after_epoch)
        finally:
            if self._log is not None:
                self._log.close()
        if self.world.first:
            self._average.apply()
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
            workers = default_workers(task.batches.images, self.device)
        with closing(load(task.batches, self._step, self.steps, workers, self.device)) as batches:
            self._run_steps(batches, gradients, progress, after_epoch)

    def _run_steps(
        self,
        batches: Iterator[Batch],
        gradients: Gradients,
        progress: TrainingProgress,
        after_epoch: Callable[[TierModel], dict[str, float]] | None,
    ) -> None:
        s = self.task.settings
        saved = began = time.monotonic()
        before = self._seconds
        self._speed_mark = began, self._step
        # The first batch may take long: workers start, and a GPU compiles its kernels.
        progress(
            Stage.TRAINING, self._step, self.steps, None, Epoch(self._step // self._per_epoch + 1, s.epochs)
        )
        while self._step < self.steps:
            batch = next(batches)
            rows, stopping = self._synchronise(batch)
            if stopping:
                self._save()
                raise KeyboardInterrupt
            rate = set_rate(self._optimizer, self._step, self.steps, s)
            outcome = self._optimise(gradients, batch, rows)
            self._step += 1
            self._seconds = before + time.monotonic() - began
            figures = self._log_step(outcome, rate)
            epoch = Epoch(self._epoch(), s.epochs)
            progress(Stage.TRAINING, self._step, self.steps, figures, epoch)
            if self._step % self._per_epoch == 0:
                self._validate(after_epoch, progress)
            if self._save_due(saved):
                self._save()
                saved = time.monotonic()

    def _synchronise(self, batch: Batch) -> tuple[Tensor, bool]:
        """Return the rows of all processes and whether any is to stop; an error is raised in all or none."""
        rows, stopping, problems = batch.rows, self.stop(), [(batch.bad, batch.error)]
        if self.world.size > 1:
            flags = [int(stopping), int(bool(batch.bad or batch.error))]
            own = torch.tensor([[*flags, *rows.tolist()]], device=self.device)
            gathered = self.world.gather(own).cpu()
            rows, stopping = gathered[:, 2:].flatten(), bool(gathered[:, 0].any())
            problems = self.world.gather_objects(problems[0]) if gathered[:, 1].any() else []
        self._count_unreadable(problems)
        return rows, stopping

    def _count_unreadable(self, problems: list[tuple[list[tuple[int, str]], TierError | None]]) -> None:
        for bad, error in problems:
            if error is not None:
                raise error
            for row, reason in bad:
                self.bad.setdefault(row, reason)
        count = self.task.left_out + len(self.bad)
        if self.bad and count > self.task.max_bad:
            row, reason = next(iter(self.bad.items()))
            raise ManifestError(
                f"{count} images could not be read, one of them: {reason}",
                remedy="correct the manifest, or allow more unreadable images with --max-bad",
            )

    def _optimise(self, gradients: Gradients, batch: Batch, rows: Tensor) -> Outcome:
        """Make one step of the optimiser."""
        s = self.task.settings
        relations = self._relations(rows)
        batch = batch.to(self.device)
        scaling = 1.0
        if self._scaler.is_enabled():
            # Calling scale() also initialises the scaler.
            scaling = self._scaler.scale(torch.ones((), device=self.device)).item()
        self._optimizer.zero_grad(set_to_none=True)
        if s.accumulate == 1:
            outcome = gradients.whole(batch, relations, self._step, scaling)
        else:
            outcome = gradients.in_parts(batch, relations, self._step, self._part_size, scaling)
        self._scaler.unscale_(self._optimizer)
        learning = [p for group in self._optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(learning, s.clip_norm or math.inf)
        loss = outcome.parts.total.item()
        # With fp16, infinite gradients are expected: the scaler detects them and skips the step.
        if not math.isfinite(loss) or not (self._scaler.is_enabled() or math.isfinite(norm.item())):
            images = [self.task.paths[row] for row in rows.tolist()]
            raise divergence_error(loss, self._step, images, self.task.folder, self.world.first)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.model.clamp_logit_scale()
        if self.world.first:
            self._average.update(self._step + 1)
        return outcome

    def _relations(self, rows: Tensor) -> Relations:
        """Return how the images and texts of all processes belong together at this step."""
        task, numbers = self.task, rows.cpu().numpy()
        plan = task.batches.plan
        places = plan.all_places(self._step)
        excluded = torch.from_numpy(plan.pairs.excluded(numbers, places)).to(self.device)
        partners, prompts = None, None
        if task.settings.partners == "labels":
            fit = plan.pairs.partners(numbers, places).astype("float32")
            partners = torch.from_numpy(fit).to(self.device)
        if task.prompts is not None:
            texts, columns = task.prompts.draw(self._step)
            ids, mask = task.batches.tokenizer(texts)
            prompts = PromptBatch(
                *(
                    torch.from_numpy(a).to(self.device)
                    for a in (
                        ids,
                        mask,
                        task.prompts.labels(numbers, columns),
                        task.prompts.prior[columns],
                    )
                )
            )
        return Relations(excluded, partners, prompts)

    def _log_step(self, outcome: Outcome, rate: float) -> dict[str, float] | None:
        now, (then, step) = time.monotonic(), self._speed_mark
        logged = self._step % self._log_every == 0 or self._step == 1
        if self._log is None or not (logged or now - self._shown >= _SHOW_SECONDS):
            return None
        self._shown = now
        speed = (self._step - step) * self.task.settings.batch_size / max(now - then, 1e-9)
        figures = {**step_figures(outcome), "learning_rate": rate, "images_per_second": speed}
        if logged:
            self._speed_mark = now, self._step
            self._log.write({"step": self._step, "epoch": self._epoch() - 1, **figures})
        return figures

    def _validate(
        self, after_epoch: Callable[[TierModel], dict[str, float]] | None, progress: TrainingProgress
    ) -> None:
        if self._log is None or after_epoch is None:
            return
        then = time.monotonic()
        self.measured = after_epoch(self._average.averaged())
        # Validation does not count as training time.
        self._speed_mark = self._speed_mark[0] + time.monotonic() - then, self._speed_mark[1]
        self._log.write({"epoch_end": self._epoch() - 1, "step": self._step, **self.measured})
        epoch = Epoch(self._epoch(), self.task.settings.epochs)
        progress(Stage.VALIDATION, self._step, self.steps, self.measured, epoch)

    def _epoch(self) -> int:
        """Return the epoch of the last step, counted from 1."""
        return -(-self._step // self._per_epoch)

    def _save_due(self, saved: float) -> bool:
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
                "weights": changing_state(self.model),
                "average": self._average.state(),
                "optimizer": self._optimizer.state_dict(),
                "scaler": self._scaler.state_dict(),
                "measured": self.measured,
                "bad": self.bad,
                "log_bytes": self._log.length(),
            },
        )
