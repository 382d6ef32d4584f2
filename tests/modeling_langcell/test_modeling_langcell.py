import pytest
import torch
from tiny import TEXTS, tiny_batch, tiny_config, tiny_model, tiny_processor
from torch.testing import assert_close
from transformers import BertConfig, BertModel

from langcell.modeling_langcell import (
    LangCellForCellClassification,
    LangCellForPreTraining,
    LangCellOutput,
)

# What the parts of a forward pass may differ by when only the arrangement of the batch changes.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def cells_of(batch, rows):
    return {**batch, **{name: batch[name][rows] for name in ("cell_input_ids", "cell_attention_mask")}}


def texts_of(batch, rows):
    return {**batch, **{name: batch[name][rows] for name in ("input_ids", "attention_mask")}}


def padded(batch, cell_padding, text_padding):
    """The batch with more padding, filled with an id that would show if it were read."""
    pad = torch.nn.functional.pad
    return {
        "cell_input_ids": pad(batch["cell_input_ids"], (0, cell_padding), value=5),
        "cell_attention_mask": pad(batch["cell_attention_mask"], (0, cell_padding)),
        "input_ids": pad(batch["input_ids"], (0, text_padding), value=7),
        "attention_mask": pad(batch["attention_mask"], (0, text_padding)),
    }


def assert_same_results(output, expected):
    for name in ("cell_embeds", "text_embeds", "match_logits"):
        assert_close(output[name], expected[name], **CLOSE, msg=lambda text, name=name: f"{name}: {text}")


@torch.no_grad()
def run(model, batch, **options):
    return model(**batch, return_match_logits=True, **options)


# What the model returns


def test_output(model, batch):
    output = run(model, batch)
    assert isinstance(output, LangCellOutput)
    assert output.cell_embeds.shape == (5, 8)
    assert output.text_embeds.shape == (3, 8)
    assert output.logits_per_cell.shape == (5, 3)
    assert output.match_logits.shape == (5, 3, 2)
    assert output.cell_model_output.last_hidden_state.shape == (5, 26, 16)
    assert output.text_model_output.last_hidden_state.shape == (3, 13, 24)
    assert output.masked_gene_logits is None


def test_embeddings_have_unit_length(model, batch):
    output = run(model, batch)
    assert_close(output.cell_embeds.norm(dim=-1), torch.ones(5))
    assert_close(output.text_embeds.norm(dim=-1), torch.ones(3))


def test_logits_are_cosines_over_the_temperature(model, batch):
    output = run(model, batch)
    cosines = torch.nn.functional.cosine_similarity(output.cell_embeds[:, None], output.text_embeds[None], dim=-1)
    assert_close(output.logits_per_cell, cosines / 0.05)
    assert_close(output.logits_per_text, output.logits_per_cell.T)


def test_the_match_is_made_on_request_only(model, batch):
    with torch.no_grad():
        assert model(**batch).match_logits is None


def test_features_are_the_embeddings_of_the_forward(model, batch):
    output = run(model, batch)
    with torch.no_grad():
        cells = model.get_cell_features(batch["cell_input_ids"], batch["cell_attention_mask"], return_dict=True)
        texts = model.get_text_features(batch["input_ids"], batch["attention_mask"], return_dict=True)
    assert_close((cells.pooler_output, texts.pooler_output), (output.cell_embeds, output.text_embeds))


@torch.no_grad()
def test_cells_alone_and_texts_alone(model, batch):
    both = run(model, batch)
    cells = model(cell_input_ids=batch["cell_input_ids"], cell_attention_mask=batch["cell_attention_mask"])
    texts = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    assert_close(cells.cell_embeds, both.cell_embeds)
    assert_close(texts.text_embeds, both.text_embeds)
    assert set(cells) == {"cell_model_output", "cell_embeds"}
    assert set(texts) == {"text_model_output", "text_embeds"}


@torch.no_grad()
def test_without_masks_everything_is_read(model, batch):
    full = {name: torch.ones_like(tensor) if "mask" in name else tensor for name, tensor in batch.items()}
    without = {name: tensor for name, tensor in batch.items() if "mask" not in name}
    assert_same_results(run(model, without), run(model, full))


@pytest.mark.parametrize("how", ["argument", "config"])
def test_return_dict_false_gives_a_tuple(batch, how):
    model = tiny_model(tiny_config(return_dict=how == "argument"))
    expected = run(tiny_model(), batch)
    values = run(model, batch, **({"return_dict": False} if how == "argument" else {}))
    assert isinstance(values, tuple)
    assert len(values) == len(expected.to_tuple()) == 7
    assert_close(values[2], expected.cell_embeds)


