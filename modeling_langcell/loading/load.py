"""Finding a model: a folder, a Hub id, or the bundled weights."""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoProcessor
from transformers.utils.hub import cached_file

import langcell.loading.auto_classes  # noqa: F401  (AutoModel below has to know the model)
from langcell.configuration_langcell import LangCellConfig
from langcell.encoders_langcell import TorchEncoders, check_reads_text
from langcell.loading.adapter_files import AdapterFiles, find_adapter, merge_into
from langcell.loading.download_checks import check_download
from langcell.loading.model_kinds import ModelKind, check_kind, quiet_loading
from langcell.loading.onnx_model import is_onnx_folder
from langcell.loading.options import AUTO_DTYPE, BUNDLED_MODEL, check_dtype
from langcell.loading.precision import fast_dtype
from langcell.modeling_langcell import LangCellModel
from langcell.processing.genes import VOCABULARY_FILE, check_same_vocabulary
from langcell.processing.processing_langcell import LangCellProcessor

DEFAULT_MODEL = BUNDLED_MODEL
_NEEDED_FILES = ("config.json", "processor_config.json", "tokenizer.json", VOCABULARY_FILE)


@dataclass(frozen=True)
class LoadedLangCell:
    """A model that is ready to score, with the processor that belongs to it.

    Attributes:
        model: in evaluation mode, on its device.
        processor: its cells-and-text processor.
        model_id: what was asked for: the Hub id, the folder's name, or "langcell-mini".
        revision: the Hub commit, or for a folder the start of the weights' sha256.
        weights: start of the weights' sha256, wherever they came from.
        source: folder or Hub id that the files came from; "" for a model that was put together in memory.

    With an adapter, `model_id`, `revision` and `weights` name both: "base+adapter".

    Raises:
        ValueError: the model reads no text, as a classifier does not.
    """

    model: LangCellModel
    processor: LangCellProcessor
    model_id: str
    revision: str
    weights: str = ""
    source: str | Path = ""

    def __post_init__(self) -> None:
        check_reads_text(self.model)

    @property
    def config(self) -> LangCellConfig:
        """The model's configuration."""
        return self.model.config

    @property
    def encoders(self) -> TorchEncoders:
        """What scores are computed with."""
        return TorchEncoders(self.model)

    def with_options(self, *, dtype: str = AUTO_DTYPE, device: str | torch.device | None = None) -> "LoadedLangCell":
        """Return the model as it was asked for: itself, or a copy for another number format or device.

        Args:
            dtype: number format that it will compute in, see `as_dtype`; with "auto" its own. A copy keeps its weights
                as they are until `compute_in`.
            device: where it has to be; None for where it is.

        Raises:
            ValueError: no such dtype or device.
        """
        return replace(self, model=placed_copy(self.model, dtype=dtype, device=device))

    def compute_in(self, dtype: torch.dtype) -> None:
        """Cast the model."""
        self.model.to(dtype)  # pyright: ignore[reportArgumentType]  # decorated without its types


def bundled_model_folder() -> Path:
    """Return the folder of the weights that come with the package."""
    return Path(str(files("langcell.hub_cards").joinpath(DEFAULT_MODEL)))


