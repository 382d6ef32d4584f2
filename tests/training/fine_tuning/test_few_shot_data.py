import logging

import numpy as np
import pytest
import tiny
from tiny_labelled import labelled_cells

from langcell.processing.cells.anndata_io import open_cells
from langcell.training.fine_tuning.few_shot_data import RankedRows, cell_weights, choose_rows, endless_batches, hold_out

TRUTH = np.array([0] * 20 + [-1] * 3 + [1] * 10 + [2])
NAMES = ("A", "B", "C")


def test_shots_of_each_type_are_drawn_by_the_seed(caplog):
    with caplog.at_level(logging.WARNING, logger="langcell"):
        rows = choose_rows(TRUTH, shots=4, names=NAMES, seed=0)
    assert np.bincount(TRUTH[rows]).tolist() == [4, 4, 1]
    assert "Types with fewer than 4 cells, which give all that they have: C (1)." in caplog.text
    assert np.array_equal(rows, choose_rows(TRUTH, shots=4, names=NAMES, seed=0))
    assert not np.array_equal(rows, choose_rows(TRUTH, shots=4, names=NAMES, seed=1))


def test_rows_bound_the_choice_and_cells_without_a_label_are_never_chosen():
    assert choose_rows(TRUTH, shots=None, rows=[33, 21, 3, 24], names=NAMES, seed=0).tolist() == [3, 24, 33]
    assert (TRUTH[choose_rows(TRUTH, shots=None, names=NAMES, seed=0)] >= 0).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([0, 34], r"rows go from 0 to 34; the data has 34 cells", id="beyond the end"),
        pytest.param([-1, 3], r"rows go from -1", id="negative"),
        pytest.param([0, 1], "in.h5ad has only the type 'A' in the 2 labelled .* two types", id="one type"),
        pytest.param([20, 21], "in.h5ad has no type in the 0 labelled cells", id="no label"),
    ],
)
def test_rows_that_nothing_can_be_learned_from_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        choose_rows(TRUTH, shots=None, rows=rows, names=NAMES, seed=0, where="in.h5ad")


@pytest.mark.parametrize(
    ("shots", "told"),
    [
        pytest.param(None, True, id="all cells"),
        pytest.param(4, True, id="more than one"),
        pytest.param(1, False, id="one was asked for"),
    ],
)
def test_a_type_with_a_single_cell_is_told(caplog, shots, told):
    with caplog.at_level(logging.WARNING, logger="langcell"):
        assert 33 in choose_rows(TRUTH, shots=shots, names=NAMES, seed=0)
    assert ("Types with a single cell, which is learned by heart and never held out: C." in caplog.text) == told


def test_a_single_cell_among_given_rows_is_what_was_asked_for(caplog):
    choose_rows(TRUTH, shots=None, rows=[0, 33], names=NAMES, seed=0)
    assert not caplog.text


def test_by_default_only_types_with_ten_cells_give_some_up():
    rows = np.flatnonzero(TRUTH >= 0)
    train, validation = hold_out(TRUTH, rows, share=None, seed=0)
    assert np.bincount(TRUTH[validation], minlength=3).tolist() == [4, 2, 0]
    assert np.array_equal(np.union1d(train, validation), rows)
    assert not len(np.intersect1d(train, validation))


@pytest.mark.parametrize(
    ("share", "held"),
    [
        pytest.param(0.0, [0, 0, 0], id="none"),
        pytest.param(0.5, [10, 5, 0], id="half, never the only cell"),
        pytest.param(0.99, [19, 9, 0], id="all but one"),
    ],
)
def test_a_share_that_is_given_holds_for_all_types(share, held):
    _, validation = hold_out(TRUTH, np.flatnonzero(TRUTH >= 0), share=share, seed=0)
    assert np.bincount(TRUTH[validation], minlength=3).tolist() == held


def test_a_share_that_holds_nothing_out_is_refused():
    with pytest.raises(ValueError, match=r"validation_share 0\.1 of so few cells is none"):
        hold_out(TRUTH, np.array([0, 1, 23, 24]), share=0.1, seed=0)


@pytest.fixture(scope="module")
def cells():
    """Nine cells, three of each type; the first has no known gene."""
    adata = labelled_cells(4)
    counts = adata.X.tolil()
    counts[0, : tiny.N_GENES] = 0
    adata.X = counts.tocsr()
    rows = np.array([0, 1, 2, 3, 4, 5, 9, 10, 11])
    with open_cells(adata) as source:
        return RankedRows.read(source, rows, rows % 3, tiny.tiny_processor().feature_extractor), adata[rows]


def test_views_are_what_the_feature_extractor_makes(cells):
    ranked, adata = cells
    chosen = np.array([4, 1])
    batch = ranked.pad(ranked.views(chosen), chosen)
    expected = tiny.tiny_processor().feature_extractor(adata.X[chosen], tiny.tiny_gene_names(), return_tensors="pt")
    assert batch["codes"].tolist() == [1, 1]
    for name in ("cell_input_ids", "cell_attention_mask"):
        assert np.array_equal(batch[name], expected[name])
    assert ranked.has_known_gene.tolist() == [False] + [True] * 8


def test_gene_dropout_hides_genes_and_keeps_cls_and_order(cells):
    ranked, _ = cells
    subset = ranked.subset(np.array([3, 7]), np.array([0, 1]))
    assert (len(subset), subset.codes.tolist()) == (2, [0, 1])
    (whole,) = subset.views(np.array([1]))
    assert np.array_equal(whole, ranked.views(np.array([7]))[0])
    rng = np.random.default_rng(0)
    views = [subset.views(np.array([1]), gene_dropout=0.9, rng=rng)[0] for _ in range(20)]
    every_gene = subset.ranked[7].tolist()
    for view in views:
        assert view[0] == whole[0]
        places = [every_gene.index(gene) for gene in view]
        assert places == sorted(places)
        assert len(view) <= tiny.MAX_CELL_LENGTH
    assert len({len(view) for view in views}) > 5


def test_balanced_batches_have_all_types_in_equal_parts():
    codes = np.array([0] * 50 + [1] * 3 + [2])
    batches = endless_batches(codes, 12, balance="sampling", rng=np.random.default_rng(0))
    drawn = np.array([next(batches) for _ in range(25)])
    assert (np.array([np.bincount(codes[batch], minlength=3) for batch in drawn]) == 4).all()
    # Within a type no cell comes again before all have come.
    assert np.bincount(drawn[codes[drawn] == 0], minlength=50).tolist()[:50] == [2] * 50


def test_unbalanced_batches_go_through_all_cells():
    codes = np.array([0] * 50 + [1] * 3 + [2])
    batches = endless_batches(codes, 9, balance="none", rng=np.random.default_rng(0))
    assert sorted(np.concatenate([next(batches) for _ in range(6)])) == list(range(54))


@pytest.mark.parametrize("balance", ["sampling", "weights", "none"])
def test_weights_have_mean_one_and_make_types_equal_only_where_asked(balance):
    codes = np.array([0] * 9 + [2] * 3)
    weights = cell_weights(codes, balance)
    assert weights.mean() == pytest.approx(1)
    assert (weights[codes == 0].sum() == pytest.approx(weights[codes == 2].sum())) == (balance == "weights")
