"""The model that an adapter was trained on, as the adapter's own files name it; nothing here needs torch."""

import json
from pathlib import Path

from langcell.loading.hub_folders import named_base


def base_of(adapter: str | Path) -> str:
    """Return the base that an adapter names.

    Args:
        adapter: folder or Hub id of what `langcell finetune` made.

    Raises:
        ValueError: there is no such adapter, it names no base, or its base was a folder.
    """
    folder = Path(adapter)
    config = folder / "config.json"
    if config.is_file() and (folder / "adapter_config.json").is_file():
        facts = json.loads(config.read_text(encoding="utf-8")).get("fine_tuning")
        if isinstance(facts, dict) and "base" in facts:
            return named_base(folder.resolve().name, facts["base"])
    from langcell.loading.adapter_files import find_adapter  # takes seconds: torch

    return find_adapter(adapter).base