@pytest.mark.parametrize("how", ["argument", "config"])
def test_hidden_states_of_all_layers(batch, how):
    model = tiny_model(tiny_config(output_hidden_states=how == "config"))
    output = run(model, batch, **({"output_hidden_states": True} if how == "argument" else {}))
    assert len(output.cell_model_output.hidden_states) == 2 + 1
    assert len(output.text_model_output.hidden_states) == 3 + 1
    assert_close(output.text_model_output.hidden_states[-1], output.text_model_output.last_hidden_state)


@torch.no_grad()
def test_masked_gene_logits(model, batch):
    output = model(
        cell_input_ids=batch["cell_input_ids"],
        cell_attention_mask=batch["cell_attention_mask"],
        return_masked_gene_logits=True,
    )
    assert output.masked_gene_logits.shape == (5, 26, model.config.cell_config.vocab_size)
    some = output.cell_model_output.last_hidden_state[1, 2:4]
    assert_close(model.masked_gene_logits(some), output.masked_gene_logits[1, 2:4])


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        pytest.param((), {}, "neither cell_input_ids nor input_ids", id="nothing"),
        pytest.param(("input_ids",), {"return_match_logits": True}, "needs both", id="match_without_cells"),
        pytest.param(("cell_input_ids",), {"return_match_logits": True}, "needs both", id="match_without_texts"),
        pytest.param(("input_ids",), {"return_masked_gene_logits": True}, "need cell_input_ids", id="genes_of_texts"),
    ],
)
def test_inputs_that_are_not_enough(model, batch, inputs, options, message):
    with pytest.raises(ValueError, match=message):
        model(**{name: batch[name] for name in inputs}, **options)


# Attention, cross-attention, pooling


@pytest.mark.parametrize("cross_attention_start", [0, 1, 2])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@torch.no_grad()
def test_match_equals_the_plain_forward_of_each_pair(batch, cross_attention_start, implementation):
    model = tiny_model(tiny_config(text={"cross_attention_start": cross_attention_start}))
    model.set_attn_implementation(implementation)
    output = run(model, batch)
    cell_states = output.cell_model_output.last_hidden_state
    for cell in range(5):
        for text in range(3):
            states = model.text_encoder(
                batch["input_ids"][text : text + 1],
                batch["attention_mask"][text : text + 1],
                cell_states=cell_states[cell : cell + 1],
                cell_attention_mask=batch["cell_attention_mask"][cell : cell + 1],
            ).last_hidden_state
            assert_close(model.match_head(states[0, 0]), output.match_logits[cell, text], **CLOSE)


@torch.no_grad()
def test_match_of_chosen_pairs(model, batch):
    output = run(model, batch)
    cell_states = output.cell_model_output.last_hidden_state
    cell_index, text_index = torch.tensor([4, 0, 0, 2]), torch.tensor([1, 1, 2, 0])
    arguments = (batch["input_ids"], batch["attention_mask"], cell_states, batch["cell_attention_mask"])
    chosen = model.match(*arguments, cell_index, text_index)
    assert_close(chosen, output.match_logits[cell_index, text_index], **CLOSE)
    first_three = model.match(
        *arguments[:2], cell_states[:3], batch["cell_attention_mask"][:3]
    )  # without indices: text i with cell i
    assert_close(first_three, output.match_logits[range(3), range(3)], **CLOSE)


@torch.no_grad()
def test_the_match_depends_on_the_cell_and_the_embedding_of_the_text_does_not(model, batch):
    one, other = run(model, cells_of(batch, [0])), run(model, cells_of(batch, [1]))
    assert (one.match_logits - other.match_logits).abs().min() > 1e-3
    assert_close(one.text_embeds, other.text_embeds, rtol=0, atol=0)


def test_cross_attention_stands_only_where_the_config_says():
    model = tiny_model(tiny_config(text={"cross_attention_start": 2}))
    assert [layer.crossattention is not None for layer in model.text_encoder.layer] == [False, False, True]


def test_eager_equals_sdpa(batch):
    results = {}
    for implementation in ("eager", "sdpa"):
        model = LangCellForPreTraining._from_config(tiny_config(), attn_implementation=implementation).eval()
        model.load_state_dict(tiny_model().state_dict())
        for part in (model, model.cell_encoder, model.text_encoder):
            assert part.config._attn_implementation == implementation
        results[implementation] = run(model, batch)
    assert_same_results(results["eager"], results["sdpa"])


@torch.no_grad()
def test_cell_encoder_is_bert(model, batch):
    cell = model.config.cell_config
    bert = BertModel(
        BertConfig(
            vocab_size=cell.vocab_size,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            hidden_act="relu",
            pad_token_id=0,
        ),
        add_pooling_layer=False,
    ).eval()
    bert.load_state_dict(model.cell_encoder.state_dict())
    expected = bert(input_ids=batch["cell_input_ids"], attention_mask=batch["cell_attention_mask"]).last_hidden_state
    assert_close(model.get_cell_states(batch["cell_input_ids"], batch["cell_attention_mask"]), expected, **CLOSE)


