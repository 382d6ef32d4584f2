"""Reading weight files of others without running what they say, and telling exactly what was read."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

Tensors = dict[str, Tensor]
_WEIGHT_NAMES = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin")
_BLOCK = 1 << 22


def find_weights(folder: Path) -> Path:
    """Return the weight file of a checkpoint folder; safetensors win over .bin.

    Raises:
        ValueError: there is none, or the weights are split over several files.
    """
    for name in _WEIGHT_NAMES:
        if (folder / name).is_file():
            return folder / name
    if list(folder.glob("*.index.json")):
        raise ValueError(f"The weights in {folder} are split over several files; save them as one model.safetensors.")
    raise ValueError(f"{folder} has no weights; one of {', '.join(_WEIGHT_NAMES)} is needed.")


def find_part(folder: Path, name: str) -> Path:
    """Return the file `name`.safetensors or `name`.bin.

    Raises:
        ValueError: there is none.
    """
    for path in (folder / f"{name}.safetensors", folder / f"{name}.bin"):
        if path.is_file():
            return path
    raise ValueError(f"{folder} has neither {name}.bin nor {name}.safetensors.")


def read_tensors(path: Path) -> Tensors:
    """Return the tensors of a .safetensors or .bin file on the CPU.

    Raises:
        ValueError: the file is damaged, or holds anything but named tensors, such as code.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        # The readers raise a dozen types for damaged and hostile files; to the user they all mean the same.
        reason = str(error).strip().splitlines()[-1][:200] if str(error).strip() else type(error).__name__
        raise ValueError(f"{path} is damaged or holds more than tensors; nothing of it was run ({reason}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; a state dict (names to tensors) is needed.")
    strangers = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if strangers:
        raise ValueError(f"{path} is no plain state dict: {', '.join(strangers[:5])} are no tensors.")
    return dict(content)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the folder's config.json.

    Raises:
        ValueError: it is missing or no JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} has no config.json.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; a JSON object is needed.")
    return content


def require_new_folder(folder: str | Path) -> None:
    """Refuse to write into, or in place of, a folder that holds anything.

    Raises:
        ValueError: `folder` is a file, or a folder that is not empty.
    """
    folder = Path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not an empty folder; give a new one.")


def sha256_of(path: Path) -> str:
    """Return sha256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
