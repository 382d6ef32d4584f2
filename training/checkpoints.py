"""Checkpoints: written whole or not at all, the newest kept, a damaged one passed over.

A checkpoint is the folder `checkpoint-<step>` in the run's folder:
    state/         model, optimizer and random states, by accelerate
    run.pt         step, weight average and counters of the run
    data-<rank>.json   position of each process in the shards
    files.json     name and size of every file above, written last
It is built under another name and renamed at the end, so a run that is killed leaves no half checkpoint behind.
"""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator

PREFIX = "checkpoint-"
FILES = "files.json"


class Resumable(Protocol):
    """Anything with a position that can be saved."""

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go there."""
        ...


def save_checkpoint(
    folder: Path, *, step: int, accelerator: Accelerator, run_state: dict[str, Any], data: Resumable, keep: int
) -> Path:
    """Write `folder/checkpoint-<step>` and delete all but the newest `keep`; every process calls it.

    Args:
        folder: of the run.
        step: optimizer steps done.
        accelerator: holds the prepared model and optimizer.
        run_state: further state, the same on every process.
        data: the batches of this process.
        keep: checkpoints that stay.
    """
    final, building = folder / f"{PREFIX}{step:08d}", folder / f"{PREFIX}{step:08d}.tmp"
    if accelerator.is_main_process:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(building / "state"))
    (building / _data_file(accelerator.process_index)).write_text(json.dumps(data.state_dict()))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        torch.save(run_state, building / "run.pt")
        sizes = {str(path.relative_to(building)): path.stat().st_size for path in _files(building)}
        (building / FILES).write_text(json.dumps(sizes, indent=1))
        shutil.rmtree(final, ignore_errors=True)
        building.rename(final)
        for old in _checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run; a damaged newer one is passed over with a warning."""
    for checkpoint in reversed(_checkpoints(folder)):
        damage = _damage(checkpoint)
        if damage is None:
            return checkpoint
        warnings.warn(f"Checkpoint {checkpoint} is damaged ({damage}) and is passed over.", stacklevel=2)
    return None


def load_checkpoint(checkpoint: Path, *, accelerator: Accelerator, data: Resumable) -> dict[str, Any]:
    """Put model, optimizer, random states and data position back; every process calls it.

    Returns:
        The `run_state` that was saved.
    """
    position = checkpoint / _data_file(accelerator.process_index)
    processes = len(list(checkpoint.glob(_data_file("*"))))
    if processes != accelerator.num_processes:
        raise ValueError(
            f"{checkpoint} was written by {processes} processes, this run has {accelerator.num_processes}. "
            f"Start it with {processes}, or give another output_dir."
        )
    accelerator.load_state(str(checkpoint / "state"))
    data.load_state_dict(json.loads(position.read_text()))
    return torch.load(checkpoint / "run.pt", map_location="cpu", weights_only=True)


def _data_file(rank: int | str) -> str:
    return f"data-{rank:05d}.json" if isinstance(rank, int) else f"data-{rank}.json"


def _checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if path.is_dir() and path.suffix != ".tmp")


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        sizes = json.loads((checkpoint / FILES).read_text())
    except (OSError, ValueError):
        return f"no readable {FILES}"
    for name, size in sizes.items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != size:
            return f"{name} is missing or not {size} bytes"
    return None
