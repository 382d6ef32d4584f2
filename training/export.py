"""The result of a run as a Hub folder."""

import shutil
from pathlib import Path

from langcell.modeling_langcell import LangCellForPreTraining
from langcell.processing.atomic_output import atomic_output

# What the start folder says about the model itself, and its weights: these are written anew.
_OWN_FILES = ("config.json", "generation_config.json", "README.md")


def export_model(model: LangCellForPreTraining, *, start_folder: Path, to: Path) -> None:
    """Write a folder that `AutoModelForPreTraining` and `AutoProcessor` load.

    Args:
        model: its weights are written as safetensors.
        start_folder: what the run started from; its processor (tokenizer, gene vocabulary, code) is taken over.
        to: the folder; replaced as a whole if it exists.
    """
    with atomic_output(to) as building:
        building.mkdir(exist_ok=True)
        for path in sorted(start_folder.iterdir()):
            if path.is_file() and path.name not in _OWN_FILES and path.suffix not in (".safetensors", ".bin"):
                shutil.copy2(path, building / path.name)
        model.save_pretrained(building)
