"""Options that name a model and say how it computes; imports no library."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from langcell.processing.options import option

if TYPE_CHECKING:
    from langcell.loading.load import LoadedLangCell
    from langcell.loading.onnx_model import OnnxLangCell

BUNDLED_MODEL = "langcell-mini"
"""What the weights that come with the package are called; no id on the Hub."""

AUTO_DTYPE = "auto"
DTYPES = ("float32", "bfloat16", "float16")
# What people call devices that torch calls otherwise.
_OTHER_NAMES = {"gpu": "cuda", "nvidia": "cuda", "metal": "mps", "apple": "mps"}


def check_dtype(dtype: str) -> None:
    """Refuse a number format by its name.

    Raises:
        ValueError: unknown name.
    """
    if dtype not in (*DTYPES, AUTO_DTYPE):
        raise ValueError(f"dtype is {dtype!r}; legal are {', '.join(DTYPES)}, {AUTO_DTYPE}.")


@dataclass(frozen=True)
class PlacedModel:
    """A model, and the device that it runs on."""

    panel: ClassVar[str] = "Model"

    model: "str | Path | LoadedLangCell" = option(
        BUNDLED_MODEL, "Model: folder, Hub id, or langcell-mini (bundled).", cli_type=str
    )
    device: str | None = option(None, "Device: cpu, cuda, mps, ...; the best one available when not given.")

    def __post_init__(self) -> None:
        if isinstance(self.device, str) and (name := _OTHER_NAMES.get(self.device.lower())):
            raise ValueError(f"Device {self.device!r} is called {name!r}; 'cpu' is always there.")


@dataclass(frozen=True)
class ModelOptions(PlacedModel):
    """A model, its device and its number format."""

    dtype: str = option(
        AUTO_DTYPE, "Number format: float32, bfloat16, float16, or auto (bfloat16 where the device is fast at it)."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.dtype, str):
            check_dtype(self.dtype)


@dataclass(frozen=True)
class AdaptedModelOptions(ModelOptions):
    """A model that may have an adapter, or an ONNX export."""

    model: "str | Path | LoadedLangCell | OnnxLangCell | None" = option(
        None,
        "Model: folder, Hub id, or folder of an ONNX export; when not given, langcell-mini (bundled) or the base that "
        "the adapter names.",
        cli_type=str,
    )
    adapter: str | Path | None = option(
        None, "Adapter for the model: folder or Hub id of what langcell finetune wrote.", cli_type=str
    )


@dataclass(frozen=True)
class ClassifierOptions(ModelOptions):
    """A fine-tuned classifier, complete or as an adapter."""

    model: Any = option(
        None,
        "Fine-tuned classifier: folder or Hub id. With an adapter its base model; the one that the adapter names when "
        "not given.",
        cli_type=str,
    )
    adapter: str | Path | None = option(None, "Classification adapter: folder or Hub id.", cli_type=str)
