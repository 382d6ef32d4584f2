"""What a loaded model of any kind has, whether torch or onnxruntime computes it."""

from typing import Any, Protocol

import torch

from langcell.configuration_langcell import LangCellConfig
from langcell.encoders_langcell import Encoders
from langcell.processing.processing_langcell import LangCellProcessor


class ComputingModel(Protocol):
    """Where a model computes, in what, and how large it is."""

    @property
    def config(self) -> Any:
        """Its configuration."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights."""
        ...

    @property
    def device(self) -> torch.device:
        """Where its inputs have to be."""
        ...


class LoadedModel(Protocol):
    """A model that can be run over cells; the attributes are those of `LoadedLangCell`."""

    @property
    def model(self) -> ComputingModel:
        """The model, or the facts that one has."""
        ...

    @property
    def processor(self) -> LangCellProcessor:
        """Its cells-and-text processor."""
        ...

    @property
    def model_id(self) -> str:
        """What was asked for."""
        ...

    @property
    def revision(self) -> str:
        """The Hub commit, or the start of the weights' sha256."""
        ...


class LoadedScorer(LoadedModel, Protocol):
    """A model that compares cells with texts."""

    @property
    def config(self) -> LangCellConfig:
        """Its configuration."""
        ...

    @property
    def encoders(self) -> Encoders:
        """What scores are computed with."""
        ...

    def compute_in(self, dtype: torch.dtype) -> None:
        """Go on in another dtype, where the model can: labels are encoded in float32, and cells in a faster one."""
        ...
