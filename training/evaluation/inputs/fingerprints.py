"""What makes a result the same result: hashes of data, model, files and code, for reports and for the cache."""

import hashlib
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import langcell.processing
from langcell.loading.options import BUNDLED_MODEL
from langcell.processing.containers.addresses import local_path
from langcell.processing.shards.manifest import sha256_of

_NOT_OF_THE_MODEL = (".md", ".png")  # a better card makes no other model


def digest_of_data(path: str | Path) -> str | None:
    """Return sha256 of a file, and for a zarr folder over the names and contents of its files; None where there is
    neither."""
    path = local_path(path)
    if path.is_file():
        return sha256_of(path)
    return _digest_of_files(path, sorted(path.rglob("*"))) if path.is_dir() else None


def digest_of_model(model: Any, *, adapter: str | Path | None = None) -> str:
    """Return the identity of weights, configuration, vocabulary and processor, and of an adapter.

    Args:
        model: folder, Hub id (loaded to learn its commit), or what `langcell.load` returned (its tensors are hashed).
        adapter: folder or Hub id.
    """
    if not isinstance(model, str | Path):
        digest = hashlib.sha256(model.processor.feature_extractor.vocabulary.fingerprint.encode())
        digest.update(json.dumps(model.config.to_dict(), sort_keys=True, default=str).encode())
        for name, tensor in model.model.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
        base = digest.hexdigest()
    else:
        base = _digest_of_place(model)
    if adapter is None:
        return base
    own = _digest_of_folder(_adapter_folder(adapter))
    return hashlib.sha256(f"{base} {own}".encode()).hexdigest()


@cache
def digest_of_code() -> str:
    """Return sha256 over langcell's own Python files: another version of the code computes again."""
    folder = Path(langcell.processing.__file__).parents[1]
    roots = {Path(langcell.__file__).parent, folder}
    paths = sorted({path for root in roots for path in root.rglob("*.py") if "__pycache__" not in path.parts})
    return _digest_of_files(folder, paths)


def result_key(task: str, **parts: Any) -> str:
    """Return the name under which a result is kept: the task and 16 digits over everything that decides it.

    >>> result_key("zero-shot", data="a", seed=0) == result_key("zero-shot", seed=0, data="a")
    True
    >>> result_key("zero-shot", data="a") == result_key("zero-shot", data="b")
    False
    """
    text = json.dumps(parts, sort_keys=True, default=str)
    return f"{task}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _digest_of_place(place: str | Path) -> str:
    folder = Path(str(files("langcell.hub_cards") / BUNDLED_MODEL)) if str(place) == BUNDLED_MODEL else Path(place)
    if folder.is_dir():
        return _digest_of_folder(folder)
    from langcell.loading.load import load  # takes seconds: torch, transformers

    return f"{place}@{load(place).revision}"


def _adapter_folder(adapter: str | Path) -> Path:
    if Path(adapter).is_dir():  # whether it is one is found out by who loads it
        return Path(adapter)
    from langcell.loading.adapter_files import find_adapter  # takes seconds: torch

    return find_adapter(adapter).folder


def _digest_of_folder(folder: Path) -> str:
    paths = [path for path in sorted(folder.iterdir()) if not path.name.endswith(_NOT_OF_THE_MODEL)]
    return _digest_of_files(folder, paths)


def _digest_of_files(root: Path, paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        if path.is_file():
            name = path.relative_to(root) if path.is_relative_to(root) else path
            digest.update(f"{name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()
