"""Options of fine-tuning, checked; imports no library."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

from langcell.processing.options import option

Method = Literal["lora", "full", "head"]
Task = Literal["text", "classification"]
Balance = Literal["sampling", "weights", "none"]
Dtype = Literal["auto", "float32", "bfloat16"]

# Chosen on other data than the reported ones; see training/EXPERIMENTS.md.
LEARNING_RATES: dict[Method, float] = {"lora": 1e-3, "full": 3e-4, "head": 2e-3}
HALFWAY = 0.5  # the strength of a cautious fine-tuning
NEW_HEAD_LEARNING_RATE = 1e-2
LEAST_STEPS, LEAST_EPOCHS = 100, 3
CAUTIOUS_STEPS = 50  # of a few cells of types that the base knows: more give nothing


@dataclass(frozen=True)
class TuningOptions:
    """How a model learns from labelled cells.

    `strength` is after Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", CVPR: weights between those of
    the base and the learned ones are more robust. "auto" of `dtype` takes 0.6 of the time on a CPU with AVX-512 BF16.

    Raises:
        ValueError: an illegal option.
    """

    panel: ClassVar[str] = "Training"

    method: Method = option(
        "lora",
        "Which weights are trained. lora: low-rank updates of both encoders and the heads, an adapter of a few MB; "
        "full: all weights; head: the projections and the matching head, or the classification head.",
    )
    task: Task = option(
        "text",
        "Task to learn. text: label texts, by similarity and match, so that the model still names other labels; "
        "classification: a head on the cell encoder.",
    )
    shots: int | None = option(
        None,
        "Number of cells per type to learn from, validation cells included; all when not given. A type with fewer "
        "cells gives all of them.",
    )
    seed: int = option(0, "Random seed of the choice of cells, new weights, batches, views and dropout.")
    steps: int | None = option(
        None,
        f"Largest number of optimizer steps; when not given {LEAST_STEPS} ({CAUTIOUS_STEPS} for lora on texts of cell "
        f"types without cells to validate on), or {LEAST_EPOCHS} passes over the cells where that is more.",
    )
    batch_size: int = option(16, "Number of cells per optimizer step, over all processes.")
    learning_rate: float | None = option(
        None,
        "Peak learning rate: it rises for a tenth of the steps and falls as a cosine. By the method when not given: "
        + ", ".join(f"{rate:g} for {method}" for method, rate in LEARNING_RATES.items())
        + ".",
    )
    head_learning_rate: float | None = option(
        None,
        "Peak learning rate of a new classification head, whose weights are random; the learning rate, if that is "
        f"given, else {NEW_HEAD_LEARNING_RATE:g} when not given.",
    )
    weight_decay: float = option(0.01, "Weight decay of AdamW.", in_cli=False)
    max_grad_norm: float = option(1.0, "Largest norm of the gradient; larger ones are scaled down.", in_cli=False)
    gene_dropout: float = option(
        0.5, "Largest share of the genes that is hidden from a view of a cell; the share is drawn for each view."
    )
    lora_rank: int = option(8, "Rank of the low-rank updates.")
    lora_alpha: float = option(16, "Scale of the low-rank updates: they are multiplied by lora_alpha / lora_rank.")
    lora_dropout: float = option(0.0, "Dropout probability of the input of the low-rank updates in training.")
    validation_share: float | None = option(
        None,
        "Share of each type's cells that is held out for early stopping; 0 for none. A fifth of the types with at "
        "least 10 cells when not given.",
    )
    strength: float | None = option(
        None,
        "Share of the change of the weights that is kept, above 0 and at most 1. When not given 1, or 0.5 for lora on "
        "texts of cell types without cells to validate on.",
    )
    patience: int = option(5, "Stop after this number of validation checks (20 per run) without improvement.")
    balance: Balance = option(
        "sampling",
        "How types of unlike size count. sampling: equal parts of the batches; weights: cells of rare types weigh "
        "more in the loss; none: every cell weighs the same.",
    )
    dtype: Dtype = option(
        "auto",
        "Number format of products in training; weights and losses are float32. auto: bfloat16 where the device is "
        "fast at it.",
    )
    held_out: int = option(
        300,
        "Largest number of labelled cells that were not learned from, which the model names before and after for "
        "comparison; 0 for no comparison.",
    )
    progress: bool = option(True, "Whether to show a progress bar.", in_cli=False)

    def __post_init__(self) -> None:
        for name, words in (("method", Method), ("task", Task), ("balance", Balance), ("dtype", Dtype)):
            if getattr(self, name) not in get_args(words):
                raise ValueError(f"{name} is {getattr(self, name)!r}; legal are {', '.join(get_args(words))}.")
        for name in ("shots", "steps", "batch_size", "lora_rank", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; give 1 or more.")
        if self.held_out < 0:
            raise ValueError(f"held_out is {self.held_out}; give a number of cells, or 0 for no comparison.")
        for name in ("gene_dropout", "lora_dropout", "validation_share"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name} is {value}; legal are 0 to below 1.")
        for name in ("learning_rate", "head_learning_rate", "lora_alpha", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} is {value}; give a positive number.")
        for name in ("lora_rank", "lora_alpha", "lora_dropout") if self.method != "lora" else ():
            value = getattr(self, name)
            if value != type(self).__dataclass_fields__[name].default:
                raise ValueError(f"{name} is {value}, which is for method 'lora'; the method is {self.method!r}.")
        if self.strength is not None and not 0 < self.strength <= 1:
            raise ValueError(f"strength is {self.strength}; give a share above 0, at most 1 (all that was learned).")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay is {self.weight_decay}; give 0 or more.")

    def completed(self, n_cells: int, *, is_cautious: bool = False) -> "TuningOptions":
        """Return the options with steps, learning rates and strength, for this number of training cells.

        Args:
            n_cells: to learn from.
            is_cautious: the base knows the labels, and no cells are held out.
        """
        rate = LEARNING_RATES[self.method] if self.learning_rate is None else self.learning_rate
        head_rate = self.head_learning_rate or self.learning_rate or NEW_HEAD_LEARNING_RATE
        halves = is_cautious and self.method == "lora" and self.task == "text"
        least = CAUTIOUS_STEPS if halves else LEAST_STEPS
        steps = max(least, -(-LEAST_EPOCHS * n_cells // self.batch_size)) if self.steps is None else self.steps
        strength = (HALFWAY if halves else 1.0) if self.strength is None else self.strength
        return replace(self, steps=steps, learning_rate=rate, head_learning_rate=head_rate, strength=strength)
