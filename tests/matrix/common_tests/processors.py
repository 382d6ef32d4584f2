"""The processor and the feature extractor in transformers' common tests; `run.py` puts this file in place."""

import unittest
from typing import Any

from tests.test_feature_extraction_common import FeatureExtractionSavingTestMixin
from tests.test_processing_common import ProcessorTesterMixin
from tiny import tiny_tokenizer, tiny_vocabulary
from transformers import PreTrainedTokenizerFast

from langcell import LangCellFeatureExtractor, LangCellProcessor

LENGTH = 32


class ProcessorTest(ProcessorTesterMixin, unittest.TestCase):
    processor_class = LangCellProcessor
    # The mixin takes every feature extractor for one of sound.
    audio_input_name = "cell_input_ids"

    @classmethod
    def _setup_feature_extractor(cls) -> LangCellFeatureExtractor:
        return LangCellFeatureExtractor(tiny_vocabulary(), max_length=LENGTH)

    @classmethod
    def _setup_tokenizer(cls) -> PreTrainedTokenizerFast:
        return tiny_tokenizer()

    @staticmethod
    def prepare_processor_dict() -> dict[str, Any]:
        return {}


class FeatureExtractorTest(FeatureExtractionSavingTestMixin, unittest.TestCase):
    feature_extraction_class = LangCellFeatureExtractor

    def setUp(self) -> None:
        self.feat_extract_dict = {"vocabulary": tiny_vocabulary(), "max_length": LENGTH}
