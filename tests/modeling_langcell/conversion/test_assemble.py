"""A model from parts: which weights come from where, and that they compute what they did there."""

from pathlib import Path

import pytest
import torch
from released_layout import N_GENES, TINY_CELL, released_parts, write_geneformer_model, write_tokenizer
from tiny import TEXTS, tiny_tokenizer, tiny_vocabulary
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from langcell.conversion.assemble import new_langcell, prune_word_pieces

CELL_SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def vocabulary():
    return tiny_vocabulary(N_GENES)


@pytest.fixture(scope="module")
def text_tower(tmp_path_factory) -> Path:
    """A plain BERT with token types, a pooler and a language-model head."""
    folder = write_tokenizer(tmp_path_factory.mktemp("bert"))
    torch.manual_seed(3)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    BertForMaskedLM(BertConfig(vocab_size=len(tiny_tokenizer()), **sizes)).save_pretrained(folder)
    return folder


def _groups_from(log: str) -> list[str]:
    return log.split("Fresh weights: ")[1].split(". The others")[0].split(", ")


def test_text_states_are_those_of_the_bert(vocabulary, text_tower, caplog) -> None:
    with caplog.at_level("INFO", logger="langcell"):
        model, processor = new_langcell(vocabulary, text_tower, cell_config=CELL_SIZES)
    bert = BertModel.from_pretrained(text_tower, add_pooling_layer=False).eval()
    batch = processor(text=list(TEXTS), return_tensors="pt")
    with torch.inference_mode():
        found = model.eval().text_encoder(**batch).last_hidden_state
        torch.testing.assert_close(found, bert(**batch).last_hidden_state, rtol=0, atol=1e-6)
    fresh = ["cell_encoder", "cell_projection", "cross-attention", "masked_gene_head", "match_head", "text_projection"]
    assert _groups_from(caplog.text) == fresh


@pytest.mark.parametrize("with_cls", [pytest.param(True, id="with_cls"), pytest.param(False, id="without_cls")])
def test_geneformer_brings_states_and_masked_gene_head(vocabulary, text_tower, tmp_path, caplog, with_cls) -> None:
    geneformer = write_geneformer_model(tmp_path / "geneformer", vocabulary, with_cls=with_cls)
    with caplog.at_level("INFO", logger="langcell"):
        model, _ = new_langcell(vocabulary, text_tower, cell_tower=tmp_path / "geneformer")
    assert ("no row for <cls>" in caplog.text) is not with_cls
    assert _groups_from(caplog.text) == ["cell_projection", "cross-attention", "match_head", "text_projection"]
    cell_ids = torch.tensor([[5, 9, 1, 30], [44, 2, 0, 0]])
    mask = (cell_ids != 0).long()
    with torch.inference_mode():
        expected = geneformer(input_ids=cell_ids, attention_mask=mask).logits
        found = model.eval().masked_gene_logits(model.get_cell_states(cell_ids, mask))
    torch.testing.assert_close(found[..., : expected.shape[-1]], expected, rtol=0, atol=1e-5)
    assert found.shape[-1] == model.config.cell_config.vocab_size == vocabulary.n_tokens


def test_cross_attention_of_a_tower_is_taken_over(vocabulary, tmp_path, caplog) -> None:
    parts = released_parts()
    folder = write_tokenizer(parts.write(tmp_path) / "text_bert")
    with caplog.at_level("INFO", logger="langcell"):
        model, _ = new_langcell(vocabulary, folder, cell_tower=tmp_path / "cell_bert")
    assert "cross-attention" not in _groups_from(caplog.text)
    key = "layer.1.crossattention.self.key.weight"
    assert torch.equal(model.text_encoder.state_dict()[key], parts.tensors["text_bert"][f"encoder.{key}"])


def test_fresh_weights_depend_on_the_seed_alone(vocabulary, text_tower) -> None:
    first, second, other = (new_langcell(vocabulary, text_tower, cell_config=CELL_SIZES, seed=s)[0] for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.match_head.weight, other.match_head.weight)


def test_pruned_words_keep_their_embeddings(vocabulary, text_tower) -> None:
    whole, whole_processor = new_langcell(vocabulary, text_tower, cell_config=CELL_SIZES)
    pruned, processor = new_langcell(vocabulary, text_tower, cell_config=CELL_SIZES, keep_words_of=TEXTS)
    assert pruned.config.text_config.vocab_size < whole.config.text_config.vocab_size
    with torch.inference_mode():
        states = [
            model.eval().text_encoder(**made(text=list(TEXTS), return_tensors="pt")).last_hidden_state
            for model, made in ((whole, whole_processor), (pruned, processor))
        ]
    torch.testing.assert_close(*states, rtol=0, atol=1e-6)


def test_pruned_tokenizer_splits_the_texts_as_before() -> None:
    tokenizer = tiny_tokenizer()
    pruned, kept = prune_word_pieces(tokenizer, TEXTS[:1])
    assert isinstance(pruned, PreTrainedTokenizerFast)
    assert len(pruned) == len(kept) < len(tokenizer)
    assert [kept[i] for i in pruned(TEXTS[0]).input_ids] == tokenizer(TEXTS[0]).input_ids
    assert pruned.unk_token_id not in pruned("monocyte").input_ids  # single characters stay


def test_a_cell_encoder_is_needed(vocabulary, text_tower) -> None:
    with pytest.raises(ValueError, match="give cell_config"):
        new_langcell(vocabulary, text_tower)


def test_towers_that_do_not_fit(vocabulary, text_tower, tmp_path) -> None:
    write_geneformer_model(tmp_path / "other", tiny_vocabulary(20))
    with pytest.raises(ValueError, match=r"has 22 gene embeddings; the gene vocabulary has 52 tokens.*V1.*V2"):
        new_langcell(vocabulary, text_tower, cell_tower=tmp_path / "other")
    with pytest.raises(ValueError, match="is no folder"):
        new_langcell(vocabulary, tmp_path / "none", cell_config=CELL_SIZES)
    parts = released_parts()
    parts.tensors["text_bert"].pop("encoder.layer.0.crossattention.self.key.weight")
    parts.write(tmp_path / "released")
    write_tokenizer(tmp_path / "released" / "text_bert")
    with pytest.raises(ValueError, match=r"1 missing: text_bert/encoder\.layer\.0\.crossattention\.self\.key\.weight"):
        new_langcell(vocabulary, tmp_path / "released" / "text_bert", cell_config=CELL_SIZES)


def test_an_untied_masked_gene_head_is_refused(vocabulary, text_tower, tmp_path) -> None:
    sizes = {**TINY_CELL, "vocab_size": vocabulary.n_tokens, "tie_word_embeddings": False}
    BertForMaskedLM(BertConfig(**sizes)).save_pretrained(tmp_path / "untied")
    with pytest.raises(ValueError, match="LangCell ties them"):
        new_langcell(vocabulary, text_tower, cell_tower=tmp_path / "untied")
