import numpy as np
import pytest
import scanpy
import tiny
import tiny_evaluation
from anndata import AnnData

from langcell.training.evaluation.inputs.expression import log_normalize
from langcell.training.evaluation.tasks.gene_sets import call_active, place_genes, read_gmt, score_gene_sets


def test_a_gmt_file_is_read_without_comments_and_doubles(tmp_path):
    path = tmp_path / "sets.gmt"
    path.write_text("# note\nA\tdescription\tG1\tG2\tG1\t\n\nB\t\tG3\n")
    assert read_gmt(path) == {"A": ["G1", "G2"], "B": ["G3"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("A\tdescription\n", r"line 1: expected name, description and genes", id="no_genes"),
        pytest.param("A G1 G2\n", r"line 1: expected", id="no_tabs"),
        pytest.param("A\t\tG1\nA\t\tG2\n", r"line 2: the set 'A' comes twice", id="twice"),
        pytest.param("\n", "has no gene set", id="empty"),
    ],
)
def test_a_bad_gmt_file_is_refused(tmp_path, text, message):
    (path := tmp_path / "sets.gmt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_gmt(path)


def test_genes_are_found_by_symbol_by_id_and_as_written():
    vocabulary, names = tiny.tiny_vocabulary(), tiny.tiny_gene_names()
    wanted = {"A": [vocabulary.symbols[0], vocabulary.gene_ids[2], "UNKNOWN1", "NOWHERE", vocabulary.gene_ids[0]]}
    # Column 0 is an id, column 2 a symbol, and UNKNOWN1 is in no vocabulary.
    assert place_genes(wanted, names, vocabulary)["A"].tolist() == [0, 2, tiny.N_GENES]


def test_scores_are_scanpys_and_high_where_the_genes_are():
    counts, names = tiny_evaluation.type_counts()
    values = log_normalize(counts)
    scores = score_gene_sets(values, {"B": np.arange(10), "T": np.arange(12, 22)}, seed=0)
    of_b = np.array([name == "B cell" for name in names])
    assert scores[of_b, 0].min() > scores[~of_b, 0].max()
    adata = AnnData(values)
    adata.var_names = [str(i) for i in range(values.shape[1])]
    scanpy.tl.score_genes(adata, [str(i) for i in range(10)], random_state=0)
    np.testing.assert_allclose(scores[:, 0], adata.obs["score"])


def test_the_top_share_is_active_and_ties_are_all_in():
    scores = np.array([[1.0, 2.0], [2.0, 2.0], [3.0, 2.0], [4.0, 2.0]])
    assert call_active(scores, share=0.5).tolist() == [[0, 1], [0, 1], [1, 1], [1, 1]]
