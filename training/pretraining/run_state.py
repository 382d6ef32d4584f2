"""What training has made so far, as whole tensors by name: weights, moments of the optimizer, average of the weights.

Whole, on the CPU of the main process: so the same file goes back to one process, many, or weights spread by FSDP. The
learning rate is a function of the step, what is random follows from the step too (`randomness`), and float32 and bf16
need no loss scaling; so these tensors, the step and the position in the data are all that a run goes on from.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from langcell.training.pretraining.weight_average import WeightAverage
from langcell.training.stage.distribution import spread_like, whole_tensors
from langcell.training.stage.stage import PretrainingStage

Tensors = dict[str, Tensor]


class RunState:
    """Reads and writes what training changes.

    Args:
        stage: holds the trained parameters, spread or not.
        optimizer: over them.
        average: average of them, or None.
    """

    def __init__(self, stage: PretrainingStage, optimizer: torch.optim.Optimizer, average: WeightAverage | None):
        self.stage, self.optimizer, self.average = stage, optimizer, average
        self.trained = {name: weight for name, weight in stage.model.named_parameters() if weight.requires_grad}

    def gather(self, *, keep: bool) -> dict[str, Tensors]:
        """Return the whole copies, by the name of the file that they go into; every process calls it.

        Args:
            keep: on the main process; the others help and get empty dictionaries.
        """
        parts: dict[str, Mapping[str, Tensor]] = {"weights": self.trained, "moments": dict(self._moments())}
        if self.average:
            parts["average"] = self.average.averages
        return {name: whole_tensors(tensors, keep=keep) for name, tensors in parts.items()}

    def _moments(self) -> Iterator[tuple[str, Tensor]]:
        for name, weight in self.trained.items():
            for kind, value in self.optimizer.state[weight].items():
                yield f"{name}|{kind}", value

    def write(self, state: Mapping[str, Tensors], folder: Path) -> None:
        """Write what `gather` gave into a folder that exists."""
        for name, tensors in state.items():
            save_file(tensors, folder / f"{name}.safetensors")

    @torch.no_grad()
    def read(self, folder: Path, *, average_updates: int) -> None:
        """Put back what `write` wrote; every process calls it.

        Raises:
            ValueError: the folder was written by a run that trains other parameters.
        """
        weights = load_file(folder / "weights.safetensors")
        if weights.keys() != self.trained.keys() or (self.average and not (folder / "average.safetensors").is_file()):
            differing = sorted(weights.keys() ^ self.trained.keys())
            what = f"other parameters, such as {differing[0]}" if differing else "no average of the weights"
            raise ValueError(
                f"{folder.parent} was written by a run that trains {what}. "
                "Start with its freeze, losses and ema_decay, or give another output_dir."
            )
        for name, weight in self.trained.items():
            weight.copy_(spread_like(weights[name], weight))
        for key, value in load_file(folder / "moments.safetensors").items():
            name, kind = key.split("|")
            weight = self.trained[name]
            # A fused optimizer asks for its count of steps on the device of the weight.
            state = value.to(weight.device) if kind == "step" else spread_like(value, weight)
            self.optimizer.state[weight][kind] = state
        if self.average:
            self.average.load(load_file(folder / "average.safetensors"), updates=average_updates)
