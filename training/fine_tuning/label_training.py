"""The fine-tuning loop: balanced batches in, early stopping, the best weights at the end.

With several processes each takes every n-th cell of a batch that all of them draw alike, and the losses are divided by
what the whole batch weighs, so that the averaged gradient is that of one process with the whole batch.
"""

import logging
import math
import time
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from tqdm.auto import tqdm

from langcell.loading.load import as_dtype
from langcell.training.fine_tuning.few_shot_data import RankedRows, cell_weights, endless_batches
from langcell.training.fine_tuning.label_learners import ClassLearner, TextLearner
from langcell.training.fine_tuning.options import TuningOptions

logger = logging.getLogger("langcell")

_STEPS_TO_TIME = 2
_LOOKS = 20  # at the losses, and at the validation cells, in a run
_WARM_UP_SHARE = 0.1
_LOWEST_RATE = 0.05


def train_on_labels(
    learner: TextLearner | ClassLearner,
    cells: RankedRows,
    validation: RankedRows | None,
    options: TuningOptions,
    *,
    accelerator: Accelerator | None = None,
) -> list[dict[str, float]]:
    """Train the trainable parameters of a learner, which is left in evaluation mode.

    Args:
        learner: model and losses, on its device.
        cells: to train on.
        validation: to stop early by; the weights of the best look are kept. Without it the last ones are.
        options: completed.
        accelerator: accelerator of a run that was launched on several processes.

    Returns:
        A row for each look: step, loss (mean since the look before), with validation also validation_loss and
        validation_accuracy, both as means over types.
    """
    steps = options.steps
    assert steps is not None, "options are completed before"
    trained = [weight for weight in learner.parameters() if weight.requires_grad]
    optimizer = AdamW(_groups(learner, options), weight_decay=options.weight_decay)
    schedule = LambdaLR(optimizer, lambda step: _rate(step, steps))
    module = learner if accelerator is None else accelerator.prepare_model(learner)
    stopper = _EarlyStopping(trained, options.patience)
    started = _start_of(learner)
    history: list[dict[str, float]] = []
    losses: list[Tensor] = []
    module.train()
    batches = _Batches(cells, options, accelerator)
    every = max(1, steps // _LOOKS)
    bar = tqdm(range(1, steps + 1), desc="fine-tuning", unit="step", disable=not options.progress)
    started_at = time.perf_counter()
    for step in bar:
        losses.append(_update(module, next(batches), options, accelerator))
        nn.utils.clip_grad_norm_(trained, options.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step == 1:
            started_at = time.perf_counter()  # the first step also makes room in memory
        elif step == 1 + _STEPS_TO_TIME:
            bar.clear()
            logger.info("%s", _expected(steps, step, (time.perf_counter() - started_at) / _STEPS_TO_TIME, validation))
        if step % every == 0 or step == steps:
            row = {"step": step, "loss": float(torch.stack(losses).mean())}
            losses.clear()
            if validation is not None:
                row |= _validate(learner, validation, options)
            history.append(row)
            bar.set_postfix({name: value for name, value in row.items() if name != "step"})
            if validation is not None and stopper.ends_after(row["validation_loss"]):
                break
    stopper.restore()
    _draw_back(learner, started, strength=options.strength or 1.0)
    learner.eval()
    return history


def _expected(steps: int, done: int, seconds: float, validation: RankedRows | None) -> str:
    """Say how long the training takes, from the steps that are done."""
    early = ", less if it stops early" if validation is not None else ""
    return f"Training takes about {max(1, round((steps - done) * seconds))} s: {steps} steps of {seconds:.2g} s{early}"


def _start_of(learner: nn.Module) -> dict[str, Tensor]:
    """What the trained weights were, but for one factor of each low-rank update, which is linear in the other alone."""
    weights = ((name, weight) for name, weight in learner.named_parameters() if weight.requires_grad)
    return {name: weight.detach().clone() for name, weight in weights if "lora_A" not in name}


@torch.no_grad()
def _draw_back(learner: nn.Module, started: dict[str, Tensor], *, strength: float) -> None:
    """Keep a share of what was learned."""
    if strength < 1:
        for name, weight in learner.named_parameters():
            if name in started:
                weight.lerp_(started[name], 1 - strength)


def _groups(learner: TextLearner | ClassLearner, options: TuningOptions) -> list[dict[str, Any]]:
    """Return what is trained, with learning rates: that of a classification head is its own."""
    rates = {False: options.learning_rate, True: options.head_learning_rate}
    weights: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for name, weight in learner.named_parameters():
        if weight.requires_grad:
            weights["classifier" in name.split(".")].append(weight)
    return [{"params": weights[is_head], "lr": rates[is_head]} for is_head in weights if weights[is_head]]


class _Batches:
    """This process's share of each batch, as tensors on the device, with the weight of each cell in the mean loss."""

    def __init__(self, cells: RankedRows, options: TuningOptions, accelerator: Accelerator | None):
        self.cells, self.options = cells, options
        self.rank, self.world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
        if options.batch_size < self.world:
            raise ValueError(f"batch_size is {options.batch_size}; with {self.world} processes give at least as many.")
        self.rng = np.random.default_rng([options.seed, 2])
        self.weights = cell_weights(cells.codes, options.balance)
        self.drawn = endless_batches(cells.codes, options.batch_size, balance=options.balance, rng=self.rng)

    def __next__(self) -> dict[str, Tensor]:
        drawn = next(self.drawn)
        views = self.cells.views(drawn, gene_dropout=self.options.gene_dropout, rng=self.rng)
        mine = slice(self.rank, None, self.world)
        batch = self.cells.pad(views[mine], drawn[mine])
        share = self.weights[drawn] / self.weights[drawn].sum()
        # Processes average their gradients: what each adds has to be as many times larger.
        return {**batch, "shares": torch.from_numpy(share[mine] * self.world)}


def _update(
    module: nn.Module, batch: dict[str, Tensor], options: TuningOptions, accelerator: Accelerator | None
) -> Tensor:
    """One backward pass; the loss without gradient."""
    batch = _to_device(batch, module)
    with _products(module, options):
        loss = (module(batch) * batch["shares"]).sum()
    if accelerator is None:
        loss.backward()
        return loss.detach()
    accelerator.backward(loss)
    return accelerator.reduce(loss.detach(), "mean")  # pyright: ignore[reportReturnType]  # a tensor stays one


@torch.no_grad()
def _validate(learner: TextLearner | ClassLearner, cells: RankedRows, options: TuningOptions) -> dict[str, float]:
    """Mean loss and accuracy on whole cells, every type weighing the same."""
    was_training = learner.training
    learner.eval()
    losses, right = [], []
    for begin in range(0, len(cells), options.batch_size):
        chosen = np.arange(begin, min(begin + options.batch_size, len(cells)))
        batch = _to_device(cells.pad(cells.views(chosen), chosen), learner)
        with _products(learner, options):
            losses.append(learner(batch).cpu())
            right.append((learner.scores(batch).argmax(1) == batch["codes"]).float().cpu())
    learner.train(was_training)
    weights = torch.from_numpy(cell_weights(cells.codes, "weights"))
    means = {"validation_loss": torch.cat(losses), "validation_accuracy": torch.cat(right)}
    return {name: float((values * weights).mean()) for name, values in means.items()}


class _EarlyStopping:
    """Keeps the weights of the lowest validation loss."""

    def __init__(self, weights: list[nn.Parameter], patience: int):
        self.weights, self.patience = weights, patience
        self.lowest, self.looks_since = math.inf, 0
        self.best: list[Tensor] | None = None

    def ends_after(self, loss: float) -> bool:
        """Return whether the training ends after a look with this loss."""
        if loss < self.lowest:
            self.lowest, self.looks_since = loss, 0
            self.best = [weight.detach().clone() for weight in self.weights]
        else:
            self.looks_since += 1
        return self.looks_since >= self.patience

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best weights back, if there was a look."""
        for weight, best in zip(self.weights, self.best or self.weights, strict=True):
            weight.copy_(best)


def _rate(step: int, steps: int) -> float:
    """Factor of the learning rate: up for a tenth of the steps, then down as a cosine."""
    warm_up = min(1.0, (step + 1) / max(1.0, _WARM_UP_SHARE * steps))
    return warm_up * (_LOWEST_RATE + (1 - _LOWEST_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))


def _to_device(batch: dict[str, Any], module: nn.Module) -> dict[str, Tensor]:
    device = _device_of(module)
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _products(module: nn.Module, options: TuningOptions) -> AbstractContextManager[Any]:
    """Return where products are computed in the number format of the options."""
    device = _device_of(module)
    dtype = as_dtype(options.dtype, device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16)


def _device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
