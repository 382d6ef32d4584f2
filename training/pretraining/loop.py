"""The training loop: batches in, a trained model out, nothing lost when it is killed.

One step is `batch.accumulate` forward and backward passes and one AdamW update. In a pass with all four losses the cell
encoder reads each cell 2 times: once with masked genes (`masked_gene`, and the first view of `cell_cell`) and once
whole (the second view, `cell_text`, `cell_text_matching`). Each distinct text is read once, and a cell is matched at
most 2 + K times (its own text, K = `cell_text_matching.negatives` others, and another cell for its text).
`stages.PretrainingStage` counts every encoder for every choice of losses. With `batch.chunk` these are 4 forward passes
a cell, 2 of them without gradients (`gradient_caching`).

All that a step depends on is a function of the step (learning rate, dropout, hidden genes, negatives) or in the
checkpoint (weights, moments, weight average, position in the shards), so a run that was stopped ends with the same
weights, bit for bit on a CPU in float32.

On several processes contrast is over the cells and texts of all of them, and all losses but the match, and their
gradients, are those of one process with the whole batch. The match draws its negatives among the cells of its own
process; given the same pairs, it too is the same.
"""

import json
import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from tqdm.auto import tqdm

from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.files.file_locks import locked_file
from langcell.training.checkpointing.checkpoints import write_checkpoint
from langcell.training.checkpointing.export import write_hub_files
from langcell.training.checkpointing.provenance import PROVENANCE_FILE, write_origin
from langcell.training.data.global_batch import GlobalBatch
from langcell.training.data.streaming import BatchCollator
from langcell.training.pretraining.non_finite import NonFiniteSteps
from langcell.training.pretraining.optimization import build_optimizer, learning_rate
from langcell.training.pretraining.resuming import EXPORT, ResumePoint, keep_added_files
from langcell.training.pretraining.run_state import RunState
from langcell.training.pretraining.tracking import draw_losses, shown_on_the_bar, start_trackers, stop_trackers
from langcell.training.pretraining.validation import Validation
from langcell.training.pretraining.weight_average import WeightAverage
from langcell.training.randomness import DROPOUT, draw_number
from langcell.training.settings.files import save_config
from langcell.training.settings.sections import PretrainConfig
from langcell.training.speed.flops import BatchCounts, TrainedParts
from langcell.training.speed.throughput import ThroughputMeter, peak_flops
from langcell.training.stage.distribution import clip_gradients, describe, distribute, whole_tensors, without_sync
from langcell.training.stage.gradient_caching import backward_in_chunks
from langcell.training.stage.stage import PretrainingStage

METRICS = "metrics.jsonl"
CURVES = "losses.png"
LOCK = "lock"