@torch.no_grad()
def test_text_encoder_without_a_cell_is_bert(model, batch):
    text = model.config.text_config
    bert = BertModel(
        BertConfig(
            vocab_size=text.vocab_size,
            hidden_size=24,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=24,
            type_vocab_size=1,
        ),
        add_pooling_layer=False,
    ).eval()
    own = {n: t for n, t in model.text_encoder.state_dict().items() if "crossattention" not in n}
    weights = {f"encoder.{n}" if n.startswith("layer.") else n: t for n, t in own.items()}
    weights["embeddings.token_type_embeddings.weight"] = torch.zeros(1, 24)  # LangCell's text encoder has no types
    bert.load_state_dict(weights)
    expected = bert(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    states = model.text_encoder(batch["input_ids"], batch["attention_mask"]).last_hidden_state
    assert_close(states, expected, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_pooling(batch, pooling):
    model = tiny_model(tiny_config(text={"pooling": pooling}))
    output = run(model, batch)
    states = output.text_model_output.last_hidden_state
    for row, length in enumerate(batch["attention_mask"].sum(1)):
        pooled = states[row, 0] if pooling == "cls" else states[row, :length].mean(0)
        expected = torch.nn.functional.normalize(model.text_projection(pooled), dim=-1)
        assert_close(output.text_embeds[row], expected, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_pooling_of_cells(batch, pooling):
    config = tiny_config(cell={"pooling": pooling})
    model = tiny_model(config)
    output = run(model, batch)
    states = output.cell_model_output.last_hidden_state
    for row, length in enumerate(batch["cell_attention_mask"].sum(1)):
        pooled = states[row, 0] if pooling == "cls" else states[row, :length].mean(0)
        expected = torch.nn.functional.normalize(model.cell_projection(pooled), dim=-1)
        assert_close(output.cell_embeds[row], expected, **CLOSE)
    assert_close(model.pool_cells(states, None)[0], states[0, 0] if pooling == "cls" else states[0].mean(0), **CLOSE)
    classifier = LangCellForCellClassification(config).eval()
    cells = batch["cell_input_ids"], batch["cell_attention_mask"]
    states = classifier.cell_encoder(*cells).last_hidden_state
    pooled = states[:, 0] if pooling == "cls" else model.pool_cells(states, cells[1])
    assert_close(classifier(*cells).logits, classifier.classifier(pooled), **CLOSE)


# The same cell gets the same result, whatever batch it came in


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_padding_changes_nothing(batch, implementation, pooling):
    model = tiny_model(tiny_config(text={"pooling": pooling}, cell={"pooling": pooling}))
    model.set_attn_implementation(implementation)
    assert_same_results(run(model, padded(batch, 6, 9)), run(model, batch))


def test_batch_order_changes_nothing(model, batch):
    expected = run(model, batch)
    cells, texts = [3, 0, 4, 1, 2], [2, 0, 1]
    output = run(model, texts_of(cells_of(batch, cells), texts))
    assert_close(output.cell_embeds, expected.cell_embeds[cells], **CLOSE)
    assert_close(output.text_embeds, expected.text_embeds[texts], **CLOSE)
    assert_close(output.match_logits, expected.match_logits[cells][:, texts], **CLOSE)


def test_alone_and_without_padding_a_cell_gets_the_same(model, batch):
    expected = run(model, batch)
    for row, length in enumerate(batch["cell_attention_mask"].sum(1)):
        alone = cells_of(batch, [row])
        alone |= {name: alone[name][:, :length] for name in ("cell_input_ids", "cell_attention_mask")}
        output = run(model, alone)
        assert_close(output.cell_embeds[0], expected.cell_embeds[row], **CLOSE)
        assert_close(output.match_logits[0], expected.match_logits[row], **CLOSE)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_autocast_reads_no_padding(batch, implementation):
    model = tiny_model()
    model.set_attn_implementation(implementation)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, with_padding = run(model, batch), run(model, padded(batch, 6, 9))
    expected = run(tiny_model(), batch)
    assert_close(output.match_logits.float(), expected.match_logits, rtol=0, atol=0.3)
    assert_close(with_padding.match_logits.float(), expected.match_logits, rtol=0, atol=0.3)


def test_processor_output_is_model_input(model):
    batch = tiny_processor()(cells=[[42, 3, 4]], text=list(TEXTS), return_tensors="pt")
    with torch.no_grad():
        assert model(**batch).logits_per_cell.shape == (1, 3)
    assert set(tiny_batch()) == set(batch)
