"""The weights of a run as a Hub folder: what a run ends with, and the root of every checkpoint."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from langcell.modeling_langcell import LangCellForPreTraining

# What the start folder says about the model itself, and its weights: these are written again.
_OWN_FILES = ("config.json", "generation_config.json", "README.md")


def write_hub_files(
    model: LangCellForPreTraining, *, start_folder: Path, folder: Path, weights: Mapping[str, Tensor] | None = None
) -> None:
    """Put weights, configuration, code and processor into a folder, so that the Auto classes load it.

    Args:
        model: gives the configuration, and the weights unless they are given.
        start_folder: what the run started from; its processor (tokenizer, gene vocabulary, code) is taken over.
        folder: exists.
        weights: the whole weights, where `model` holds a part of them (FSDP).
    """
    for path in sorted(start_folder.iterdir()):
        if path.is_file() and path.name not in _OWN_FILES and path.suffix not in (".safetensors", ".bin"):
            shutil.copy2(path, folder / path.name)
    model.save_pretrained(folder, state_dict=None if weights is None else dict(weights))