def load(
    model: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    revision: str | None = None,
    adapter_revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
    attn_implementation: str | None = None,
) -> LoadedLangCell:
    """Load a model and its processor and make sure that they belong together.

    Args:
        model: a folder, a Hub id, or "langcell-mini" for the bundled weights; when None these, or the base that the
            adapter names.
        adapter: folder or Hub id of what `langcell finetune` made of this model; is merged into it.
        revision: Hub branch, tag or commit.
        adapter_revision: the same for the adapter.
        device: where the model goes; the first GPU if there is one, else the CPU.
        dtype: "float32", "bfloat16" or "float16", a torch.dtype, or "auto": bfloat16 where the device is fast at it.
        attn_implementation: "eager", "sdpa" or "flash_attention_2"; transformers' choice when None.

    Raises:
        ValueError: a file is missing or damaged, dtype or device is unknown, the weights and the gene vocabulary have
            different fingerprints, the adapter belongs to another model, or the model is a classifier or an adapter.
    """
    chosen_device = choose_device(device)
    torch_dtype = as_dtype(dtype, chosen_device)
    found = None if adapter is None else find_adapter(adapter, revision=adapter_revision)
    if model is None:
        model = DEFAULT_MODEL if found is None else found.base
    options = {"revision": revision, "attn_implementation": attn_implementation}
    # The small updates of an adapter are added in float32.
    base = read_model(AutoModel, model, kind="text", dtype=torch_dtype if found is None else torch.float32, **options)
    if not isinstance(base.model, LangCellModel):
        raise ValueError(f"{model} holds a {type(base.model).__name__}, not a LangCell model.")
    require_weights(model, base.missing)
    loaded = base if found is None else with_adapter(base, found, task="text")
    return LoadedLangCell(
        model=loaded.model.to(device=chosen_device, dtype=torch_dtype),
        processor=loaded.processor,
        model_id=loaded.model_id,
        revision=loaded.revision,
        weights=loaded.weights,
        source=loaded.source,
    )


@dataclass(frozen=True)
class ReadModel:
    """A model of any LangCell class as its files have it; the attributes are those of `LoadedLangCell`.

    Attributes:
        missing: names of the class's weights that the files lack, sorted.
    """

    model: Any
    processor: LangCellProcessor
    model_id: str
    revision: str
    weights: str
    missing: list[str]
    source: str | Path = ""


def read_model(
    model_class: Any, model: str | Path, *, kind: ModelKind | None, revision: str | None = None, **options: Any
) -> ReadModel:
    """Read a model and its processor onto the CPU.

    Args:
        model_class: class whose `from_pretrained` reads the weights.
        model: folder, Hub id, or "langcell-mini".
        kind: "text" or "classification", where the model has to be of that kind.
        revision: Hub branch, tag or commit.
        options: options of `from_pretrained`.

    Raises:
        ValueError: there is no such model, it is of another kind, a file is missing or damaged, or the weights and the
            gene vocabulary have different fingerprints.
    """
    if is_onnx_folder(model):
        raise ValueError(
            f"{model} is an ONNX export, which annotate, embed and OnnxLangCell run; give the model it was made of."
        )
    place = _find(model)
    is_folder = Path(place).is_dir()
    check_kind(place, kind, name=model, revision=revision)
    try:
        with quiet_loading():
            loaded, report = model_class.from_pretrained(place, revision=revision, output_loading_info=True, **options)
        processor = AutoProcessor.from_pretrained(place, revision=revision)
        folder = Path(place) if is_folder else Path(str(cached_file(place, "config.json", revision=revision))).parent
        digest = weights_digest(folder)
        if not is_folder:
            check_download(folder)
    except Exception as error:  # damaged files raise a dozen types; the user needs to know which model it is
        raise ValueError(f"{model} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    check_same_vocabulary(
        str(loaded.config.vocabulary_fingerprint),
        processor.feature_extractor.vocabulary.fingerprint,
        f"the model {model}",
        f"its {VOCABULARY_FILE}",
    )
    return ReadModel(
        model=loaded.eval(),
        processor=processor,
        model_id=Path(place).resolve().name if is_folder else str(model),
        revision=digest if is_folder else folder.name,  # the Hub's cache has a folder for each commit
        weights=digest,
        missing=sorted(report["missing_keys"]),
        source=place,
    )


def require_weights(model: str | Path, missing: Sequence[str]) -> None:
    """Refuse a model that lacks weights: transformers would go on with random numbers in their place.

    Args:
        model: what it was called.
        missing: names of the weights that it should have and lacks.

    Raises:
        ValueError: there are some.
    """
    if missing:
        raise ValueError(f"{model} lacks {len(missing)} weights, such as {missing[0]}; download or convert it again.")


