"""Carry out one training run, from a manifest to a checkpoint folder."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tier_cli.errors import InputError, UsageError
from tier_cli.model.checkpoint import TRAINING, write_checksums, write_json
from tier_cli.model.save import save_checkpoint
from tier_cli.model.torch_engine import pick_device
from tier_cli.model.trained_on import write_trained_on
from tier_cli.training.data.pairs import Pairs
from tier_cli.training.data.prompts import Prompts
from tier_cli.training.distributed import World, join_world, leave_world
from tier_cli.training.inputs.images import AugmentedImages
from tier_cli.training.inputs.loader import Batches, Plan
from tier_cli.training.inputs.regions import TrainingRegions, count_regions
from tier_cli.training.inputs.sources import Sources, reading_workers
from tier_cli.training.inputs.started_with import read_started
from tier_cli.training.loop.freezing import Encoders
from tier_cli.training.loop.loop import Trainer
from tier_cli.training.loop.memory import keep_freed_memory
from tier_cli.training.loop.state import load_state
from tier_cli.training.loop.statements import learn_statements
from tier_cli.training.loop.task import Task
from tier_cli.training.loop.validate import Validation
from tier_cli.training.progress import Epoch, Stage
from tier_cli.training.report.card import CARD_ERRORS, VALIDATION, write_card
from tier_cli.training.report.curves import draw_curves
from tier_cli.training.report.epochs import EPOCHS, KeptEpochs
from tier_cli.training.run.record import check_identity, describe, identity, runs_trained_on
from tier_cli.training.run.start import build_model, build_objective, build_tokenizer, patch_grid
from tier_cli.training.run.work_folder import (
    STATE,
    WORK,
    delete_work,
    finished_record,
    prepare_folder,
    remove_if_empty,
)

if TYPE_CHECKING:
    from tier_cli.model.modeling import TierModel
    from tier_cli.model.tokens import TextTokenizer
    from tier_cli.model.trained_on import TrainedOn
    from tier_cli.training.data.labels import LabelledRows, TrainingRows
    from tier_cli.training.inputs.loader import ImageSource
    from tier_cli.training.progress import TrainingProgress
    from tier_cli.training.settings import RunOptions, TrainSettings
    from tier_cli.training.train_inputs import TrainInputs

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def train(
    inputs: TrainInputs,
    settings: TrainSettings,
    run_options: RunOptions,
    output: Path,
    progress: TrainingProgress,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train and write the checkpoint folder; return the content of training.json.

    Under torchrun every process calls this, and the first process writes.

    Parameters
    ----------
    inputs, settings, run_options
        What the run starts from, what determines its weights, and how it is carried out.
    output
        The checkpoint folder.
    progress
        Shows how far the run is.
    stop
        Called before every step; the run saves its state and ends once it returns True.

    Raises
    ------
    TierError
        Unusable data, towers or settings, more than `max_bad` unreadable images, a loss that is not finite,
        or a full disk. What was read and saved before the error is kept for --resume.
    KeyboardInterrupt
        `stop` returned True, and the state was saved.
    """
    if run_options.resume:
        over = finished_record(output, lambda: identity(inputs, settings, run_options.keep_epochs))
        if over is not None:
            return over
    world, device = join_world(pick_device(run_options.device))
    if device.type == "cpu":
        keep_freed_memory()
    try:
        world.first_does(lambda: prepare_folder(output, run_options.resume))
        stoppable = _stoppable(progress, stop)
        record = _Run(inputs, settings, run_options, output, output / WORK, world, device, stoppable).go(stop)
    except torch.cuda.OutOfMemoryError as error:
        raise UsageError(
            "the GPU has too little memory",
            where="--batch-size",
            remedy="try --precision bf16, --checkpoint-activations or --micro-batch-size, which still "
            "contrasts the whole batch",
        ) from error
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise UsageError(
            f"cannot be written: {error.strerror}",
            where=str(output),
            remedy="free disk space, or name another --output folder",
        ) from error
    finally:
        if world.first:
            remove_if_empty(output)
    leave_world()
    return record


def _stoppable(progress: TrainingProgress, stop: Callable[[], bool]) -> TrainingProgress:
    """Let the stages outside training be stopped at any report: there is no state to save in them."""

    def stoppable(
        stage: Stage,
        done: int,
        total: int,
        figures: Mapping[str, float] | None = None,
        epoch: Epoch | None = None,
    ) -> None:
        progress(stage, done, total, figures, epoch)
        if stage not in (Stage.TRAINING, Stage.VALIDATING, Stage.VALIDATION) and stop():
            raise KeyboardInterrupt

    return stoppable