class Pretrainer:
    """Trains a stage.

    Args:
        config: configuration of the run.
        stage: model and losses.
        batches: cells of this process.
        collate: cells to tensors.
        accelerator: made with the config's precision and trackers.
        start_folder: start folder of the model that the run starts from.
        resume_point: the checkpoint that it goes on from, if any, and where its weights come from.
        validation: asked each `config.validation.every` steps and after the last one.
    """

    def __init__(
        self,
        config: PretrainConfig,
        *,
        stage: PretrainingStage,
        batches: GlobalBatch,
        collate: BatchCollator,
        accelerator: Accelerator,
        start_folder: Path,
        resume_point: ResumePoint,
        validation: Validation | None = None,
    ):
        self.validation, self.start_folder, self.resume_point = validation, start_folder, resume_point
        self.config, self.batches, self.collate, self.accelerator = config, batches, collate, accelerator
        self.folder = Path(config.output_dir)
        self.meter = ThroughputMeter(
            stage.model.config,
            config.objectives,
            TrainedParts.of_stage(stage),
            peak=peak_flops(accelerator.device, precision=config.precision),
            peak_is_measured=accelerator.device.type == "cpu",
            processes=accelerator.num_processes,
        )
        self.stage = stage
        self.wrapped = distribute(stage, accelerator)
        self.optimizer = build_optimizer(stage, config.optimizer)
        self.average = WeightAverage(stage.model, config.ema_decay) if config.ema_decay else None
        self.state = RunState(stage, self.optimizer, self.average)
        rank = accelerator.process_index
        self.bad_steps = NonFiniteSteps(most_in_a_row=config.max_bad_steps, folder=self.folder, rank=rank)
        self.step = 0
        self._lock: IO[str] | None = None

    def start(self) -> None:
        """Go to the checkpoint, if there is one, and leave in the log only what came before it.

        Raises:
            ValueError: another run is writing `output_dir`, or the checkpoint is of a run that trains other weights.
        """
        self.accelerator.print(f"Training on {describe(self.wrapped, self.accelerator.num_processes)}.")
        if self.resume_point.checkpoint is None:
            self.batches.start()
        else:
            self._resume(self.resume_point.checkpoint)
        if self.accelerator.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Processes may live on when their launcher is killed: the same command must not train beside them.
            self._lock = locked_file(self.folder / LOCK, self.folder)
            save_config(self.config, self.folder / "config.yaml")
            log = self.folder / METRICS
            lines = log.read_text().splitlines() if log.exists() else []
            with atomic_output(log) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in lines if _step_of(line) <= self.step))
        start_trackers(self.accelerator, self.config, first_step=self.step)

    def _resume(self, checkpoint: Path) -> None:
        run = self.resume_point.counters
        self.state.read(checkpoint / "state", average_updates=run["average_updates"])
        self.step, self.bad_steps.in_total = run["step"], run["skipped_in_total"]
        self.bad_steps.in_a_row = run["skipped_in_a_row"]
        self.batches.start(run["positions"])
        self.accelerator.print(f"Resuming from {checkpoint}, after step {self.step}.")
        before, now = run["processes"], self.accelerator.num_processes
        if before != now:
            cells = self.batches.streams * self.config.batch.size
            self.accelerator.print(
                f"It was written by {before} processes, this run has {now}. The position in the data is kept: a pass "
                f"goes on with the same {cells} cells, {cells / now:g} on each process instead of {cells / before:g}."
            )

    def run(self) -> Path:
        """Train until the last step; `start` comes before.

        Returns:
            The folder of the exported model.
        """
        with self._lock or nullcontext():
            return self._run()

    def _run(self) -> Path:
        self.wrapped.train()
        steps = range(self.step, self.config.steps)
        bar = tqdm(steps, initial=self.step, total=self.config.steps, disable=not self.accelerator.is_main_process)
        for _ in bar:
            metrics = self._train_step()
            if self.validation and self._is_due(self.config.validation.every):
                with self._exported_weights():
                    metrics |= self.validation(self.wrapped, self.accelerator)
            self._log(metrics, bar)
            if self._is_due(self.config.checkpoint.every) and self._is_worth_keeping():
                self._save()
        self.batches.close()
        self._check_that_it_learned()
        if self.resume_point.step < self.step or not self._is_exported():
            self._export()
        if self.accelerator.is_main_process:
            draw_losses(self.folder / METRICS, self.folder / CURVES)
        stop_trackers(self.accelerator)
        self.accelerator.wait_for_everyone()
        return self.export_folder

    def _is_worth_keeping(self) -> bool:
        """Not in the midst of steps that are skipped: what broke the weights would take the place of good ones."""
        return not self.bad_steps.in_a_row or self.step == self.config.steps

    def _check_that_it_learned(self) -> None:
        """Say how many steps were skipped.

        Raises:
            ValueError: all of them, so that there is nothing to export.
        """
        if skipped := self.bad_steps.in_total:
            self.accelerator.print(
                f"{skipped} of {self.step} steps were skipped: their loss or gradient was not finite."
            )
        if skipped == self.step:
            raise ValueError("No step had a finite loss and gradient: nothing is learned, and nothing is exported.")

    @property
    def export_folder(self) -> Path:
        """Where the trained model goes."""
        return self.folder / EXPORT

    def _is_exported(self) -> bool:
        """Return whether the model of this step has been written; a card may have been added to it since."""
        written = self.export_folder / PROVENANCE_FILE
        return written.is_file() and json.loads(written.read_text())["step"] == self.step

    def _export(self) -> None:
        """Write the trained model; every process calls it."""
        weights = self._gather_exported()
        if self.accelerator.is_main_process:
            with atomic_output(self.export_folder) as building:
                building.mkdir()
                self._publish(building, weights)
                keep_added_files(self.export_folder, building)

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.config.steps

    def _exported_weights(self) -> AbstractContextManager[None]:
        """Return a block in which the model has the weights that the run would end with now."""
        return self.average.in_place() if self.average else nullcontext()

    def _gather_exported(self) -> dict[str, Tensor]:
        """Return those weights, whole, on the main process; every process calls it."""
        with self._exported_weights():
            return whole_tensors(self.stage.model.state_dict(), keep=self.accelerator.is_main_process)

    def _publish(self, folder: Path, weights: dict[str, Tensor]) -> None:
        """Weights as a Hub repository that says where it comes from."""
        write_hub_files(self.stage.model, start_folder=self.start_folder, folder=folder, weights=weights)
        write_origin(folder, config=self.config, origin=self.resume_point.origin, step=self.step)

    def _save(self) -> None:
        """Write a checkpoint; every process calls it."""
        main = self.accelerator.is_main_process
        tensors, weights = self.state.gather(keep=main), self._gather_exported()
        positions = {stream: at for part in gather_object([self.batches.state_dict()]) for stream, at in part.items()}
        run = {
            "step": self.step,
            "skipped_in_total": self.bad_steps.in_total,
            "skipped_in_a_row": self.bad_steps.in_a_row,
            "average_updates": self.average.updates if self.average else 0,
            "processes": self.accelerator.num_processes,
            "positions": [positions[stream] for stream in range(self.batches.streams)],
        }

        def fill(folder: Path) -> None:
            self._publish(folder, weights)
            (folder / "state").mkdir()
            self.state.write(tensors, folder / "state")
            (folder / "state" / "run.json").write_text(json.dumps(run))

        if main:
            write_checkpoint(self.folder, step=self.step, keep=self.config.checkpoint.keep, fill=fill)
        self.accelerator.wait_for_everyone()

    def _train_step(self) -> dict[str, float]:
        """One optimizer step; its metrics."""
        started, waited, counts = time.perf_counter(), 0.0, BatchCounts()
        lr = learning_rate(self.step, steps=self.config.steps, options=self.config.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        sums: dict[str, Tensor] = {}
        batches: list[dict[str, Tensor]] = []
        for index in range(self.config.batch.accumulate):
            asked = time.perf_counter()
            batch, read = self._next_batch()
            waited += time.perf_counter() - asked
            counts += read
            batches.append(batch)
            for name, value in self._backward(batch, index).items():
                sums[name] = sums.get(name, 0.0) + value.float() / self.config.batch.accumulate
        norm = clip_gradients(self.stage, self.config.optimizer.grad_clip)
        means = self.accelerator.reduce(torch.stack(list(sums.values())), reduction="mean")
        metrics = dict(zip(sums, means, strict=True))  # type: ignore[arg-type]
        self._update(loss=metrics["loss"], norm=norm, batches=batches)
        speed = self.meter.measure(counts, seconds=time.perf_counter() - started, waited=waited)
        return {name: float(value) for name, value in metrics.items()} | {
            "grad_norm": float(norm),
            "lr": lr,
            "skipped": self.bad_steps.in_total,
            **speed,
        }

    def _backward(self, batch: dict[str, Tensor], index: int) -> dict[str, Tensor]:
        """Losses of one pass, without gradients, which are now in the parameters."""
        passes, chunk = self.config.batch.accumulate, self.config.batch.chunk
        is_last, accelerator = index == passes - 1, self.accelerator
        draw = draw_number(self.config.seed, self.step, index)
        if chunk:
            return backward_in_chunks(
                self.wrapped,
                self.stage,
                batch,
                accelerator=accelerator,
                chunk=chunk,
                draw=draw,
                scale=1 / passes,
                sync=is_last,
            )
        torch.manual_seed(draw_number(draw, accelerator.process_index, DROPOUT))
        with nullcontext() if is_last else without_sync(self.wrapped):
            losses = self.wrapped(batch, draw=draw)
            accelerator.backward(losses["loss"] / passes)
        return {name: value.detach() for name, value in losses.items()}

    def _next_batch(self) -> tuple[dict[str, Tensor], BatchCounts]:
        batch = self.collate(next(self.batches))
        # Counted before it goes to the device: to count there would wait for all that the device still has to do.
        counts = BatchCounts.of_batch(batch, negatives=self.config.objectives.cell_text_matching.negatives)
        return {name: tensor.to(self.accelerator.device, non_blocking=True) for name, tensor in batch.items()}, counts

    def _update(self, *, loss: Tensor, norm: Tensor, batches: list[dict[str, Tensor]]) -> None:
        """Move the weights, unless the step is not finite."""
        self.step += 1
        if self.bad_steps.judge(loss=loss, norm=norm, step=self.step, batches=batches):
            self.optimizer.step()
            if self.average:
                self.average.update()
        elif self.accelerator.is_main_process:
            tqdm.write(f"Step {self.step} is skipped: its loss or gradient is not finite.")
        self.optimizer.zero_grad()

    def _log(self, metrics: dict[str, float], bar: Any) -> None:
        self.accelerator.log(metrics, step=self.step)
        if self.accelerator.is_main_process:
            with (self.folder / METRICS).open("a") as log:
                log.write(json.dumps({"step": self.step} | metrics) + "\n")
            bar.set_postfix(shown_on_the_bar(metrics))


def _step_of(line: str) -> float:
    """Step of a line of the log; a line cut short by a kill counts as later than all."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return math.inf
