import json
import logging
import re

import numpy as np
import pytest
import torch
from anndata import AnnData, read_h5ad
from scipy.sparse import coo_matrix, csc_matrix, csr_array, csr_matrix
from tiny import N_GENES, tiny_counts, tiny_gene_names, tiny_vocabulary
from transformers import DataCollatorWithPadding

from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.genes import VOCABULARY_FILE, GeneVocabulary
from langcell.processing.rank_values import rank_encode


@pytest.fixture
def extractor():
    return LangCellFeatureExtractor(tiny_vocabulary(), max_length=32)


@pytest.fixture
def expected(extractor):
    """Token ids of the cells of `tiny_counts`."""
    gene_index = extractor.vocabulary.match(tiny_gene_names())
    return [ids.tolist() for ids in rank_encode(tiny_counts(), gene_index, extractor.vocabulary, max_length=32)]


def unpadded(features):
    ids, mask = np.asarray(features["cell_input_ids"]), np.asarray(features["cell_attention_mask"])
    return [row[: kept.sum()].tolist() for row, kept in zip(ids, mask, strict=True)]


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda counts: counts, id="csr_matrix"),
        pytest.param(csr_array, id="csr_array"),
        pytest.param(csc_matrix, id="csc"),
        pytest.param(coo_matrix, id="coo"),
        pytest.param(lambda counts: counts.toarray(), id="dense"),
        pytest.param(lambda counts: counts.toarray().tolist(), id="lists_of_counts"),
        pytest.param(lambda counts: counts.astype(np.int64), id="integers"),
    ],
)
def test_matrices_of_every_form(extractor, expected, form):
    assert unpadded(extractor(form(tiny_counts()), tiny_gene_names())) == expected


def test_anndata_brings_its_gene_names(extractor, expected):
    adata = AnnData(tiny_counts())
    adata.var_names = tiny_gene_names()
    assert unpadded(extractor(adata)) == expected


def test_gene_names_replace_var_names(extractor, expected):
    assert unpadded(extractor(AnnData(tiny_counts()), tiny_gene_names())) == expected


def test_view_of_an_anndata(extractor, expected):
    adata = AnnData(tiny_counts())
    adata.var_names = tiny_gene_names()
    assert unpadded(extractor(adata[[3, 1]])) == [expected[3], expected[1]]


def test_backed_anndata(extractor, expected, tmp_path):
    adata = AnnData(tiny_counts())
    adata.var_names = tiny_gene_names()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = read_h5ad(tmp_path / "cells.h5ad", backed="r")
    try:
        assert unpadded(extractor(backed)) == expected
    finally:
        backed.file.close()


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda cells: cells, id="lists"),
        pytest.param(lambda cells: [np.array(ids, dtype=np.uint16) for ids in cells], id="arrays"),
        pytest.param(lambda cells: tuple(torch.tensor(ids) for ids in cells), id="tensors"),
    ],
)
def test_lists_of_token_ids_are_only_padded(extractor, expected, form):
    assert unpadded(extractor(form(expected))) == expected