@dataclass
class _Run:
    inputs: TrainInputs
    settings: TrainSettings
    run_options: RunOptions
    output: Path
    work: Path
    world: World
    device: torch.device
    progress: TrainingProgress

    def go(self, stop: Callable[[], bool]) -> dict[str, Any]:
        inputs, settings, world = self.inputs, self.settings, self.world
        self.progress(Stage.PREPARING, 0, 0)
        settings.parts(world.size)
        torch.manual_seed(0 if settings.equal_start else settings.seed)
        training, validation = inputs.split()
        # An error in one process alone would leave the others waiting.
        regions_found = world.first_does(lambda: self._count_regions(training))
        objective = build_objective(settings)
        model = self._place(build_model(inputs, settings, objective))
        tokenizer = build_tokenizer(inputs, model)
        same = identity(inputs, settings, self.run_options.keep_epochs)
        state = self._state(same)
        sources = self._sources(state)
        encoders = Encoders(model, settings.freeze_image_blocks, settings.checkpoint_activations)
        encoders.freeze(settings.freeze_text_layers)
        source, training, pairs = self._source(sources, encoders, training)
        images = settings.images_per_epoch or len(pairs)
        plan = Plan(pairs, settings.batch_size, max(images // settings.batch_size, 1), world.rank, world.size)
        check = self._check(validation, sources, tokenizer)
        # Described before training, because the files may be gone after it.
        record = describe(inputs, settings, len(training), pairs.without_text, self.device, world.size)
        record["command"] = self.run_options.command
        trained_on = runs_trained_on(inputs, training.manifest, self.output.name)
        record["data"]["sources"] = list(trained_on[-1].sources)
        record["identity"] = {k: v for k, v in same.items() if k not in record["settings"]}
        if state is None:
            sources.record_start()
        prompts = self._prompts(training, pairs)
        regions = self._regions(sources, training, pairs, prompts, model)
        if prompts is not None:
            record["prompt_findings"] = [finding.id for finding in prompts.findings]
            if state is None and settings.prompt_steps:
                encoders.train_mode(settings.freeze_text_layers, statistics=False)
                learn_statements(model, prompts, tokenizer, settings, self.device, self.progress)
        record["data"] |= regions_found
        task = Task(
            encoders, objective, Batches(plan, source, tokenizer, regions), settings, self.run_options, same,
            self.output, self.work / STATE, inputs.init is None, self.run_options.max_bad,
            len(sources.left_out), training.paths, prompts,
        )  # fmt: skip
        trainer = Trainer(task, world, self.device, stop)
        if state is not None:
            trainer.resume(state)
        kept = self._kept(check, 0 if state is None else state["step"] // plan.steps_per_epoch)
        record["seconds"] = round(trainer.run(self.progress, kept or check))
        unreadable = [*sources.left_out, *trainer.bad.values()]
        record["unreadable_images"] = len(unreadable)
        if check is not None:
            images = len(check.rows)
            record["validation"] = {"split": inputs.validation_split, "images": images, **trainer.measured}
        world.first_does(lambda: self._finish(model, record, check, kept, trained_on))
        # The lines with paths are for the person who runs this; the written record holds none.
        return {**record, "unreadable": unreadable}

    def _sources(self, state: dict[str, Any] | None) -> Sources:
        before = None if state is None else read_started(self.work, state["bad"])
        run = (self.inputs, self.settings, self.run_options)
        return Sources(*run, self.work, self.world, self.device, self.progress, before)

    def _source(
        self, sources: Sources, encoders: Encoders, training: TrainingRows
    ) -> tuple[ImageSource, TrainingRows, Pairs]:
        """Return the source of the encoders' inputs, and the rows and pairs that belong to it."""
        s = self.settings
        pixels, training = sources.pixels(training)
        features = None
        if s.freeze_image_blocks:
            features, training = sources.features(encoders.start(), pixels, training)
        pairs = Pairs(training, s.seed, s.shuffle_captions, s.batches_from)
        spec = self.inputs.preprocessing
        source = features or AugmentedImages(pixels, spec, s.seed, pairs.after, s.augmentation)
        return source, training, pairs

    def _prompts(self, training: TrainingRows, pairs: Pairs) -> Prompts | None:
        """Return the prompts of the prompt term, if the objective has one."""
        if not self.settings.prompt_weight:
            return None
        prompts = Prompts.of(training, pairs, self.settings.prompts_per_finding, self.settings.seed)
        if not prompts.findings:
            raise UsageError(
                "no training image has a label of a finding",
                where="--prompt-weight",
                remedy="name the finding set of your label columns with --findings, or use 0",
            )
        return prompts

    def _count_regions(self, training: TrainingRows) -> dict[str, dict[str, int]]:
        """Count the regions of the region term, before the images are read; nothing without that term."""
        if not self.settings.region_weight:
            return {}
        known = training.compared()
        labelled = [name for name, use in zip(training.findings.ids, known, strict=True) if use]
        used, others = count_regions(training, labelled)
        if not used:
            there = f"label what they show: they are of {', '.join(others)}, labels of {', '.join(labelled)}"
            raise UsageError(
                "no training image has a box or mask of a labelled finding",
                where="--region-weight",
                remedy=there if others else "add a column `boxes` or `mask`, or use 0",
            )
        return {"regions": used} | ({"regions_left_out": others} if others else {})

    def _regions(
        self,
        sources: Sources,
        training: TrainingRows,
        pairs: Pairs,
        prompts: Prompts | None,
        model: TierModel,
    ) -> TrainingRegions | None:
        """Return the regions of the region term, if the objective has one."""
        s, spec = self.settings, self.inputs.preprocessing
        if not s.region_weight or prompts is None:
            return None
        squares = sources.regions(training, [finding.id for finding in prompts.findings])
        grid = patch_grid(model, spec.crop, self.device)
        return TrainingRegions(squares, prompts, pairs.order, spec, s.augmentation, s.seed, grid)

    def _place(self, model: TierModel) -> TierModel:
        """Move the model to the device, channels last, with BatchNorm over all processes."""
        if self.world.size > 1 and self.device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        model.image_tower.to(memory_format=torch.channels_last)
        model.to(self.device)
        return model

    def _state(self, same: dict[str, Any]) -> dict[str, Any] | None:
        file = self.work / STATE
        if not self.run_options.resume or not file.exists():
            return None
        state = load_state(file)
        check_identity(state["identity"], same, self.output)
        return state

    def _check(
        self, validation: LabelledRows | None, sources: Sources, tokenizer: TextTokenizer
    ) -> Validation | None:
        """Return what validates a model after each epoch, if there are validation rows."""
        inputs = self.inputs
        if validation is None:
            return None
        pixels, validation = sources.stored(validation)
        spec = inputs.preprocessing
        return Validation(pixels, validation, spec, tokenizer, self.device, self.progress)

    def _kept(self, check: Validation | None, done: int) -> KeptEpochs | None:
        """Return what validates and keeps the best epochs, for --keep-epochs."""
        count = self.run_options.keep_epochs
        if check is None or not count:
            return None
        kept = KeptEpochs(check, count, self.work / EPOCHS)
        if self.world.first:
            kept.begin(done)
        return kept

    def _finish(
        self,
        model: TierModel,
        record: dict[str, Any],
        check: Validation | None,
        kept: KeptEpochs | None,
        trained_on: Sequence[TrainedOn],
    ) -> None:
        if kept is not None:
            record["kept_epochs"] = [measured["epoch"] for measured in kept.best()]
        self.progress(Stage.WRITING_CHECKPOINT, 0, 0)
        # The file is written in the usual memory layout.
        model.to("cpu", memory_format=torch.contiguous_format)
        inputs = self.inputs
        write_trained_on(self.output, trained_on)
        record["export_difference"] = save_checkpoint(
            self.output, model, inputs.tokenizer_folder, inputs.preprocessing, inputs.findings, record
        )
        if check is not None:
            self._validate_written(model, record, check)
        self._draw_and_describe(record)
        if kept is not None:
            kept.finish(self.output, inputs, record, self.progress)
        delete_work(self.output)

    def _validate_written(self, model: TierModel, record: dict[str, Any], check: Validation) -> None:
        """Measure the checkpoint as it was written: the validation results are those of `tier eval`."""
        try:
            workers = reading_workers(self.run_options.workers, len(check.rows))
            scores, measured = check.written_scores(self.output, workers), "checkpoint"
        except InputError:
            # The images were there when the run began; what was read then is kept.
            scores, measured = check.scores(model.to(self.device)), "training images"
        write_json(self.output / VALIDATION, check.record(scores))
        record["validation"] |= {**check.aucs(scores), "measured": measured}
        write_json(self.output / TRAINING, record)
        write_checksums(self.output)

    def _draw_and_describe(self, record: dict[str, Any]) -> None:
        """Draw the curves and write the card, after the weights: an error here must not lose them."""
        try:
            draw_curves(self.output, record["data"].get("synthetic", False))
            write_checksums(self.output)
            write_card(self.output)
        except CARD_ERRORS as error:
            record["not_drawn"] = f"{type(error).__name__}: {error}"
