"""What a call returns and refuses: order, attention weights, states of some layers, unknown arguments, features."""

from dataclasses import fields

import pytest
import torch
from tiny import tiny_config, tiny_model
from torch.testing import assert_close
from transformers.modeling_outputs import BaseModelOutputWithPooling

from langcell.modeling_langcell import LangCellForCellClassification, LangCellModel, LangCellOutput

FEATURES = ("get_cell_features", "get_text_features")


def inputs_of(method, batch):
    of_cells = method == "get_cell_features"
    return {name: tensor for name, tensor in batch.items() if name.startswith("cell_") == of_cells}


def eager(model):
    model.set_attn_implementation("eager")
    return model


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"return_match_logits": True, "return_masked_gene_logits": True}])
def test_values_come_in_the_order_of_the_fields(model, batch, options):
    output = model(**batch, **options)
    assert list(output) == [field.name for field in fields(LangCellOutput) if getattr(output, field.name) is not None]
    assert output[0] is output.logits_per_cell
    assert_close(model(**batch, **options, return_dict=False)[0], output.logits_per_cell)


def test_the_loss_comes_first(model, batch):
    cells = inputs_of("get_cell_features", batch)
    loss, *others = model(**cells, labels=batch["cell_input_ids"], return_dict=False)
    assert loss.ndim == 0
    assert others[0].shape == (5, 8)


def test_masked_gene_loss_is_the_mean_over_labelled_genes(model, batch):
    labels = torch.full_like(batch["cell_input_ids"], -100)
    labels[1, 2], labels[3, 4] = 7, 9
    output = model(**batch, labels=labels, return_masked_gene_logits=True)
    logits = output.masked_gene_logits[[1, 3], [2, 4]]
    assert_close(output.loss, torch.nn.functional.cross_entropy(logits, torch.tensor([7, 9])))
    assert_close(model(**batch, labels=torch.full_like(labels, -100)).loss, torch.tensor(0.0))


def test_labels_that_are_not_one_for_each_gene(model, batch):
    with pytest.raises(ValueError, match=r"labels have shape \(5,\), cell_input_ids \(5, 26\)"):
        model(**batch, labels=torch.zeros(5, dtype=torch.long))


