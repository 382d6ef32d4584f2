"""Turning data into model inputs; imports nothing else of langcell."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "anndata_io":  # scripts name it here, where it was before the rooms
        return import_module("langcell.processing.cells.anndata_io")
    raise AttributeError(f"module 'langcell.processing' has no attribute {name!r}")
