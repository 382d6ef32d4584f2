"""`langcell merge`: a base and an adapter as one complete Hub folder."""

from pathlib import Path
from typing import Any

from langcell.adapter_files import find_adapter
from langcell.hub_cards.adapter_cards import fine_tuned_card
from langcell.inference.classification import load_classifier
from langcell.loading import load
from langcell.processing.atomic_output import atomic_output


def merge_adapter(base: str | Path, adapter: str | Path, output: str | Path) -> None:
    """Write what base and adapter make together: weights, configuration, processor, code and card.

    Args:
        base: folder, Hub id, or "langcell-mini".
        adapter: folder or Hub id of what `langcell finetune` made of it.
        output: folder to write, whole or not at all; replaced if it exists.

    Raises:
        ValueError: base or adapter is unusable, or they do not belong together.
        OSError: `output` cannot be written.
    """
    if Path(output).exists() and not Path(output).is_dir():
        raise ValueError(f"{output} is a file; name a folder for the merged model.")
    is_text = find_adapter(adapter).facts["task"] == "text"
    read: Any = load if is_text else load_classifier
    merged = read(base, adapter=adapter, device="cpu")
    with atomic_output(output) as building:
        building.mkdir()
        merged.model.save_pretrained(building)
        merged.processor.save_pretrained(building)
        card = fine_tuned_card(Path(output).name, merged.model.config.fine_tuning, is_adapter=False)
        (building / "README.md").write_text(str(card), encoding="utf-8")
