"""The models of langcell in transformers' common tests; `run.py` puts this file in place."""

import unittest
from typing import Any

import torch
from tests.test_configuration_common import ConfigTester
from tests.test_modeling_common import ModelTesterMixin
from tiny import TEXTS, tiny_batch, tiny_config

from langcell import LangCellConfig, LangCellForCellClassification, LangCellForPreTraining, LangCellModel

N_CELLS = 5


class TinyInputs:
    """What the common tests ask of a model's own tester: a configuration, inputs and their sizes."""

    def __init__(self, *, is_training: bool, texts_alone: bool = False) -> None:
        self.is_training = is_training
        self.texts_alone = texts_alone
        batch = self.batch()
        self.batch_size = len(TEXTS) if texts_alone else N_CELLS
        self.seq_length = batch["input_ids" if texts_alone else "cell_input_ids"].shape[1]
        config = self.get_config()
        encoder = config.text_config if texts_alone else config.cell_config
        self.hidden_size = encoder.hidden_size
        self.num_hidden_layers = encoder.num_hidden_layers
        self.num_attention_heads = encoder.num_attention_heads

    def batch(self) -> dict[str, torch.Tensor]:
        batch = tiny_batch(N_CELLS)
        return {name: value for name, value in batch.items() if not (self.texts_alone and name.startswith("cell"))}

    def get_config(self) -> LangCellConfig:
        config = tiny_config(cell={"hidden_dropout_prob": 0.1})
        config._attn_implementation = "eager"
        return config

    def prepare_config_and_inputs_for_common(self) -> tuple[LangCellConfig, dict[str, torch.Tensor]]:
        return self.get_config(), self.batch()

    prepare_config_and_inputs = prepare_config_and_inputs_for_common


class OfLangCell(ModelTesterMixin):
    """What the common tests are told about every model of langcell."""

    # LangCellOutput holds the outputs of two encoders, and states and attentions of each stand in there.
    has_attentions = False
    is_training = False

    def setUp(self) -> None:
        self.model_tester: Any = TinyInputs(is_training=self.is_training)
        self.model_tester.text_model_tester = TinyInputs(is_training=self.is_training, texts_alone=True)
        properties = ["projection_dim"]
        self.config_tester = ConfigTester(
            self, config_class=LangCellConfig, has_text_modality=False, common_properties=properties
        )


class ModelTest(OfLangCell, unittest.TestCase):
    all_model_classes = (LangCellModel,)

    def test_config(self) -> None:
        self.config_tester.run_common_tests()


class PreTrainingTest(OfLangCell, unittest.TestCase):
    all_model_classes = (LangCellForPreTraining,)
    is_training = True
    # Its loss is that of hidden genes, which reaches no weight of the text encoder.
    test_all_params_have_gradient = False

    def _prepare_for_class(self, inputs_dict: dict, model_class: type, return_labels: bool = False) -> dict[str, Any]:
        return {**inputs_dict, **({"labels": inputs_dict["cell_input_ids"].clone()} if return_labels else {})}


class ClassificationTest(OfLangCell, unittest.TestCase):
    all_model_classes = (LangCellForCellClassification,)
    has_attentions = True
    is_training = True

    def _prepare_for_class(self, inputs_dict: dict, model_class: type, return_labels: bool = False) -> dict[str, Any]:
        inputs = {name: value for name, value in inputs_dict.items() if name not in ("input_ids", "attention_mask")}
        return {**inputs, **({"labels": torch.zeros(N_CELLS, dtype=torch.long)} if return_labels else {})}
