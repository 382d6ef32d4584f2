"""How the weights move: AdamW, and its learning rate as a function of the step."""

import math
from typing import Any

import torch

from langcell.training.settings.sections import OptimizerSection
from langcell.training.stage.stage import PretrainingStage


def learning_rate(step: int, *, steps: int, options: OptimizerSection) -> float:
    """Return linear warmup to the peak, then half a cosine down to `final_ratio` of it.

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
    """Return the fused AdamW over what is trained; only matrices are decayed."""
    trained = [parameter for parameter in stage.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.lr, betas=options.betas, fused=True)
