"""What somebody gave as a model: one that names by text, a classifier, or an adapter; and what takes it instead."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

ModelKind = Literal["text", "classification", "adapter"]

_CLASSIFIER = "LangCellForCellClassification"
_ADAPTER_CONFIG = "adapter_config.json"  # peft's name; importing it would take seconds


def find_kind(place: str | Path, *, revision: str | None = None) -> ModelKind | None:
    """Tell from its files what a folder or a Hub repository holds; None when they do not say.

    Args:
        place: a folder, or a Hub id.
        revision: branch, tag or commit on the Hub.
    """
    config = _file(place, "config.json", revision)
    # A repository without a configuration is none of ours, or cannot be reached: once is enough to find that out.
    if (config is not None or Path(place).is_dir()) and _file(place, _ADAPTER_CONFIG, revision) is not None:
        return "adapter"
    try:
        found = {} if config is None else json.loads(config.read_text(encoding="utf-8"))
        architectures = found.get("architectures") or []
    except (OSError, ValueError, AttributeError):  # damaged, which is for those to say who read it
        return None
    if not architectures:
        return None
    return "classification" if _CLASSIFIER in architectures else "text"


def check_kind(place: str | Path, wanted: ModelKind | None, *, name: str | Path, revision: str | None = None) -> None:
    """Refuse an adapter as a model, a classifier where cells are named by text, and the other way round.

    Args:
        place: a folder, or a Hub id.
        wanted: "text" or "classification"; None takes both.
        name: what the user called it.
        revision: branch, tag or commit on the Hub.

    Raises:
        ValueError: it is of another kind; the text says which command and which option take it.
    """
    kind = find_kind(place, revision=revision)
    if kind == "adapter":
        command = "langcell classify" if _task(place, revision) == "classification" else "langcell annotate"
        raise ValueError(
            f"{name} is an adapter, not a model; give it as --adapter ({command} CELLS.h5ad -o NAMED.h5ad --adapter "
            f"{name}), and as --model the one that it was trained on."
        )
    if kind == "classification" and wanted == "text":
        raise ValueError(
            f"{name} is a classifier, which reads no texts; langcell classify CELLS.h5ad -o NAMED.h5ad --model {name} "
            "takes it."
        )
    if kind == "text" and wanted == "classification":
        raise ValueError(
            f"{name} has no classification head: it names cells by text (langcell annotate --model {name}). Make a "
            "classifier with langcell finetune --task classification."
        )


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Leave out transformers' table of weights that are missing or left over: whoever loads checks them here."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def _task(place: str | Path, revision: str | None) -> str | None:
    """Return what a fine-tuned model or an adapter was taught for."""
    config = _file(place, "config.json", revision)
    try:
        return None if config is None else json.loads(config.read_text(encoding="utf-8"))["fine_tuning"]["task"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file(place: str | Path, name: str, revision: str | None) -> Path | None:
    """Return a file of a folder or a Hub repository, if it is there and can be reached."""
    if Path(place).is_dir():
        return path if (path := Path(place) / name).is_file() else None
    try:
        found = cached_file(str(place), name, revision=revision, _raise_exceptions_for_missing_entries=False)
    except OSError:  # no such repository, or no network, which is for those to say who need the file
        return None
    return None if found is None else Path(found)
