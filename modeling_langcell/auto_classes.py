"""Makes LangCell known to transformers' Auto classes, which then need no trust_remote_code in this process."""

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoProcessor,
)

from langcell.configuration_langcell import LangCellConfig
from langcell.modeling_langcell import LangCellForCellClassification, LangCellForPreTraining, LangCellModel
from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.processing_langcell import LangCellProcessor

AutoConfig.register("langcell", LangCellConfig)
AutoModel.register(LangCellConfig, LangCellModel)
AutoModelForPreTraining.register(LangCellConfig, LangCellForPreTraining)
AutoModelForSequenceClassification.register(LangCellConfig, LangCellForCellClassification)
AutoFeatureExtractor.register(LangCellConfig, LangCellFeatureExtractor)
AutoProcessor.register(LangCellConfig, LangCellProcessor)