def with_adapter(base: ReadModel, adapter: AdapterFiles, *, task: str) -> ReadModel:
    """Return a base and an adapter as one model; the base is used up.

    Raises:
        ValueError: the adapter is for another task or another model.
    """
    adapter.check_task(task)
    fingerprint = base.processor.feature_extractor.vocabulary.fingerprint
    adapter.check_base(base.model_id, fingerprint=fingerprint, weights=base.weights)
    return ReadModel(
        model=merge_into(base.model, adapter),
        processor=base.processor,
        model_id=f"{base.model_id}+{adapter.name}",
        revision=f"{base.revision}+{adapter.revision}",
        weights=f"{base.weights}+{adapter.revision}",
        missing=[],
        source=base.source,
    )


def base_facts(loaded: LoadedLangCell) -> dict[str, str]:
    """Return what a fine-tuned model says of the model that it started from, and an adapter of the one that it belongs
    to."""
    return {
        "model_id": loaded.model_id,
        "revision": loaded.revision,
        "weights": loaded.weights,
        "vocabulary_fingerprint": loaded.processor.feature_extractor.vocabulary.fingerprint,
    }


def load_config(model: str | Path = DEFAULT_MODEL) -> LangCellConfig:
    """Return the configuration of a model without its weights.

    Raises:
        ValueError: there is no such model, or a file is missing or damaged.
    """
    place = model if is_onnx_folder(model) else _find(model)
    try:
        return LangCellConfig.from_pretrained(place)
    except Exception as error:  # as in load
        raise ValueError(f"{model} cannot be loaded: {' '.join(str(error).split())[:300]}") from error


def _find(model: str | Path) -> str | Path:
    """Folder or Hub id of a model.

    Raises:
        ValueError: it is neither, or the folder is not complete.
    """
    if isinstance(model, torch.nn.Module):
        wrapped = "what langcell.load returned, or langcell.loading.load.LoadedLangCell"
        if not hasattr(model, "text_encoder"):
            wrapped = "or langcell.inference.classification.LoadedClassifier"
        raise ValueError(
            f"model is a {type(model).__name__} without its processor; give its folder or Hub id, "
            f"{wrapped}(model, processor, name, revision)."
        )
    if not isinstance(model, str | Path):
        check_reads_text(getattr(model, "model", model))
        raise ValueError(f"model is a {type(model).__name__}; give a folder or a Hub id (org/name).")
    folder = bundled_model_folder() if str(model) == DEFAULT_MODEL else Path(model)
    if folder.is_dir():
        check_kind(folder, None, name=model)
        _require_files(folder)
        return folder
    if folder.exists() or str(model).startswith((".", "/", "~")) or str(model).count("/") != 1:
        raise ValueError(f"{model} is no model folder; give a folder, a Hub id (org/name) or {DEFAULT_MODEL!r}.")
    return str(model)


def as_dtype(dtype: str | torch.dtype, device: torch.device | None = None) -> torch.dtype:
    """Return a torch.dtype from its name; of "auto" the one that the device (the CPU when None) computes fast in.

    Raises:
        ValueError: unknown name.
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == AUTO_DTYPE:
        return fast_dtype(device or torch.device("cpu"))
    check_dtype(dtype)
    return getattr(torch, dtype)


def choose_device(device: str | torch.device | None) -> torch.device:
    """Return the device asked for, or the best one here.

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


def placed_copy(model: Any, *, dtype: str, device: str | torch.device | None) -> Any:
    """Return a loaded model itself, or a copy on another device or for another number format than its own.

    Whoever asks casts the copy, once it has encoded what it wants in the weights as they are.

    Args:
        model: a torch module with `dtype` and `device`.
        dtype: name of the number format; "auto" for the model's own.
        device: None for the model's own.

    Raises:
        ValueError: no such dtype or device.
    """
    wanted = model.device if device is None else choose_device(device)
    elsewhere = wanted.type != model.device.type or wanted.index not in (None, model.device.index)
    other_format = dtype != AUTO_DTYPE and as_dtype(dtype) != model.dtype
    return copy.deepcopy(model).to(wanted) if elsewhere or other_format else model


def weights_digest(folder: Path) -> str:
    """Return the first 12 hexadecimal digits of the sha256 over a folder's safetensors files."""
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
