from pathlib import Path

import numpy as np
import pytest
from released_layout import N_GENES, write_geneformer_v1, write_pickle

from langcell.processing.rank_values import keep_first_of_duplicates, rank_encode
from langcell.processing.vocabulary.geneformer import is_published_v1, read_geneformer_v1

GENES = [f"ENSG{i:011d}" for i in range(1, 4)]
V1_TOKENS = {"<pad>": 0, "<mask>": 1, GENES[1]: 2, GENES[0]: 3, GENES[2]: 4}
MEDIANS = {GENES[0]: 1.5, GENES[1]: 2.5, GENES[2]: 3.5, "ENSG99999999999": 1.0}


def _files(folder: Path, tokens: dict, medians: dict, names: dict | None = None) -> list[Path]:
    files = [write_pickle(folder / "tokens.pkl", tokens), write_pickle(folder / "medians.pkl", medians)]
    return files + ([write_pickle(folder / "names.pkl", names)] if names is not None else [])


def test_token_ids_are_those_of_the_dictionary(tmp_path: Path) -> None:
    vocabulary = read_geneformer_v1(*_files(tmp_path, V1_TOKENS, MEDIANS))
    assert list(vocabulary.gene_ids) == [GENES[1], GENES[0], GENES[2]]
    assert vocabulary.medians.tolist() == [2.5, 1.5, 3.5]
    assert (vocabulary.cls_token_id, vocabulary.n_tokens) == (5, 6)
    assert not is_published_v1(vocabulary)


def test_first_name_is_the_symbol_and_others_are_synonyms(tmp_path: Path) -> None:
    names = {"B1": GENES[1], "B2": GENES[1], "A": GENES[0], "unknown": "ENSG7", GENES[0]: GENES[0]}
    vocabulary = read_geneformer_v1(*_files(tmp_path, V1_TOKENS, MEDIANS, names))
    assert list(vocabulary.symbols) == ["B1", "A", ""]
    assert list(vocabulary.synonyms) == [("B2",), (), ()]
    assert vocabulary.match(["B2", "A"]).tolist() == [0, 1]


def test_geneformer_v2_is_refused_with_an_explanation(tmp_path: Path) -> None:
    v2 = {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3, GENES[0]: 4}
    with pytest.raises(ValueError, match=r"<cls> and <eos>: a Geneformer V2 dictionary\. .*V1.*25,426.*V2.*20,275"):
        read_geneformer_v1(*_files(tmp_path, v2, MEDIANS))


@pytest.mark.parametrize(
    ("tokens", "medians", "names", "part"),
    [
        pytest.param(V1_TOKENS, {GENES[0]: 1.5}, None, "no median for 2 of the 3 genes.*Geneformer V2", id="v2"),
        pytest.param({"<pad>": 0, "<mask>": 1, GENES[0]: 3}, MEDIANS, None, "not laid out as Geneformer V1", id="gap"),
        pytest.param({"<pad>": 1, "<mask>": 0, GENES[0]: 2}, MEDIANS, None, "not laid out", id="other_specials"),
        pytest.param({"<pad>": 0, "<mask>": 1, GENES[0]: 2.5}, MEDIANS, None, "not laid out", id="fraction"),
        pytest.param({"<pad>": 0, GENES[0]: 1}, MEDIANS, None, "not laid out", id="no_mask"),
        pytest.param(V1_TOKENS, {**MEDIANS, GENES[0]: 0.0}, None, "medians are positive", id="zero_median"),
        pytest.param(V1_TOKENS, MEDIANS, {GENES[0]: "A"}, "names none of the 3 genes", id="names_the_wrong_way"),
    ],
)
def test_dictionaries_that_do_not_fit(tmp_path: Path, tokens, medians, names, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        read_geneformer_v1(*_files(tmp_path, tokens, medians, names))


def test_numpy_scalars_as_published(tmp_path: Path) -> None:
    assert len(read_geneformer_v1(*write_geneformer_v1(tmp_path).values())) == N_GENES


@pytest.fixture(scope="module")
def published(real_data):
    names = ("token_dictionary", "gene_median_dictionary", "gene_name_id_dict")
    return read_geneformer_v1(*(real_data(f"geneformer_v1/{name}.pkl") for name in names))


def test_published_dictionaries(published) -> None:
    assert is_published_v1(published)
    assert len(published) == 25_424
    assert (published.cls_token_id, published.n_tokens) == (25_426, 25_427)
    assert published.match(["MS4A1"]).tolist() == published.match(["ENSG00000156738.18"]).tolist() != [-1]


def test_released_tokenizer_is_reproduced_on_real_counts(published, real_data) -> None:
    import anndata

    reference = np.load(real_data("reference/rank_tokens_pbmc3k_200.npz"))
    cells = anndata.read_h5ad(real_data("data/pbmc3k.h5ad"))[:200]
    cells = cells[:, (cells.var["ensembl_id"].astype(str) != "").to_numpy()]
    gene_index = keep_first_of_duplicates(published.match(cells.var["ensembl_id"].astype(str).tolist()))
    counts = cells.X.tocsr()
    ranked = rank_encode(counts, gene_index, published, add_cls=False, max_length=None)
    column_of_token = dict(zip((gene_index + 2).tolist(), range(len(gene_index)), strict=True))
    assert len(ranked) == 200
    for i, ids in enumerate(ranked):
        expected = reference["tokens"][reference["offsets"][i] : reference["offsets"][i + 1]]
        assert sorted(ids) == sorted(expected)
        row = counts[i].toarray()[0]
        ours, theirs = (
            np.array([row[column_of_token[token]] / published.medians[token - 2] for token in order])
            for order in (ids, expected)
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)  # the same values in the same order
        as_float32 = ours.astype(np.float32)
        ties = as_float32[:-1] == as_float32[1:]
        assert (np.diff(ids.astype(int))[ties] > 0).all()  # ties by lower id
