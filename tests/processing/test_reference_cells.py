import copy
import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import softmax

from langcell.processing.genes import GeneVocabulary
from langcell.processing.rank_values import rank_encode
from langcell.processing.reference_cells import LabelScale, ReferenceCells

N_GENES = 30
TEXTS = ("cell type: B cell; ", "cell type: T cell; ")
VOCABULARY = GeneVocabulary([f"ENSG{i:011d}" for i in range(N_GENES)], np.linspace(1, 3, N_GENES), [""] * N_GENES)


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(1.0, size=(6, N_GENES)).astype(np.float32)


class _Csr:
    def __init__(self, dense):
        rows, self.indices = np.nonzero(dense)
        self.data, self.n_genes = dense[rows, self.indices], dense.shape[1]
        self.indptr = np.searchsorted(rows, np.arange(len(dense) + 1))
        self.has_canonical_format = True


def encode(counts, gene_index, **options):
    return rank_encode(_Csr(counts), gene_index, VOCABULARY, **options)


def reference(counts):
    ranked = encode(counts, np.arange(N_GENES), max_length=None, add_cls=False)
    return ReferenceCells(ranked.token_ids, ranked.offsets, TEXTS, np.arange(len(counts)) % 2)


def test_cells_without_any_of_the_genes_are_left_out(counts):
    counts[2, 4] = 0
    counts[0, 4] = 1
    got = reference(counts).as_measured(np.array([4]), VOCABULARY)
    assert got.rows.tolist() == np.flatnonzero(counts[:, 4] > 0).tolist()
    assert len(got) < len(counts)
    assert not len(reference(counts).as_measured(np.array([-1]), VOCABULARY))


@pytest.mark.parametrize("genes", [np.arange(N_GENES), np.array([3, -1, 20, 7, 11, 29])], ids=["all", "panel"])
def test_weights_follow_from_correlations_of_ranks_over_the_measured_genes(counts, genes):
    measured = reference(counts).as_measured(genes, VOCABULARY)
    others = np.random.default_rng(1).poisson(1.0, size=(4, len(genes))).astype(np.float32)
    others[:, genes < 0] = 0
    columns = [gene for gene in np.unique(genes[genes >= 0]) if counts[:, gene].any()]

    def ranks(lists):
        dense = np.zeros((len(lists), N_GENES + 2))
        for row, ids in enumerate(lists):
            kept = [gene - 2 for gene in ids if gene - 2 in columns]
            dense[row, kept] = 1 - np.arange(len(kept)) / len(kept)
        return dense[:, columns]

    lists = list(encode(others, genes, max_length=None))
    correlation = np.corrcoef(ranks(lists), ranks(list(encode(counts[:, np.maximum(genes, 0)], genes))))[:4, 4:]
    expected = softmax(correlation[:, measured.rows] / 0.0075, axis=1)
    np.testing.assert_allclose(measured.weights(lists), expected, atol=1e-3)


def test_weights_are_of_one_cell_alone_and_of_any_number(counts):
    measured = reference(counts).as_measured(np.arange(N_GENES), VOCABULARY)
    many = encode(np.random.default_rng(2).poisson(0.5, size=(600, N_GENES)), np.arange(N_GENES))
    together = measured.weights(many)
    assert together.shape == (600, len(counts))
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(measured.weights([many[571]])[0], together[571], rtol=1e-3, atol=1e-6)
    assert measured.weights([]).shape == (0, len(counts))


def test_a_cell_of_the_reference_is_nearest_to_itself_and_one_without_genes_to_none(counts):
    measured = reference(counts).as_measured(np.arange(N_GENES), VOCABULARY)
    whole = encode(counts, np.arange(N_GENES))
    assert measured.weights(whole).argmax(axis=1).tolist() == list(range(len(counts)))
    cls_alone = np.array([VOCABULARY.cls_token_id], dtype=np.uint16)
    np.testing.assert_allclose(measured.weights([cls_alone]), 1 / len(counts), rtol=1e-5)


def test_the_encoder_reads_the_first_genes_of_the_whole_cells(counts):
    expected = encode(counts, np.arange(N_GENES), max_length=5)
    got = reference(counts).in_all_genes(VOCABULARY, max_length=5)
    assert [cell.tolist() for cell in got] == [cell.tolist() for cell in expected]


