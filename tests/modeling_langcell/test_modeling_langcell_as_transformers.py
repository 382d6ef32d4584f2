"""LangCell models are saved, loaded, resized and trained as any transformers model is."""

import re

import pytest
import torch
from safetensors import safe_open
from tiny import tiny_config, tiny_model
from torch.testing import assert_close
from transformers import AutoModel

from langcell.modeling_langcell import LangCellForCellClassification, LangCellForPreTraining, LangCellModel

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def without_dropout(**options):
    """Configuration of a model that computes the same in training mode."""
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return tiny_config(cell=still, text=still, **options)


@torch.no_grad()
def run(model, batch, **options):
    return model(**batch, return_match_logits=True, **options)


def assert_same_results(output, expected):
    for name in ("cell_embeds", "text_embeds", "match_logits"):
        assert_close(output[name], expected[name], **CLOSE, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("model_class", [LangCellModel, LangCellForPreTraining])
def test_save_and_load(tmp_path, batch, model_class):
    saved = tiny_model()
    saved.save_pretrained(tmp_path)
    loaded, report = model_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not loaded.training
    assert_same_results(run(loaded, batch), run(saved, batch))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors", ".py"}


def test_auto_model_of_a_pretraining_checkpoint_lacks_and_wastes_nothing(tiny_model_dir):
    loaded, report = AutoModel.from_pretrained(tiny_model_dir, output_loading_info=True)
    assert type(loaded) is LangCellModel
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]


def test_half_precision_weights_load_in_either_precision(tmp_path, batch):
    saved = tiny_model().half()
    saved.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.float16}  # noqa: SIM118
    assert LangCellModel.from_pretrained(tmp_path, dtype="auto").dtype == torch.float16
    full = LangCellModel.from_pretrained(tmp_path, dtype=torch.float32)
    assert full.dtype == torch.float32
    assert_close(run(full, batch).cell_embeds, run(tiny_model(), batch).cell_embeds, rtol=0, atol=5e-3)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_bfloat16(tiny_model_dir, batch, implementation):
    model = LangCellForPreTraining.from_pretrained(
        tiny_model_dir, dtype=torch.bfloat16, attn_implementation=implementation
    )
    output, expected = run(model, batch), run(tiny_model(), batch)
    assert output.match_logits.dtype == torch.bfloat16
    assert_close(output.cell_embeds.float(), expected.cell_embeds, rtol=0, atol=0.05)
    assert_close(output.match_logits.float(), expected.match_logits, rtol=0, atol=0.3)


def test_device_argument(tiny_model_dir):
    model = LangCellForPreTraining.from_pretrained(tiny_model_dir, device_map="cpu")
    assert model.device == torch.device("cpu")
    assert {weight.device.type for weight in model.to("meta").parameters()} == {"meta"}


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(batch, use_reentrant):
    gradients = []
    for checkpointing in (False, True):
        model = tiny_model(without_dropout()).train()
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": use_reentrant})
        output = model(**batch, return_match_logits=True, return_masked_gene_logits=True)
        loss = output.logits_per_cell.square().mean() + output.match_logits.square().mean()
        (loss + output.masked_gene_logits.square().mean()).backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    plain, checkpointed = gradients
    assert not [name for name, gradient in plain.items() if gradient is None]
    for name, gradient in plain.items():
        assert checkpointed[name] is not None, name
        assert_close(checkpointed[name], gradient, **CLOSE, msg=lambda text, name=name: f"{name}: {text}")


def test_more_words(tmp_path, batch):
    model = tiny_model()
    expected = run(model, batch)
    n_words = model.config.text_config.vocab_size
    model.resize_token_embeddings(n_words + 3, mean_resizing=False)
    assert model.get_input_embeddings().num_embeddings == n_words + 3
    assert_same_results(run(model, batch), expected)
    model.save_pretrained(tmp_path)
    loaded = LangCellForPreTraining.from_pretrained(tmp_path)
    assert (loaded.config.text_config.vocab_size, loaded.config.cell_config.vocab_size) == (n_words + 3, 43)
    assert_same_results(run(loaded, batch), expected)


def test_input_embeddings_can_be_replaced():
    model, words = tiny_model(), torch.nn.Embedding(97, 24)
    model.set_input_embeddings(words)
    assert model.text_encoder.embeddings.word_embeddings is words
    classifier, genes = LangCellForCellClassification(tiny_config()), torch.nn.Embedding(43, 16)
    classifier.set_input_embeddings(genes)
    assert classifier.cell_encoder.embeddings.word_embeddings is genes


def test_new_weights_follow_the_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return LangCellForPreTraining(tiny_config()).text_encoder.layer[2].crossattention.self.key.weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@torch.no_grad()
def test_new_weights_have_the_spread_of_the_config():
    torch.manual_seed(0)
    model = LangCellForPreTraining(tiny_config(cell={"initializer_range": 0.02}, text={"initializer_range": 0.02}))
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            assert weight.std() == pytest.approx(0.02, rel=0.35), name
        else:
            assert re.search(r"LayerNorm\.weight$", name) or not weight.any(), name


# Classification


def test_classifier_reads_the_cell_states_of_the_full_checkpoint(tiny_model_dir, batch):
    classifier, report = LangCellForCellClassification.from_pretrained(
        tiny_model_dir, num_labels=4, output_loading_info=True
    )
    assert set(report["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    assert not report["unexpected_keys"]
    cells = {name: batch[name] for name in ("cell_input_ids", "cell_attention_mask")}
    with torch.no_grad():
        output = classifier(**cells, output_hidden_states=True)
        expected = tiny_model().get_cell_states(**cells)
    assert output.logits.shape == (5, 4)
    assert output.loss is None
    assert_close(output.hidden_states[-1], expected, **CLOSE)
    assert_close(output.logits, classifier.classifier(expected[:, 0]), **CLOSE)


def test_classifier_loss_is_the_cross_entropy(batch):
    torch.manual_seed(0)
    classifier = LangCellForCellClassification(without_dropout(num_labels=3))
    labels = torch.tensor([0, 2, 1, 1, 0])
    output = classifier(batch["cell_input_ids"], batch["cell_attention_mask"], labels=labels)
    assert_close(output.loss, torch.nn.functional.cross_entropy(output.logits, labels))
    loss, logits = classifier(batch["cell_input_ids"], batch["cell_attention_mask"], labels=labels, return_dict=False)
    assert_close((loss, logits), (output.loss, output.logits))


def test_classifier_save_and_load_with_its_label_names(tmp_path, batch):
    config = tiny_config(id2label={0: "B cell", 1: "NK cell", 2: "monocyte"})
    saved = LangCellForCellClassification(config).eval()
    saved.save_pretrained(tmp_path)
    loaded = LangCellForCellClassification.from_pretrained(tmp_path)
    assert loaded.config.id2label == {0: "B cell", 1: "NK cell", 2: "monocyte"}
    with torch.no_grad():
        assert_close(
            loaded(batch["cell_input_ids"], batch["cell_attention_mask"]).logits,
            saved(batch["cell_input_ids"], batch["cell_attention_mask"]).logits,
        )


def test_the_tokens_of_the_classifier_are_genes(tmp_path):
    classifier = LangCellForCellClassification(tiny_config())
    classifier.resize_token_embeddings(50, mean_resizing=False)
    classifier.save_pretrained(tmp_path)
    loaded = LangCellForCellClassification.from_pretrained(tmp_path)
    assert loaded.get_input_embeddings().num_embeddings == loaded.config.cell_config.vocab_size == 50
    assert loaded.config.text_config.vocab_size == 97
