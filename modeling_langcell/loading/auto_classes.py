"""Makes LangCell known to transformers' Auto classes and `pipeline`, which then need no trust_remote_code here."""

import copy
from typing import Any

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

from langcell.configuration_langcell import LangCellConfig
from langcell.modeling_langcell import LangCellForCellClassification, LangCellForPreTraining, LangCellModel
from langcell.pipeline_langcell import EMBEDDING_TASK, LangCellPipeline
from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.processing_langcell import LangCellProcessor

AutoConfig.register("langcell", LangCellConfig)
AutoModel.register(LangCellConfig, LangCellModel)
AutoModelForPreTraining.register(LangCellConfig, LangCellForPreTraining)
AutoModelForSequenceClassification.register(LangCellConfig, LangCellForCellClassification)
AutoFeatureExtractor.register(LangCellConfig, LangCellFeatureExtractor)
AutoProcessor.register(LangCellConfig, LangCellProcessor)


class _PipelinesOfFiles:
    """`custom_pipelines` of a configuration: files keep all of them, transformers sees those that are not registered.

    It asks for trust_remote_code wherever it sees one, whether or not it knows the class already.
    """

    def __get__(self, config: LangCellConfig | None, owner: type) -> Any:
        if config is None:
            return self
        # Embeddings are a task of transformers itself, whose own class has to stay for all other models.
        kept = config.__dict__.get("custom_pipelines", {})
        return copy.deepcopy({task: kept[task] for task in kept if task == EMBEDDING_TASK})

    def __set__(self, config: LangCellConfig, value: dict[str, Any]) -> None:
        config.__dict__["custom_pipelines"] = value


PIPELINE_REGISTRY.register_pipeline(
    "zero-shot-cell-annotation", pipeline_class=LangCellPipeline, pt_model=AutoModel, type="multimodal"
)
LangCellConfig.custom_pipelines = _PipelinesOfFiles()  # pyright: ignore[reportAttributeAccessIssue]