def test_stored_embeddings_are_those_of_one_models_weights_in_any_dtype(counts, tmp_path):
    model = torch.nn.Linear(3, 4)
    cells = reference(counts)
    assert cells.known_by(model) is None
    assert cells.texts_known_by(model) is None
    stored = cells.with_embeds(np.eye(6, dtype=np.float32), model, text_embeds=np.eye(2, dtype=np.float32))
    stored.save(tmp_path / "reference_cells.npz")
    back = ReferenceCells.load(tmp_path / "reference_cells.npz", VOCABULARY)
    for same in (model, copy.deepcopy(model).to(torch.bfloat16)):
        np.testing.assert_array_equal(back.known_by(same), np.eye(6))
        np.testing.assert_array_equal(back.texts_known_by(same), np.eye(2))
    with torch.no_grad():
        model.bias[2] += 0.1
    assert back.known_by(model) is None
    assert back.texts_known_by(model) is None


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor], ids=["numpy", "torch"])
def test_what_is_known_lies_between_cell_and_text(counts, kind):
    cells = reference(counts)
    rng = np.random.default_rng(3)
    unit = [
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for rows in (rng.normal(size=(6, 8)), rng.normal(size=(2, 8)))
    ]
    known = cells.known(*map(kind, unit))
    np.testing.assert_allclose(np.linalg.norm(known, axis=1), 1, rtol=1e-6)
    to_cell, to_text = (np.einsum("ij,ij->i", known, part) for part in (unit[0], unit[1][cells.text_of]))
    np.testing.assert_allclose(to_cell, to_text)
    weights = kind(np.eye(6)[[2, 5]])
    joined = cells.as_measured(np.arange(N_GENES), VOCABULARY).joined(kind(unit[0])[:2], weights, known)
    np.testing.assert_allclose(joined, (unit[0][:2] + np.asarray(known)[[2, 5]]) / 2)


def test_a_saved_file_reads_back_and_is_the_same_bytes(tmp_path, counts):
    cells = reference(counts)
    for name in ("a.npz", "b.npz"):
        cells.save(tmp_path / name)
    back = ReferenceCells.load(tmp_path / "a.npz", VOCABULARY)
    assert np.array_equal(back.token_ids, cells.token_ids)
    assert np.array_equal(back.offsets, cells.offsets)
    assert back.texts == TEXTS
    assert np.array_equal(back.text_of, cells.text_of)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_ids_of_another_vocabulary_are_refused(tmp_path, counts):
    reference(counts).save(tmp_path / "reference_cells.npz")
    smaller = GeneVocabulary(VOCABULARY.gene_ids[:5], VOCABULARY.medians[:5], [""] * 5)
    with pytest.raises(ValueError, match=r"has gene ids up to \d+, the gene vocabulary has 5 genes"):
        ReferenceCells.load(tmp_path / "reference_cells.npz", smaller)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_labels_that_all_cells_resemble_lose_their_lead(kind):
    rng = np.random.default_rng(0)
    lead, spread = np.array([0.0, 5.0, -3.0], dtype=np.float32), np.array([1.0, 1.0, 3.0], dtype=np.float32)
    similarity = kind(rng.normal(size=(4000, 3)).astype(np.float32) * spread + lead)
    scaled = np.asarray(LabelScale.fitted(similarity, kind(np.full(4000, 1 / 4000, dtype=np.float32)))(similarity))
    assert np.abs(scaled.mean(axis=0)).max() < 1e-4
    # Common is (1 + 1 + 3) / 3; each label's own is drawn halfway to it.
    common = spread.mean()
    assert scaled.std(axis=0) == pytest.approx(2 * common * spread / (spread + common), rel=0.05)


def test_a_label_whose_similarity_never_differs_is_not_stretched_without_end():
    scale = LabelScale.fitted(np.array([[1.0, 7.0], [3.0, 7.0]]), np.full(2, 1 / 2))
    assert scale.factor.tolist() == pytest.approx([2 / 3, 2.0])
    flat = LabelScale.fitted(np.ones((5, 2)), np.full(5, 1 / 5))
    assert flat.factor.tolist() == [1.0, 1.0]


def test_a_type_with_many_reference_cells_counts_little_more_than_one_with_few(counts):
    cells = reference(counts)
    measured = cells.as_measured(np.arange(len(VOCABULARY)), VOCABULARY)
    per_type = np.bincount(cells.text_of[measured.rows], weights=measured.shares)
    sizes = np.bincount(cells.text_of[measured.rows])
    np.testing.assert_allclose(per_type / per_type.sum(), sizes**0.25 / (sizes**0.25).sum(), rtol=1e-6)
    assert measured.shares.sum() == pytest.approx(1)
    similarity = np.arange(3 * len(measured), dtype=np.float32).reshape(-1, 3) ** 2
    np.testing.assert_allclose(measured.scale(similarity).mean, measured.shares @ similarity, rtol=1e-6)


def test_names_and_types_are_kept_and_may_be_missing(tmp_path, counts):
    named = dataclasses.replace(reference(counts), names=tuple("abcdef"), types=("CL:0000236", "CL:0000084"))
    named.save(tmp_path / "named.npz")
    reference(counts).save(tmp_path / "plain.npz")
    back, plain = (ReferenceCells.load(tmp_path / f"{name}.npz", VOCABULARY) for name in ("named", "plain"))
    assert (back.names, back.types) == (tuple("abcdef"), ("CL:0000236", "CL:0000084"))
    assert (plain.names, plain.types) == ((), ())
    assert np.array_equal(back.ids_of(2), back.token_ids[back.offsets[2] : back.offsets[3]])
