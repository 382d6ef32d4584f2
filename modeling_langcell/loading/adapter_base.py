"""The model that an adapter was trained on, as the adapter's own files name it; nothing here needs torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langcell.loading.hub_folders import BUNDLED_MODEL, is_hub_id


def named_base(adapter: str, base: Mapping[str, Any]) -> str:
    """The base of an adapter as `--model` takes it: the bundled one, or a Hub id.

    Args:
        adapter: what people call the adapter.
        base: what `finetune` wrote down of it: "model_id" and "weights".

    Raises:
        ValueError: it was a folder, which only the user can find.

    >>> named_base("blood", {"model_id": "org/langcell", "weights": "0a1b2c"})
    'org/langcell'
    """
    model_id = str(base["model_id"])
    if model_id == BUNDLED_MODEL or is_hub_id(model_id):
        return model_id
    raise ValueError(
        f"The adapter {adapter} was trained on {model_id} (weights {base['weights']}), which was a folder; name it: "
        "--model FOLDER, or model=... in Python."
    )


def base_of(adapter: str | Path) -> str:
    """The base that an adapter names.

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
