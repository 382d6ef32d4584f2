import pytest
import tiny
import torch

from langcell.inference.scoring.zero_shot import score_labels
from langcell.modeling_langcell import LangCellForCellClassification, LangCellModel
from langcell.training.fine_tuning import label_learners
from langcell.training.fine_tuning.adapters import mark_trainable
from langcell.training.fine_tuning.label_learners import ClassLearner, TextLearner
from langcell.training.fine_tuning.options import TuningOptions
from langcell.training.objectives.label_naming import label_matching_loss, similarity_loss


def base(**text):
    model = LangCellModel(tiny.tiny_config(text=text))
    model.load_state_dict(tiny.tiny_model(tiny.tiny_config(text=text)).state_dict(), strict=False)
    return model.eval()


@pytest.fixture
def inputs():
    whole = tiny.tiny_batch()
    tokens = {name: whole[name] for name in ("input_ids", "attention_mask")}
    cells = {name: whole[name] for name in ("cell_input_ids", "cell_attention_mask")}
    return tokens, {**cells, "codes": torch.tensor([0, 1, 2, 0, 1])}


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("method", ["lora", "head", "full"])
def test_scores_and_losses_are_those_of_naming(inputs, method, pooling):
    tokens, batch = inputs
    model = base(pooling=pooling)
    expected = score_labels(
        model, **tokens, **{name: batch[name] for name in ("cell_input_ids", "cell_attention_mask")}, rerank="full"
    )
    output = model(
        **tokens, **{name: value for name, value in batch.items() if name != "codes"}, return_match_logits=True
    )
    loss = similarity_loss(output.logits_per_cell, batch["codes"]) + label_matching_loss(
        output.match_logits, batch["codes"]
    )
    # A fresh adapter changes nothing yet.
    mark_trainable(model, TuningOptions(method=method), base="tiny")
    learner = TextLearner(model, tokens).eval()
    assert learner.texts_are_fixed == (method != "full")
    torch.testing.assert_close(learner.scores(batch), expected.score)
    torch.testing.assert_close(learner(batch), loss)


def test_with_many_labels_only_the_hardest_are_matched(inputs, monkeypatch):
    tokens, batch = inputs
    learner = TextLearner(base(), tokens).eval()
    every = learner(batch)
    monkeypatch.setattr(label_learners, "MOST_MATCHED_LABELS", 2)
    assert not torch.allclose(learner(batch), every)


def test_fixed_texts_stay_without_dropout(inputs):
    tokens, batch = inputs
    model = base()
    mark_trainable(model, TuningOptions(method="lora"), base="tiny")
    learner = TextLearner(model, tokens).train()
    assert not model.text_encoder.training
    assert model.cell_encoder.training
    learner(batch).sum().backward()
    trained = {name for name, weight in learner.named_parameters() if weight.grad is not None}
    assert all("lora_" in name or "modules_to_save" in name for name in trained)
    for part in ("cell_encoder", "crossattention", "match_head", "cell_projection", "text_projection"):
        assert any(part in name for name in trained), part


def test_class_learner_is_cross_entropy_and_softmax(inputs):
    _, batch = inputs
    config = tiny.tiny_config()
    config.id2label = {0: "a", 1: "b", 2: "c"}
    torch.manual_seed(0)
    model = LangCellForCellClassification(config).eval()
    learner = ClassLearner(model)
    output = model(batch["cell_input_ids"], batch["cell_attention_mask"], labels=batch["codes"])
    torch.testing.assert_close(learner(batch).mean(), output.loss)
    torch.testing.assert_close(learner.scores(batch), output.logits.softmax(-1))
