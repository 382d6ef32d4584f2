"""The exponential moving average of the weights that a run exports."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from langcell.training.stage.distribution import spread_like


class WeightAverage:
    """Averages of what is trained; spread over processes as the weights are.

    The decay of update n is at most (1 + n) / (10 + n), so that the average forgets the fresh weights quickly.

    Args:
        model: its trained parameters are followed.
        decay: in [0, 1).

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> average = WeightAverage(model, 0.9)
        >>> average.update()  # the first is a copy
        >>> with average.in_place():
        ...     pass  # here the model has the average
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay, self.updates = decay, 0
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.averages = {name: weight.detach().clone() for name, weight in self.weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of now into the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.updates else 0.0
        for name, weight in self.weights.items():
            self.averages[name].lerp_(weight, 1 - decay)
        self.updates += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the average in this block, and exactly its own weights after it."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, weight in self.weights.items():
            own = weight.detach().clone()
            weight.copy_(self.averages[name])
            self.averages[name].copy_(own)

    @torch.no_grad()
    def load(self, averages: Mapping[str, Tensor], *, updates: int) -> None:
        """Go on from whole averages by name."""
        for name, average in self.averages.items():
            average.copy_(spread_like(averages[name], average))
        self.updates = updates
