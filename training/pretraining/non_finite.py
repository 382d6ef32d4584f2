"""Steps whose loss or gradient is not finite: skipped and counted, and too many in a row end the run."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor


class NonFiniteSteps:
    """Counts steps that are not finite.

    A step is judged by the mean loss and the gradient norm of all processes, so all of them agree on it.

    Args:
        most_in_a_row: as many end the run.
        folder: where the batches of the last of them are saved.
        rank: number of this process.
    """

    def __init__(self, *, most_in_a_row: int, folder: Path, rank: int):
        self.most_in_a_row, self.folder, self.rank = most_in_a_row, folder, rank
        self.in_total = self.in_a_row = 0

    def judge(self, *, loss: Tensor, norm: Tensor, step: int, batches: Sequence[dict[str, Tensor]]) -> bool:
        """Return whether the weights may move.

        Args:
            loss: mean over all processes, 0-dimensional.
            norm: norm of the gradient over all processes, 0-dimensional.
            step: number of the step, from 1.
            batches: what this process read in the step.

        Raises:
            ValueError: there were `most_in_a_row` such steps; the batches are saved.
        """
        if bool(torch.isfinite(loss) & torch.isfinite(norm)):
            self.in_a_row = 0
            return True
        self.in_total += 1
        self.in_a_row += 1
        if self.in_a_row >= self.most_in_a_row:
            saved = self.folder / f"bad-batch-{self.rank:05d}.pt"
            torch.save({"step": step, "batches": list(batches)}, saved)
            raise ValueError(
                f"Loss or gradient was not finite for {self.in_a_row} steps in a row, up to step {step}. "
                f"The last batches are in {saved}. Start again with a lower optimizer.lr or precision=no, "
                "and with --change-settings where a checkpoint is there (remove the newest if its weights are broken)."
            )
        return False
