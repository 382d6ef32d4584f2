"""The released checkpoint against what the released code computed from it, and files that are wrong in many ways."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from released_layout import (
    FULL_CELL,
    FULL_TEXT,
    N_GENES,
    TINY_CELL,
    TINY_TEXT,
    ReleasedParts,
    released_parts,
)
from tiny import tiny_vocabulary
from transformers import AutoModelForSequenceClassification

from langcell.conversion.convert import build_model, read_released, to_released_parts, write_released
from langcell.inference.scoring.zero_shot import score_labels
from langcell.loading.weight_files import read_tensors
from langcell.modeling_langcell import LangCellForCellClassification, LangCellModel
from langcell.processing.vocabulary.geneformer import read_geneformer_v1

PARITY = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def vocabulary():
    return tiny_vocabulary(N_GENES)


@pytest.fixture(scope="module")
def published_vocabulary(real_data):
    names = ("token_dictionary", "gene_median_dictionary", "gene_name_id_dict")
    return read_geneformer_v1(*(real_data(f"geneformer_v1/{name}.pkl") for name in names))


@pytest.fixture(scope="module")
def reference(real_data):
    """Inputs of the released code and what it computed from them."""
    files = ("reference/zero_shot_inputs.npz", "reference/zero_shot_outputs.npz")
    arrays = {name: array for file in files for name, array in np.load(real_data(file)).items()}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.fixture(scope="module", params=["eager", "sdpa"])
def reference_model(request, real_data, published_vocabulary):
    model = build_model(read_released(real_data("reference/released_layout_tiny"), published_vocabulary))
    model.set_attn_implementation(request.param)
    assert model.text_encoder.config._attn_implementation == request.param
    assert model.cell_encoder.config._attn_implementation == request.param
    return model


def _pad(tensor: torch.Tensor, more: int) -> torch.Tensor:
    return torch.nn.functional.pad(tensor, (0, more))


def _as_given(reference):
    yield slice(None), *(reference[name] for name in ("cell_ids", "cell_mask", "text_ids", "text_mask"))


def _padded_further(reference):
    cells = [_pad(reference[name], 40) for name in ("cell_ids", "cell_mask")]
    yield slice(None), *cells, *(_pad(reference[name], 9) for name in ("text_ids", "text_mask"))


def _one_by_one(reference):
    ((_, cell_ids, cell_mask, *texts),) = _as_given(reference)
    for i in range(len(cell_ids)):
        yield slice(i, i + 1), cell_ids[i : i + 1], cell_mask[i : i + 1], *texts


def _one_by_one_unpadded(reference):
    for cell, cell_ids, cell_mask, text_ids, text_mask in _one_by_one(reference):
        n_genes = int(cell_mask.sum())
        yield cell, cell_ids[:, :n_genes], cell_mask[:, :n_genes], text_ids, text_mask


@pytest.mark.parametrize("batches", [_as_given, _padded_further, _one_by_one, _one_by_one_unpadded])
def test_parity_with_the_released_code(reference_model, reference, batches) -> None:
    for cells, cell_ids, cell_mask, text_ids, text_mask in batches(reference):
        inputs = {"cell_input_ids": cell_ids, "cell_attention_mask": cell_mask}
        inputs |= {"input_ids": text_ids, "attention_mask": text_mask}
        with torch.inference_mode():
            output = reference_model(**inputs, return_match_logits=True)
        states = output.cell_model_output.last_hidden_state
        n_genes = min(states.shape[1], reference["cell_last"].shape[1])
        genes = cell_mask[:, :n_genes] == 1
        torch.testing.assert_close(states[:, :n_genes][genes], reference["cell_last"][cells, :n_genes][genes], **PARITY)
        torch.testing.assert_close(output.cell_embeds, reference["cell_embeds"][cells], **PARITY)
        torch.testing.assert_close(output.text_embeds, reference["text_embeds"], **PARITY)
        torch.testing.assert_close(output.logits_per_cell, reference["sim"][cells], **PARITY)
        torch.testing.assert_close(output.match_logits.softmax(-1)[..., 1], reference["match"][cells], **PARITY)
        scores = score_labels(reference_model, **inputs, alpha=0.5)
        torch.testing.assert_close(scores.similarity, reference["sim"][cells], **PARITY)
        torch.testing.assert_close(scores.match, reference["match"][cells], **PARITY)
        torch.testing.assert_close(scores.score, reference["logits"][cells], **PARITY)
        sim_alone = score_labels(reference_model, **inputs, alpha=1.0).score
        torch.testing.assert_close(sim_alone, reference["sim_prob"][cells], **PARITY)
        match_alone = score_labels(reference_model, **inputs, alpha=0.0).score
        torch.testing.assert_close(match_alone, reference["ctm_prob"][cells], **PARITY)


def test_reference_comes_back_bit_for_bit(real_data, published_vocabulary, tmp_path: Path) -> None:
    source = real_data("reference/released_layout_tiny")
    write_released(build_model(read_released(source, published_vocabulary)), tmp_path / "back")
    for path in sorted(source.rglob("*.bin")):
        _assert_same_tensors(read_tensors(path), read_tensors(tmp_path / "back" / path.relative_to(source)))


def _assert_same_tensors(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "bert.", "module.", "module.bert."])
def test_file_forms_and_prefixes(vocabulary, tmp_path: Path, suffix: str, prefix: str) -> None:
    parts = released_parts()
    released = read_released(parts.write(tmp_path, suffix=suffix, prefix=prefix), vocabulary)
    assert released.ignored == ["text_bert/embeddings.position_ids"]
    assert not released.added_cls
    back = to_released_parts(released.tensors)
    for part, tensors in parts.tensors.items():
        tensors.pop("embeddings.position_ids", None)
        _assert_same_tensors(tensors, back[part])


def test_inverse_can_be_read_again(vocabulary, tmp_path: Path) -> None:
    released = read_released(released_parts().write(tmp_path / "released"), vocabulary)
    write_released(build_model(released), tmp_path / "back")
    again = read_released(tmp_path / "back", vocabulary)
    _assert_same_tensors(released.tensors, again.tensors)
    assert again.config.to_dict() == released.config.to_dict()


def test_poolers_and_language_model_heads_are_left_out(vocabulary, tmp_path: Path) -> None:
    parts = released_parts()
    extra = {"pooler.dense.weight": torch.zeros(16, 16), "cls.predictions.bias": torch.zeros(N_GENES + 3)}
    parts.tensors["cell_bert"] |= extra
    released = read_released(parts.write(tmp_path), vocabulary)
    assert {f"cell_bert/{name}" for name in extra} < set(released.ignored)


def test_missing_cls_row_is_added_and_said(vocabulary, tmp_path: Path, caplog) -> None:
    parts = released_parts({**TINY_CELL, "vocab_size": N_GENES + 2})
    with caplog.at_level("INFO", logger="langcell"):
        released = read_released(parts.write(tmp_path), vocabulary)
    assert released.added_cls
    assert "no row for <cls>" in caplog.text
    table = released.tensors["cell_encoder.embeddings.word_embeddings.weight"]
    assert len(table) == released.config.cell_config.vocab_size == vocabulary.n_tokens
    assert torch.equal(table[:-1], parts.tensors["cell_bert"]["embeddings.word_embeddings.weight"])
    again = read_released(tmp_path, vocabulary)
    assert torch.equal(again.tensors["cell_encoder.embeddings.word_embeddings.weight"], table)


def _drop(part: str, name: str):
    return lambda parts: parts.tensors[part].pop(name)


def _set(part: str, name: str, *shape: int):
    return lambda parts: parts.tensors[part].__setitem__(name, torch.zeros(shape))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            _drop("cell_bert", "encoder.layer.1.output.dense.bias"),
            "1 missing: cell_bert/encoder.layer.1.output.dense.bias",
            id="cell_tensor_missing",
        ),
        pytest.param(
            _drop("text_bert", "encoder.layer.0.crossattention.self.key.weight"),
            "1 missing: text_bert/encoder.layer.0.crossattention.self.key.weight",
            id="cross_attention_missing",
        ),
        pytest.param(_drop("ctm_head", "bias"), "1 missing: ctm_head/bias", id="head_tensor_missing"),
        pytest.param(_set("cell_bert", "lstm.weight", 2), "1 unexpected: cell_bert/lstm.weight", id="unexpected"),
        pytest.param(_set("cell_proj", "scale", 2), "1 unexpected: cell_proj/scale", id="unexpected_in_head"),
        pytest.param(
            _set("text_bert", "embeddings.token_type_embeddings.weight", 2, 24),
            "1 unexpected: text_bert/embeddings.token_type_embeddings.weight",
            id="token_types",
        ),
        pytest.param(
            _set("cell_bert", "encoder.layer.7.output.dense.bias", 16),
            "1 unexpected: cell_bert/encoder.layer.7.output.dense.bias",
            id="more_layers_than_configured",
        ),
        pytest.param(
            _set("text_proj", "weight", 8, 5), r"text_projection.weight is (8, 5), not (8, 24)", id="other_shape"
        ),
        pytest.param(_drop("cell_bert", "embeddings.word_embeddings.weight"), "no word_embeddings", id="no_table"),
        pytest.param(
            _set("cell_bert", "bert.embeddings.LayerNorm.bias", 16), "LayerNorm.bias is given twice", id="given_twice"
        ),
        pytest.param(
            _set("cell_bert", "embeddings.word_embeddings.weight", 30, 16),
            "has 30 gene embeddings; the gene vocabulary has 52 tokens, or 53 with <cls>",
            id="other_vocabulary",
        ),
        pytest.param(
            lambda parts: parts.tensors.pop("ctm_head"), "neither ctm_head.bin nor ctm_head", id="part_missing"
        ),
        pytest.param(
            lambda parts: parts.cell_config.update(position_embedding_type="relative_key"), "'absolute'", id="positions"
        ),
        pytest.param(lambda parts: parts.text_config.update(model_type="roberta"), "needs? 'bert'", id="no_bert"),
        pytest.param(lambda parts: parts.tensors["ctm_head"].update(step=7), "step are no tensors", id="no_tensor"),
    ],
)
def test_every_tensor_is_accounted_for(vocabulary, tmp_path: Path, change, message: str) -> None:
    parts = released_parts({**TINY_CELL}, {**TINY_TEXT})
    change(parts)
    pattern = message if "?" in message else re.escape(message)
    with pytest.raises(ValueError, match=pattern):
        read_released(parts.write(tmp_path), vocabulary)


def test_not_a_released_folder(vocabulary, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no released LangCell: cell_bert, text_bert missing"):
        read_released(tmp_path, vocabulary)


class _RunsCode:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("part", ["cell_bert/pytorch_model.bin", "ctm_head.bin"])
def test_a_bin_file_runs_no_code(vocabulary, tmp_path: Path, part: str) -> None:
    folder, mark = released_parts().write(tmp_path / "released"), tmp_path / "was_run"
    torch.save({"weight": torch.zeros(2), "bias": _RunsCode(mark)}, folder / part)
    with pytest.raises(ValueError, match="nothing of it was run"):
        read_released(folder, vocabulary)
    assert not mark.exists()


def test_released_form_cannot_express_other_pooling(model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cross-attention from layer 1 on"):
        write_released(model, tmp_path / "released")
    assert not list(tmp_path.iterdir())


def test_classification_starts_from_a_converted_checkpoint(vocabulary, tmp_path: Path) -> None:
    model = build_model(read_released(released_parts().write(tmp_path / "released"), vocabulary))
    model.save_pretrained(tmp_path / "converted")
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path / "converted", num_labels=5).eval()
    assert isinstance(classifier, LangCellForCellClassification)
    cell_ids = torch.tensor([[N_GENES + 2, 7, 3, 12]])
    with torch.inference_mode():
        states = classifier.cell_encoder(input_ids=cell_ids).last_hidden_state
        assert torch.equal(states, model.get_cell_states(cell_ids))
        assert classifier(cell_ids).logits.shape == (1, 5)


@pytest.mark.slow
def test_full_size_round_trip_is_bit_identical(tmp_path: Path) -> None:
    genes = tiny_vocabulary(25_424)
    parts: ReleasedParts = released_parts(FULL_CELL, FULL_TEXT, projection_dim=256)
    expected = {part: {name: hash(t.numpy().tobytes()) for name, t in ts.items()} for part, ts in parts.tensors.items()}
    parts.write(tmp_path / "released")
    del parts
    build_model(read_released(tmp_path / "released", genes)).save_pretrained(tmp_path / "converted")
    loaded = LangCellModel.from_pretrained(tmp_path / "converted")
    assert loaded.config.cell_config.num_hidden_layers == loaded.config.text_config.num_hidden_layers == 12
    write_released(loaded, tmp_path / "back")
    del loaded
    for part in expected:
        path = tmp_path / "back" / (f"{part}/pytorch_model.bin" if part.endswith("_bert") else f"{part}.bin")
        assert {name: hash(t.numpy().tobytes()) for name, t in read_tensors(path).items()} == expected[part]
