"""Where weights come from: the run's config, the code's git revision, the data's manifests, the libraries' versions."""

import json
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langcell.loading.load import weights_digest
from langcell.processing.shards.manifest import MANIFEST_FILE, sha256_of
from langcell.training.data.shard_location import ShardLocation
from langcell.training.settings.files import save_config
from langcell.training.settings.sections import PretrainConfig

CONFIG_FILE = "pretraining.yaml"
PROVENANCE_FILE = "provenance.json"
_LIBRARIES = ("langcell", "torch", "transformers", "accelerate")


def describe_origin(config: PretrainConfig, *, start_folder: Path) -> dict[str, Any]:
    """Return what a checkpoint says of its origin besides the config; read once, when the run starts.

    Args:
        config: configuration of the run.
        start_folder: start folder of the model that it starts from.

    Returns:
        `git`: revision of the code and whether it was changed since, or None where the code is no git checkout;
        `start`: path of the model that the run starts from, and the sha256 of its weights (its first 12 digits);
        `data`: for each shard folder or Hub dataset its path, weight, cells, gene vocabulary and the sha256 of its
        manifest (which holds the checksum of every shard); `libraries`: their versions;
        `changes`: what the run has changed on its way (`resuming.changes_since`), nothing at its start.
    """
    data = []
    for source in config.data:
        place = ShardLocation.find(source.path)
        data.append(
            {
                "path": source.path,
                "weight": source.weight,
                "cells": place.manifest.total_cells,
                "vocabulary_fingerprint": place.manifest.vocabulary_fingerprint,
                "manifest_sha256": sha256_of(place.folder / MANIFEST_FILE),
            }
        )
    return {
        "git": git_revision(),
        "start": {"path": config.model.path, "weights": weights_digest(start_folder)},
        "data": data,
        "libraries": {name: version(name) for name in _LIBRARIES},
        "changes": [],
    }


def git_revision(folder: Path | None = None) -> dict[str, Any] | None:
    """Return the revision of a LangCell checkout and whether files that git follows differ from it; None where there is
    none.

    Args:
        folder: in the checkout; that of this code if not given.
    """
    # The editable install is a tree of links: the checkout is where they point.
    folder = folder or Path(__file__).resolve().parent
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None or not (Path(top) / "training" / "pretrain.py").is_file():
        return None  # installed inside the checkout of something else
    revision = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if revision is None or changes is None else {"revision": revision, "changed": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def write_origin(folder: Path, *, config: PretrainConfig, origin: Mapping[str, Any], step: int) -> None:
    """Put the config of the run and its origin beside weights.

    Args:
        folder: exists, and holds weights.
        config: configuration of the run.
        origin: from `describe_origin`.
        step: optimizer steps that the weights have seen.
    """
    save_config(config, folder / CONFIG_FILE)
    text = json.dumps({"step": step, **origin}, indent=2)
    (folder / PROVENANCE_FILE).write_text(text + "\n", encoding="utf-8")