@pytest.mark.parametrize("how", ["argument", "config"])
def test_attention_weights_of_both_encoders(batch, how):
    model = eager(tiny_model())
    model.config.output_attentions = how == "config"
    output = model(**batch, **({"output_attentions": True} if how == "argument" else {}))
    assert [tuple(a.shape) for a in output.cell_model_output.attentions] == [(5, 2, 26, 26)] * 2
    assert [tuple(a.shape) for a in output.text_model_output.attentions] == [(3, 4, 13, 13)] * 3
    for weights in (*output.cell_model_output.attentions, *output.text_model_output.attentions):
        assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert_close(output.text_embeds, tiny_model()(**batch).text_embeds, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_attention_of_texts_to_cells(batch):
    encoder, model = eager(tiny_model()).text_encoder, tiny_model()
    cells = {"cell_states": model.get_cell_states(batch["cell_input_ids"][:3], batch["cell_attention_mask"][:3])}
    cells["cell_attention_mask"] = batch["cell_attention_mask"][:3]
    output = encoder(batch["input_ids"], batch["attention_mask"], **cells, output_attentions=True)
    # Layer 0 of the tiny model reads no cell.
    assert [tuple(a.shape) for a in output.cross_attentions] == [(3, 4, 13, 26)] * 2
    hidden = output.cross_attentions[0].masked_select(cells["cell_attention_mask"][:, None, None] == 0)
    assert not hidden.any()


def test_attention_weights_of_the_classifier(batch):
    classifier = eager(LangCellForCellClassification(tiny_config()).eval())
    output = classifier(**inputs_of("get_cell_features", batch), output_attentions=True)
    assert [tuple(a.shape) for a in output.attentions] == [(5, 2, 26, 26)] * 2


@pytest.mark.parametrize("model_class", [LangCellModel, LangCellForCellClassification])
def test_attention_that_has_no_weights_says_so(batch, model_class):
    model = model_class(tiny_config())
    with pytest.raises(ValueError, match="output_attentions needs 'eager' attention; load the model with") as error:
        model(**inputs_of("get_cell_features", batch), output_attentions=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layers", "kept"),
    [
        pytest.param([-1], {3}, id="last"),
        pytest.param([0, 2], {0, 2}, id="two"),
        pytest.param(1, {1}, id="one"),
        pytest.param(0, {0}, id="zero_is_a_place"),
        pytest.param([9], set(), id="not_there"),
    ],
)
def test_states_of_some_layers(model, batch, layers, kept):
    texts = inputs_of("get_text_features", batch)
    all_states = model(**texts, output_hidden_states=True).text_model_output.hidden_states
    some = model(**texts, output_hidden_states=layers).text_model_output.hidden_states
    assert {place for place, state in enumerate(some) if state is not None} == kept
    assert len(some) == len(all_states)
    for place in kept:
        assert_close(some[place], all_states[place])


def test_states_of_some_layers_of_cells(model, batch):
    states = model(**batch, output_hidden_states=[-1]).cell_model_output.hidden_states
    assert [state is None for state in states] == [True, True, False]
    assert model(**batch, output_hidden_states=[]).cell_model_output.hidden_states is None


@torch.no_grad()
@pytest.mark.parametrize("method", FEATURES)
def test_features_are_as_the_configuration_asks(batch, method):
    model = tiny_model()
    features, inputs = getattr(model, method), inputs_of(method, batch)
    expected = features(**inputs, return_dict=True).pooler_output
    model.config.output_hidden_states = True
    output = features(**inputs)
    assert_close(output.pooler_output, expected)
    assert len(output.hidden_states) == {"get_cell_features": 3, "get_text_features": 4}[method]
    model.config.output_hidden_states, model.config.return_dict = False, False
    assert_close(features(**inputs)[1], expected)


@pytest.mark.parametrize("name", ["cell_atention_mask", "return_loss", "inputs_embeds"])
def test_unknown_arguments_are_refused(model, batch, name):
    classifier = LangCellForCellClassification(tiny_config())
    cells = inputs_of("get_cell_features", batch)
    for refuse in (model, classifier, model.get_cell_features):
        with pytest.raises(TypeError, match=f"takes no '{name}'; legal are .*cell_attention_mask") as error:
            refuse(**cells, **{name: torch.ones(1)})
        assert "\n" not in str(error.value)
    with pytest.raises(TypeError, match=f"LangCellTextEncoder takes no '{name}'"):
        model.text_encoder(batch["input_ids"], **{name: 1})


@torch.no_grad()
def test_what_peft_leaves_open_is_no_argument(batch):
    classifier = LangCellForCellClassification(tiny_config()).eval()
    cells = inputs_of("get_cell_features", batch)
    left_open = dict.fromkeys(["input_ids", "attention_mask", "inputs_embeds", "output_attentions", "return_dict"])
    assert_close(classifier(**cells, **left_open).logits, classifier(**cells).logits)


def test_gene_ids_under_the_name_of_words_are_refused(batch):
    with pytest.raises(TypeError, match="takes no 'input_ids'; legal are cell_input_ids"):
        LangCellForCellClassification(tiny_config())(batch["cell_input_ids"], input_ids=batch["cell_input_ids"])


@pytest.mark.parametrize("method", FEATURES)
def test_features_are_a_tensor_for_one_more_release(model, batch, method):
    inputs = inputs_of(method, batch)
    with pytest.warns(FutureWarning, match=f"{method} returns the embeddings alone in this release.*return_dict=True"):
        embeds = getattr(model, method)(**inputs)
    assert_close(embeds, getattr(model, method)(**inputs, return_dict=True).pooler_output)


@pytest.mark.parametrize("method", FEATURES)
def test_features_with_an_option_are_transformers_output(model, batch, method):
    inputs = inputs_of(method, batch)
    output = getattr(model, method)(**inputs, output_hidden_states=True)
    assert isinstance(output, BaseModelOutputWithPooling)
    assert_close(output.last_hidden_state, output.hidden_states[-1])
    states, embeds = getattr(model, method)(**inputs, return_dict=False)
    assert_close((states, embeds), (output.last_hidden_state, output.pooler_output))


@torch.no_grad()
def test_masked_gene_logits_with_the_cell_encoder_on_disk(tiny_model_dir, tmp_path, batch):
    parts = ("text_encoder", "cell_projection", "text_projection", "match_head", "masked_gene_head")
    places = {"cell_encoder": "disk", **dict.fromkeys(parts, "cpu")}
    offloaded = type(tiny_model()).from_pretrained(tiny_model_dir, device_map=places, offload_folder=tmp_path).eval()
    expected = tiny_model()(**batch, return_masked_gene_logits=True).masked_gene_logits
    assert_close(offloaded(**batch, return_masked_gene_logits=True).masked_gene_logits, expected)
