"""Checkpoints: written whole or not at all, the newest kept, a damaged one passed over.

A checkpoint is the folder `checkpoint-<step>` in the run's folder:
    config.json, model.safetensors, code, tokenizer, ...   a Hub repository: the weights as `from_pretrained` loads them
    pretraining.yaml, provenance.json   the run's config, and where code and data come from
    state/*.safetensors   trained weights, moments of the optimizer and average of the weights (`run_state`)
    state/run.json   counters of the run, and the position of every process in the data
    files.json     name and size of every file above
It is built under a hidden name, flushed to the disk and renamed at the end. So a run that is killed leaves no half
checkpoint behind, and what it had begun is removed with the next one.
"""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

from langcell.processing.files.atomic_output import atomic_output

PREFIX = "checkpoint-"
FILES = "files.json"


def write_checkpoint(folder: Path, *, step: int, keep: int, fill: Callable[[Path], None]) -> Path:
    """Write `folder/checkpoint-<step>` and delete all but the newest `keep`; the main process alone calls it.

    Args:
        folder: folder of the run.
        step: optimizer steps done.
        keep: checkpoints that stay.
        fill: writes the files into the folder that it is given.
    """
    for leftover in folder.glob(f".{PREFIX}*"):
        shutil.rmtree(leftover)
    final = folder / f"{PREFIX}{step:08d}"
    with atomic_output(final) as building:
        building.mkdir()
        fill(building)
        sizes = {str(path.relative_to(building)): path.stat().st_size for path in _files(building)}
        (building / FILES).write_text(json.dumps(sizes, indent=1))
    for old in _checkpoints(folder)[:-keep]:
        # Out of sight first: a kill in the midst of deleting must not leave a damaged checkpoint to warn of.
        shutil.rmtree(old.rename(old.with_name(f".{old.name}.old")))
    return final


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a run; a damaged newer one is passed over with a warning."""
    for checkpoint in reversed(_checkpoints(folder)):
        damage = _damage(checkpoint)
        if damage is None:
            return checkpoint
        warnings.warn(f"Checkpoint {checkpoint} is damaged ({damage}) and is passed over.", stacklevel=2)
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if path.is_dir())


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _damage(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None."""
    try:
        sizes = json.loads((checkpoint / FILES).read_text())
    except (OSError, ValueError):
        return f"no readable {FILES}"
    for name, size in sizes.items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != size:
            return f"{name} is missing or not {size} bytes"
    return None
