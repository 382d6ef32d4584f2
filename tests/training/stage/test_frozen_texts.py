"""Texts that are encoded beforehand give the losses that texts encoded in every step give."""

import pytest
import torch
from tiny import TEXTS, tiny_batch, tiny_config, tiny_model, tiny_tokenizer
from torch.testing import assert_close

from langcell.training.settings.sections import CellCell, CellText, CellTextMatching, MaskedGene, Objectives
from langcell.training.stage.frozen_texts import FrozenTexts
from langcell.training.stage.stage import PretrainingStage, freeze

FROZEN = [r"^text_encoder\.(?!.*crossattention)"]
OBJECTIVES = Objectives(
    masked_gene=MaskedGene(weight=0),
    cell_cell=CellCell(weight=0),
    cell_text=CellText(weight=1),
    cell_text_matching=CellTextMatching(weight=1),
)


def last_layer_reads(**text):
    return tiny_model(tiny_config(text={"cross_attention_start": 2, **text}))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_losses_and_gradients_are_those_of_texts_encoded_in_the_step(pooling):
    n_texts = len(TEXTS)
    batch = tiny_batch(n_texts)
    codes = torch.arange(n_texts)
    batch |= {name: codes for name in ("cell_description", "cell_type", "text_description", "text_type", "own_text")}
    results = []
    for cached in (False, True):
        model = last_layer_reads(pooling=pooling)
        freeze(model, patterns=FROZEN)
        stage = PretrainingStage(model, OBJECTIVES).train()
        if cached:
            stage.cache_texts(list(TEXTS), tiny_tokenizer(), max_text_length=64)
        torch.manual_seed(0)  # the negatives are drawn
        losses = stage(batch)
        losses["loss"].backward()
        results.append((losses, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    (plain, plain_gradients), (cached, cached_gradients) = results
    assert_close(plain, cached, rtol=1e-5, atol=1e-6)
    assert_close(plain_gradients, cached_gradients, rtol=1e-4, atol=1e-6)


def test_a_trained_text_encoder_is_refused():
    stage = PretrainingStage(last_layer_reads(), OBJECTIVES)
    with pytest.raises(ValueError, match="frozen text encoder"):
        stage.cache_texts(list(TEXTS), tiny_tokenizer(), max_text_length=64)


def test_several_reading_layers_are_refused():
    with pytest.raises(ValueError, match="cross_attention_start 1 of 3"):
        FrozenTexts.encode(tiny_model(), list(TEXTS), tiny_tokenizer(), max_text_length=64)
