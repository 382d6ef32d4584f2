"""LangCell: language-cell models that name single cells by text.

>>> import langcell
>>> langcell.LangCellConfig().projection_dim
256
"""

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoProcessor,
)

from langcell.configuration_langcell import LangCellCellConfig, LangCellConfig, LangCellTextConfig
from langcell.inference.annotation import annotate, embed
from langcell.inference.zero_shot import LabelScores, score_labels
from langcell.loading import DEFAULT_MODEL, load
from langcell.modeling_langcell import (
    LangCellForCellClassification,
    LangCellForPreTraining,
    LangCellModel,
    LangCellOutput,
)
from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.genes import GeneVocabulary
from langcell.processing.processing_langcell import LangCellProcessor

# With these, the Auto classes need no trust_remote_code in a process that has imported langcell.
AutoConfig.register("langcell", LangCellConfig)
AutoModel.register(LangCellConfig, LangCellModel)
AutoModelForPreTraining.register(LangCellConfig, LangCellForPreTraining)
AutoModelForSequenceClassification.register(LangCellConfig, LangCellForCellClassification)
AutoFeatureExtractor.register(LangCellConfig, LangCellFeatureExtractor)
AutoProcessor.register(LangCellConfig, LangCellProcessor)

__all__ = [
    "DEFAULT_MODEL",
    "GeneVocabulary",
    "LabelScores",
    "LangCellCellConfig",
    "LangCellConfig",
    "LangCellFeatureExtractor",
    "LangCellForCellClassification",
    "LangCellForPreTraining",
    "LangCellModel",
    "LangCellOutput",
    "LangCellProcessor",
    "LangCellTextConfig",
    "annotate",
    "embed",
    "load",
    "score_labels",
]
