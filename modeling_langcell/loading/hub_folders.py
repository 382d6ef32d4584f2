"""A folder that people name by its path or by its id on the Hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from langcell.loading.options import BUNDLED_MODEL


def is_hub_id(name: str) -> bool:
    """Return whether a model's name is an id on the Hub, and not that of a folder, of the bundled weights or of two
    models.

    >>> [is_hub_id(name) for name in ("org/langcell", "langcell-mini", "./model", "org/langcell+adapter")]
    [True, False, False, False]
    """
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and "+" not in name


def named_base(adapter: str, base: Mapping[str, Any]) -> str:
    """Return the base of an adapter as `--model` takes it: the bundled one, or a Hub id.

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


def folder_or_download(
    place: str | Path, what: str, *, revision: str | None = None, files: Sequence[str] | None = None
) -> Path:
    """Return the folder, downloaded where it is on the Hub.

    Args:
        place: a folder, or a Hub id.
        what: what people call it, for the error: "the adapter".
        revision: branch, tag or commit on the Hub.
        files: patterns of the files to download; all when None.

    Raises:
        ValueError: there is no such folder, and no such repository can be reached.

    >>> folder_or_download("/absent", "the adapter")
    Traceback (most recent call last):
    ValueError: /absent is no folder; give the folder of the adapter, or its Hub id (org/name).
    """
    if Path(place).is_dir():
        return Path(place)
    name, legal = str(place), f"give the folder of {what}, or its Hub id (org/name)."
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ValueError(f"{place} is no folder; {legal}")
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=None if files is None else list(files)))
    except Exception as error:  # the network raises a dozen types
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{place} is neither a folder here nor can it be downloaded from the Hub "
            f"({type(error).__name__}: {reason}); {legal}"
        ) from error