def test_padding_and_mask(extractor):
    features = extractor([[42, 5], [42, 7, 8, 9]], return_tensors="pt")
    assert features["cell_input_ids"].tolist() == [[42, 5, 0, 0], [42, 7, 8, 9]]
    assert features["cell_attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert features["cell_input_ids"].dtype == features["cell_attention_mask"].dtype == torch.int64


@pytest.mark.parametrize("max_length", [1, 3])
def test_max_length_cuts_counts_and_lists_alike(extractor, expected, max_length):
    cut = [ids[:max_length] for ids in expected]
    assert unpadded(extractor(tiny_counts(), tiny_gene_names(), max_length=max_length)) == cut
    assert unpadded(extractor(expected, max_length=max_length)) == cut


def test_log1p_ranks_like_the_values_before(extractor, expected):
    logged = tiny_counts().astype(np.float64)
    logged.data = np.log1p(logged.data)
    assert unpadded(extractor(logged, tiny_gene_names(), x_is="log1p")) == expected


def test_linear_takes_values_that_are_no_counts(extractor, expected):
    halves = csr_matrix(tiny_counts() * 0.5)
    assert unpadded(extractor(halves, tiny_gene_names(), x_is="linear")) == expected


def test_the_given_matrix_is_left_alone(extractor):
    counts = tiny_counts()
    extractor(counts, tiny_gene_names(), x_is="log1p")
    assert (counts != tiny_counts()).nnz == 0


def test_cells_without_a_known_gene_are_reported_and_have_only_cls(extractor, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    monkeypatch.setattr(logging.getLogger("langcell.processing.feature_extraction_langcell"), "propagate", True)
    counts = tiny_counts().toarray()
    counts[1, :N_GENES] = 0
    features = extractor(counts, tiny_gene_names())
    assert unpadded(features)[1] == [extractor.vocabulary.cls_token_id]
    assert "1 of 5 cells have no known gene" in caplog.text


def test_first_of_duplicate_columns():
    vocabulary = GeneVocabulary(["ENSG1", "ENSG2"], np.ones(2), ["A", "B"])
    counts, names = np.array([[1, 2, 2]]), ["ENSG1", "B", "A"]
    assert unpadded(LangCellFeatureExtractor(vocabulary)(counts, names)) == [[4, 2, 3]]
    assert unpadded(LangCellFeatureExtractor(vocabulary, duplicates="first")(counts, names)) == [[4, 3, 2]]


def _with(value):
    counts = tiny_counts().astype(np.float64).toarray()
    counts[2, 3] = value
    return counts


@pytest.mark.parametrize(
    ("cells", "options", "message"),
    [
        pytest.param(_with(-1), {}, "negative, NaN or infinite values", id="negative"),
        pytest.param(_with(np.nan), {}, "negative, NaN or infinite values", id="nan"),
        pytest.param(_with(np.inf), {"x_is": "linear"}, "negative, NaN or infinite values", id="infinite"),
        pytest.param(_with(0.5), {}, "values such as 0.5, not raw counts; give raw counts", id="normalised"),
        pytest.param(_with(1), {"x_is": "raw"}, "x_is is 'raw'; legal are 'counts'", id="unknown_x_is"),
        pytest.param(_with(1), {"gene_names": None}, "needs gene_names", id="matrix_without_names"),
        pytest.param(_with(1), {"gene_names": ["GENE1"]}, "has 1 names, the matrix has 42 columns", id="other_width"),
        pytest.param(_with(1), {"gene_names": ["x"] * 42}, "None of the 42 genes", id="no_known_gene"),
        pytest.param(_with(1), {"max_length": 0}, "max_length is 0", id="no_room"),
        pytest.param([[42, 99]], {"gene_names": None}, "Token ids go from 0 to 42; got 42 to 99", id="id_too_high"),
        pytest.param([[42, -1]], {"gene_names": None}, "Token ids go from 0 to 42; got -1 to 42", id="id_negative"),
        pytest.param([[42], []], {"gene_names": None}, "at least one whole number", id="cell_without_ids"),
        pytest.param([[0.5, 1.0]], {"gene_names": None}, "for counts pass gene_names", id="ids_with_fractions"),
    ],
)
def test_unusable_cells_are_refused_in_one_line(extractor, cells, options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        extractor(cells, **{"gene_names": tiny_gene_names(), **options})
    assert "\n" not in str(error.value)


def test_a_vocabulary_is_needed():
    with pytest.raises(ValueError, match="needs a gene vocabulary; load it with from_pretrained"):
        LangCellFeatureExtractor()


def test_unknown_duplicates_option():
    with pytest.raises(ValueError, match="duplicates is 'last'; legal are 'sum' and 'first'"):
        LangCellFeatureExtractor(tiny_vocabulary(), duplicates="last")


def test_save_and_load(tmp_path, expected):
    LangCellFeatureExtractor(tiny_vocabulary(), max_length=32, duplicates="first").save_pretrained(tmp_path)
    loaded = LangCellFeatureExtractor.from_pretrained(tmp_path)
    assert (loaded.max_length, loaded.duplicates) == (32, "first")
    assert loaded.vocabulary.fingerprint == tiny_vocabulary().fingerprint
    assert unpadded(loaded(tiny_counts(), tiny_gene_names())) == expected


def test_saved_settings_hold_the_fingerprint_and_not_the_genes(tmp_path, extractor):
    extractor.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert settings["vocabulary_fingerprint"] == extractor.vocabulary.fingerprint
    assert "vocabulary" not in settings
    assert (tmp_path / VOCABULARY_FILE).is_file()


def test_options_given_on_load_win(tmp_path, extractor):
    extractor.save_pretrained(tmp_path)
    assert LangCellFeatureExtractor.from_pretrained(tmp_path, max_length=7).max_length == 7


def test_a_vocabulary_file_of_another_model_is_refused(tmp_path, extractor):
    extractor.save_pretrained(tmp_path)
    other = tiny_vocabulary(seed=1)
    other.save(tmp_path / VOCABULARY_FILE)
    message = f"has fingerprint {other.fingerprint[:12]}, the processor was saved with "
    with pytest.raises(ValueError, match=message + extractor.vocabulary.fingerprint[:12]):
        LangCellFeatureExtractor.from_pretrained(tmp_path)


# Padding as a tokenizer's


FEATURES = [{"cell_input_ids": [42, 5, 6, 7], "labels": 1}, {"cell_input_ids": [42, 9], "labels": 0}]


@pytest.mark.parametrize("form", ["rows", "columns"])
def test_features_are_padded_with_what_belongs_to_them(extractor, form):
    columns = {name: [row[name] for row in FEATURES] for name in FEATURES[0]}
    padded = extractor.pad(FEATURES if form == "rows" else columns, return_tensors="pt")
    assert padded["cell_input_ids"].tolist() == [[42, 5, 6, 7], [42, 9, 0, 0]]
    assert padded["cell_attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert padded["labels"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({"padding": "longest"}, 4),
        ({"padding": "max_length", "max_length": 6}, 6),
        ({"padding": "max_length"}, 32),
        ({"pad_to_multiple_of": 8}, 8),
    ],
)
def test_ways_to_pad(extractor, options, width):
    assert extractor.pad(FEATURES, **options)["cell_input_ids"].shape == (2, width)


def test_without_padding_cells_keep_their_lengths(extractor, expected):
    cells = extractor(tiny_counts(), tiny_gene_names(), padding=False)
    assert [ids.tolist() for ids in cells["cell_input_ids"]] == expected
    assert unpadded(extractor.pad(dict(cells))) == expected


def test_padded_cells_are_padded_further_and_not_read_as_genes(extractor):
    once = extractor.pad(FEATURES)
    for again in (extractor.pad(once, pad_to_multiple_of=8), extractor.pad(list(once["cell_input_ids"]))):
        assert unpadded(again) == [[42, 5, 6, 7], [42, 9]]


@pytest.mark.parametrize("collator", [DataCollatorWithPadding, lambda extractor: extractor.pad])
def test_transformers_own_collator_takes_cells(extractor, collator):
    assert collator(extractor)(FEATURES)["cell_input_ids"].shape == (2, 4)


@pytest.mark.parametrize(
    ("cells", "options", "message"),
    [
        (FEATURES, {"padding": "most"}, "padding is 'most'; legal are True"),
        (FEATURES, {"padding": "max_length", "max_length": 3}, "A cell has 4 ids and is to be padded to 3"),
        ([{"labels": 1}], {}, "Cells to pad need cell_input_ids; there are 'labels'"),
        ([FEATURES[0], {"cell_input_ids": [42]}], {}, "Row 2 of 2 has no 'labels'; give it to all rows or to none"),
        ([{"cell_input_ids": [42]}, FEATURES[0]], {}, "Row 1 of 2 has no 'labels'; give it to all rows or to none"),
        ([], {}, "There are no rows to pad; give at least one"),
        ([FEATURES[0], [42, 3]], {}, "A row to pad is list; give a dict for each"),
    ],
)
def test_what_cannot_be_padded(extractor, cells, options, message):
    with pytest.raises(ValueError, match=message):
        extractor.pad(cells, **options)


def test_labels_of_genes_are_padded_with_what_no_loss_counts(extractor):
    rows = [{"cell_input_ids": [42, 1, 6], "labels": [-100, 5, -100]}, {"cell_input_ids": [42, 1], "labels": [-100, 9]}]
    padded = extractor.pad(rows, pad_to_multiple_of=4, return_tensors="pt")
    assert padded["labels"].tolist() == [[-100, 5, -100, -100], [-100, 9, -100, -100]]
    several = [{"cell_input_ids": row["cell_input_ids"], "labels": [0, 1]} for row in rows]
    assert extractor.pad(several, return_tensors="pt")["labels"].tolist() == [[0, 1], [0, 1]]


def test_unread_genes_are_in_no_cell_whatever_they_are_called(tmp_path):
    vocabulary = tiny_vocabulary()
    extractor = LangCellFeatureExtractor(vocabulary, unread_genes=[vocabulary.gene_ids[1]])
    extractor.save_pretrained(tmp_path)
    loaded = LangCellFeatureExtractor.from_pretrained(tmp_path)
    for names in (vocabulary.gene_ids[:3], vocabulary.symbols[:3]):
        for one in (extractor, loaded):
            assert one.gene_index(names).tolist() == [0, -1, 2]
            assert one.gene_index(names[:1] + names[2:]).tolist() == [0, 2]
    assert "unread_genes" not in LangCellFeatureExtractor(vocabulary).to_dict()
