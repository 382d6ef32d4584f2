"""`langcell merge`: a base and an adapter as one complete Hub folder."""

from pathlib import Path
from typing import Any

from langcell.hub_cards.cards.adapter_cards import fine_tuned_card
from langcell.inference.classification import load_classifier
from langcell.loading.adapter_files import find_adapter
from langcell.loading.load import load
from langcell.processing.files.atomic_output import atomic_output, require_new_folder


def merge_adapter(base: str | Path, adapter: str | Path, output: str | Path) -> None:
    """Write what base and adapter make together: weights, configuration, processor, code and card.

    Args:
        base: folder, Hub id, or "langcell-mini".
        adapter: folder or Hub id of what `langcell finetune` made of it.
        output: folder to write, whole or not at all; a new or an empty one.

    Raises:
        ValueError: base or adapter is unusable, or they do not belong together, or `output` has something in it.
        OSError: `output` cannot be written.
    """
    require_new_folder(output, "the merged model")
    is_text = find_adapter(adapter).facts["task"] == "text"
    read: Any = load if is_text else load_classifier
    merged = read(base, adapter=adapter, device="cpu")
    with atomic_output(output) as building:
        building.mkdir()
        merged.model.save_pretrained(building)
        merged.processor.save_pretrained(building)
        card = fine_tuned_card(Path(output).name, merged.model.config.fine_tuning, is_adapter=False)
        (building / "README.md").write_text(str(card), encoding="utf-8")
