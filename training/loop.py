"""The training loop: batches in, a trained model out, nothing lost when it is killed.

One step is `batch.accumulate` forward and backward passes and one AdamW update. In a pass with all four losses the cell
encoder reads each cell 2 times: once with masked genes (`masked_gene`, and the first view of `cell_cell`) and once
whole (the second view, `cell_text`, `cell_text_matching`). `stages.PretrainingStage` counts every encoder for every
choice of losses. All that a step depends on is a function of the step (learning rate) or in the checkpoint (weights,
moments, weight average, random states, position in the shards), so a run that was stopped ends with the same weights,
bit for bit on a CPU in float32.
"""

import json
import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel
from tqdm.auto import tqdm

from langcell.modeling_langcell import LangCellForPreTraining
from langcell.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint
from langcell.training.configs import OptimizerSection, PretrainConfig, save_config
from langcell.training.export import export_model
from langcell.training.stages import PretrainingStage
from langcell.training.streaming import BatchCollator, CellBatches

METRICS = "metrics.jsonl"


class Pretrainer:
    """Trains a stage.

    Args:
        config: of the run.
        stage: model and losses.
        batches: cells of this process.
        collate: cells to tensors.
        accelerator: made with the config's precision.
    """

    def __init__(
        self,
        config: PretrainConfig,
        *,
        stage: PretrainingStage,
        batches: CellBatches,
        collate: BatchCollator,
        accelerator: Accelerator,
    ):
        self.config, self.batches, self.collate, self.accelerator = config, batches, collate, accelerator
        self.folder = Path(config.output_dir)
        set_seed(config.seed, device_specific=True)
        self.stage = accelerator.prepare(stage)
        self.optimizer = accelerator.prepare(build_optimizer(stage, config.optimizer))
        self.average = weight_average(stage.model, config.ema_decay) if config.ema_decay else None
        self.step = self.skipped_in_total = self.skipped_in_a_row = 0

    def run(self) -> Path:
        """Train until the last step, from the newest checkpoint if there is one.

        Returns:
            The folder of the exported model.
        """
        self._start()
        self.stage.train()
        steps = range(self.step, self.config.steps)
        bar = tqdm(steps, initial=self.step, total=self.config.steps, disable=not self.accelerator.is_main_process)
        for _ in bar:
            metrics = self._train_step()
            self._log(metrics, bar)
            if self.step % self.config.checkpoint.every == 0 or self.step == self.config.steps:
                self._save()
        self.batches.close()
        stage: PretrainingStage = self.accelerator.unwrap_model(self.stage)
        model = cast(LangCellForPreTraining, self.average.module) if self.average else stage.model
        if self.accelerator.is_main_process:
            export_model(model, start_folder=Path(self.config.model.path), to=self.folder / "export")
        self.accelerator.wait_for_everyone()
        return self.folder / "export"

    def _start(self) -> None:
        """Go to the newest checkpoint, and leave in the log only what came before it."""
        checkpoint = newest_checkpoint(self.folder)
        if checkpoint is not None:
            state = load_checkpoint(checkpoint, accelerator=self.accelerator, data=self.batches)
            self.step, self.skipped_in_total = state["step"], state["skipped_in_total"]
            self.skipped_in_a_row = state["skipped_in_a_row"]
            if self.average:
                self.average.load_state_dict(state["average"])
            self.accelerator.print(f"Resuming from {checkpoint}.")
        if self.accelerator.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_config(self.config, self.folder / "config.yaml")
            log = self.folder / METRICS
            lines = log.read_text().splitlines() if log.exists() else []
            kept = [line for line in lines if _step_of(line) <= self.step]
            log.write_text("".join(f"{line}\n" for line in kept))

    def _save(self) -> None:
        run_state = {
            "step": self.step,
            "skipped_in_total": self.skipped_in_total,
            "skipped_in_a_row": self.skipped_in_a_row,
            "average": self.average.state_dict() if self.average else None,
        }
        save_checkpoint(
            self.folder,
            step=self.step,
            accelerator=self.accelerator,
            run_state=run_state,
            data=self.batches,
            keep=self.config.checkpoint.keep,
        )

    def _train_step(self) -> dict[str, float]:
        """One optimizer step; its metrics."""
        started, waited, cells, tokens = time.perf_counter(), 0.0, 0, 0
        lr = learning_rate(self.step, steps=self.config.steps, options=self.config.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        sums: dict[str, Tensor] = {}
        passes = self.config.batch.accumulate
        for index in range(passes):
            asked = time.perf_counter()
            batch = self._next_batch()
            waited += time.perf_counter() - asked
            cells += len(batch["cell_input_ids"])
            tokens += int(batch["cell_attention_mask"].sum())
            with self.accelerator.no_sync(self.stage) if index < passes - 1 else nullcontext():
                losses = self.stage(batch)
                self.accelerator.backward(losses["loss"] / passes)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.detach().float() / passes
        norm = self.accelerator.clip_grad_norm_(self.stage.parameters(), self.config.optimizer.grad_clip)
        assert norm is not None  # None is for XLA alone
        means: dict[str, Tensor] = self.accelerator.reduce(sums, reduction="mean")  # type: ignore[assignment]
        self._update(finite=bool(torch.isfinite(norm) & torch.isfinite(means["loss"])), batch=batch)
        seconds = time.perf_counter() - started
        processes = self.accelerator.num_processes
        return {name: float(value) for name, value in means.items()} | {
            "grad_norm": float(norm),
            "lr": lr,
            "cells_per_second": cells * processes / seconds,
            "tokens_per_second": tokens * processes / seconds,
            "data_wait": waited / seconds,
            "skipped": self.skipped_in_total,
        }

    def _next_batch(self) -> dict[str, Tensor]:
        batch = self.collate(next(self.batches))
        return {name: tensor.to(self.accelerator.device, non_blocking=True) for name, tensor in batch.items()}

    def _update(self, *, finite: bool, batch: dict[str, Tensor]) -> None:
        """Move the weights; a step that is not finite (the same on every process) is counted instead."""
        self.step += 1
        if finite:
            self.optimizer.step()
            self.skipped_in_a_row = 0
            if self.average:
                self.average.update_parameters(self.accelerator.unwrap_model(self.stage).model)
        else:
            self.skipped_in_total += 1
            self.skipped_in_a_row += 1
        self.optimizer.zero_grad()
        if self.skipped_in_a_row >= self.config.max_bad_steps:
            saved = self.folder / f"bad-batch-{self.accelerator.process_index:05d}.pt"
            torch.save(batch, saved)
            raise ValueError(
                f"Loss or gradient was not finite for {self.skipped_in_a_row} steps in a row, up to step {self.step}. "
                f"The last batch is in {saved}. Lower optimizer.lr, or train with precision=no."
            )

    def _log(self, metrics: dict[str, float], bar: Any) -> None:
        if self.accelerator.is_main_process:
            with (self.folder / METRICS).open("a") as log:
                log.write(json.dumps({"step": self.step} | metrics) + "\n")
            shown = ("loss", *(name for name in metrics if name.endswith("_accuracy")), "cells_per_second")
            bar.set_postfix({name.replace("_accuracy", ""): f"{metrics[name]:.3g}" for name in shown})


def learning_rate(step: int, *, steps: int, options: OptimizerSection) -> float:
    """Linear warmup to the peak, then half a cosine down to `final_ratio` of it.

    Args:
        step: steps done before this one, 0 to `steps` - 1.

    Example:
        >>> options = OptimizerSection(lr=1.0, warmup=10, final_ratio=0.1)
        >>> [round(learning_rate(step, steps=101, options=options), 2) for step in (0, 9, 10, 100)]
        [0.1, 1.0, 1.0, 0.1]
    """
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    progress = (step - options.warmup) / max(1, steps - 1 - options.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return options.lr * (options.final_ratio + (1 - options.final_ratio) * cosine)


def build_optimizer(stage: PretrainingStage, options: OptimizerSection) -> torch.optim.AdamW:
    """Fused AdamW over what is trained; only matrices are decayed."""
    trained = [parameter for parameter in stage.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.lr, betas=options.betas, fused=True)


def weight_average(model: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of the weights.

    The decay of update n is at most (1 + n) / (10 + n), so that the average forgets the fresh weights quickly.
    """

    def update(averages: PARAM_LIST, currents: PARAM_LIST, count: Tensor | int) -> None:
        share = min(decay, (1 + int(count)) / (10 + int(count)))
        for average, current in zip(averages, currents, strict=True):
            average.lerp_(current, 1 - share)

    return AveragedModel(model, multi_avg_fn=update)


def _step_of(line: str) -> float:
    """Step of a line of the log; a line cut short by a kill counts as later than all."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return math.inf
