"""The options of fine-tuning, checked."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

Method = Literal["lora", "full", "head"]
Task = Literal["text", "classification"]
Balance = Literal["sampling", "weights", "none"]
Dtype = Literal["auto", "float32", "bfloat16"]

# Chosen on other data than the reported ones; see training/EXPERIMENTS.md.
LEARNING_RATES: dict[Method, float] = {"lora": 1e-3, "full": 3e-4, "head": 2e-3}
HALFWAY = 0.5  # the strength of a cautious fine-tuning
NEW_HEAD_LEARNING_RATE = 1e-2
LEAST_STEPS, LEAST_EPOCHS = 100, 3


@dataclass(frozen=True)
class TuningOptions:
    """How a model learns from labelled cells.

    Attributes:
        method: "lora": low-rank updates of both encoders and the heads, an adapter of a few MB; "head": the
            projections and the matching head (or the classification head) alone; "full": all weights.
        task: "text": label texts, similarity and match, so that the model still names other labels by text;
            "classification": the cell encoder with a classification head (LangCell-CE).
        shots: cells of each type to learn from, validation included; all when None. A type with fewer gives all.
        seed: of the choice of cells, of new weights, batches, views and dropout.
        steps: updates at most; when None 100, or three passes over the cells where that is more.
        batch_size: cells an update, over all processes.
        learning_rate: the highest: it rises for a tenth of the steps and falls as a cosine; when None
            `LEARNING_RATES[method]`.
        head_learning_rate: the highest of a classification head, which starts from random weights where all else is
            pretrained; when None `learning_rate` if that is given, else 0.01.
        weight_decay: of AdamW.
        max_grad_norm: gradients are scaled down to it.
        gene_dropout: largest share of a cell's genes that is hidden from a training view, drawn anew for each.
        lora_rank: of the low-rank updates.
        lora_alpha: an update is scaled by lora_alpha / lora_rank.
        lora_dropout: of an update's input, in training.
        validation_share: of each type's cells, held out to stop early by; 0 for none. When None a fifth of the types
            with 10 chosen cells or more.
        strength: share of what was learned that is kept: weights between the base's and the learned ones are more
            robust (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", CVPR). When None 0.5 for "lora" with
            texts of cell types, which the base knows, and no cells held out to say when to stop; else 1.
        patience: looks (20 a run) at the validation cells without a lower loss before the training ends.
        balance: for types of unlike size. "sampling": batches have the types in equal parts; "weights": the cells of a
            rare type weigh more, so that all types weigh the same; "none": every cell weighs the same.
        dtype: what products are computed in; the weights and the losses are float32. "auto": bfloat16 where the device
            is fast at it, which takes 0.6 of the time on a CPU with AVX-512 BF16.
        progress: show a progress bar.

    Raises:
        ValueError: an illegal option.
    """

    method: Method = "lora"
    task: Task = "text"
    shots: int | None = None
    seed: int = 0
    steps: int | None = None
    batch_size: int = 16
    learning_rate: float | None = None
    head_learning_rate: float | None = None
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    gene_dropout: float = 0.5
    lora_rank: int = 8
    lora_alpha: float = 16
    lora_dropout: float = 0.0
    validation_share: float | None = None
    strength: float | None = None
    patience: int = 5
    balance: Balance = "sampling"
    dtype: Dtype = "auto"
    progress: bool = True

    def __post_init__(self) -> None:
        for name, words in (("method", Method), ("task", Task), ("balance", Balance), ("dtype", Dtype)):
            if getattr(self, name) not in get_args(words):
                raise ValueError(f"{name} is {getattr(self, name)!r}; legal are {', '.join(get_args(words))}.")
        for name in ("shots", "steps", "batch_size", "lora_rank", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; give 1 or more.")
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
        """With steps, learning rates and strength, for this number of training cells.

        Args:
            n_cells: to learn from.
            is_cautious: the base knows the labels, and no cells are held out.
        """
        steps = max(LEAST_STEPS, -(-LEAST_EPOCHS * n_cells // self.batch_size)) if self.steps is None else self.steps
        rate = LEARNING_RATES[self.method] if self.learning_rate is None else self.learning_rate
        head_rate = self.head_learning_rate or self.learning_rate or NEW_HEAD_LEARNING_RATE
        halves = is_cautious and self.method == "lora" and self.task == "text"
        strength = (HALFWAY if halves else 1.0) if self.strength is None else self.strength
        return replace(self, steps=steps, learning_rate=rate, head_learning_rate=head_rate, strength=strength)
