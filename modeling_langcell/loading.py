"""Finding a model: a folder, a Hub id, or the bundled weights."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from transformers import AutoModel, AutoProcessor

from langcell.configuration_langcell import LangCellConfig
from langcell.modeling_langcell import LangCellModel
from langcell.processing.genes import VOCABULARY_FILE, check_same_vocabulary
from langcell.processing.processing_langcell import LangCellProcessor

DEFAULT_MODEL = "langcell-mini"
_NEEDED_FILES = ("config.json", "processor_config.json", "tokenizer.json", VOCABULARY_FILE)
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadedLangCell:
    """A model that is ready to score, with the processor that belongs to it.

    Attributes:
        model: in evaluation mode, on its device.
        processor: its cells-and-text processor.
        model_id: what was asked for: the Hub id, the folder's name, or "langcell-mini".
        revision: the Hub commit, or for a folder the start of the weights' sha256.
    """

    model: LangCellModel
    processor: LangCellProcessor
    model_id: str
    revision: str

    @property
    def config(self) -> LangCellConfig:
        """The model's configuration."""
        return self.model.config


def bundled_model_folder() -> Path:
    """Folder of the weights that come with the package."""
    return Path(str(files("langcell.hub_cards").joinpath(DEFAULT_MODEL)))


def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
    attn_implementation: str | None = None,
) -> LoadedLangCell:
    """Load a model and its processor and make sure that they belong together.

    Args:
        model: a folder, a Hub id, or "langcell-mini" for the bundled weights.
        revision: Hub branch, tag or commit.
        device: where the model goes; the first GPU if there is one, else the CPU.
        dtype: "float32", "bfloat16" or "float16", or a torch.dtype.
        attn_implementation: "eager", "sdpa" or "flash_attention_2"; transformers' choice when None.

    Raises:
        ValueError: a file is missing or damaged, dtype or device is unknown, or the weights and the gene vocabulary
            have different fingerprints.
    """
    folder = bundled_model_folder() if str(model) == DEFAULT_MODEL else Path(model)
    if folder.is_dir():
        _require_files(folder)
    elif folder.exists() or str(model).startswith((".", "/", "~")) or str(model).count("/") != 1:
        raise ValueError(f"{model} is no model folder; give a folder, a Hub id (org/name) or {DEFAULT_MODEL!r}.")
    place = folder if folder.is_dir() else str(model)
    torch_dtype, chosen_device = as_dtype(dtype), choose_device(device)
    try:
        loaded, report = AutoModel.from_pretrained(
            place,
            revision=revision,
            dtype=torch_dtype,
            attn_implementation=attn_implementation,
            output_loading_info=True,
        )
        processor = AutoProcessor.from_pretrained(place, revision=revision)
    except Exception as error:  # damaged files raise a dozen types; the user needs to know which model it is
        raise ValueError(f"{model} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(loaded, LangCellModel):
        raise ValueError(f"{model} holds a {type(loaded).__name__}, not a LangCell model.")
    if missing := sorted(report["missing_keys"]):
        # transformers would go on with random numbers in their place.
        raise ValueError(f"{model} lacks {len(missing)} weights, such as {missing[0]}; download or convert it again.")
    check_same_vocabulary(
        str(loaded.config.vocabulary_fingerprint),
        processor.feature_extractor.vocabulary.fingerprint,
        f"the model {model}",
        f"its {VOCABULARY_FILE}",
    )
    commit = getattr(loaded.config, "_commit_hash", None)
    return LoadedLangCell(
        model=loaded.eval().to(chosen_device),  # pyright: ignore[reportArgumentType]  # decorated without its types
        processor=processor,
        model_id=folder.resolve().name if folder.is_dir() else str(model),
        revision=commit or weights_digest(folder),
    )


def as_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """A torch.dtype from its name."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in _DTYPES:
        raise ValueError(f"dtype is {dtype!r}; legal are {', '.join(_DTYPES)}.")
    return _DTYPES[dtype]


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or the best one here.

    Raises:
        ValueError: no such device on this machine.
    """
    if device is None:
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator if accelerator is not None else torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen).cpu()  # "meta" can be made but never read
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"Device {str(device)!r} cannot be used here ({reason}); 'cpu' always can.") from error
    return chosen


def weights_digest(folder: Path) -> str:
    """The first 12 hexadecimal digits of the sha256 over a folder's safetensors files."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()[:12]


def _require_files(folder: Path) -> None:
    missing = [name for name in _NEEDED_FILES if not (folder / name).is_file()]
    if not list(folder.glob("*.safetensors")):
        missing.append("model.safetensors")
    if missing:
        raise ValueError(
            f"{folder} is not a complete LangCell folder: {', '.join(missing)} missing; download or convert it again."
        )
