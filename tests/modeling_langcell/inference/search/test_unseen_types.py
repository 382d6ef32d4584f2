import numpy as np

from langcell.inference.search.unseen_types import rank_below_known

T, CD4, NK, BRIGHT, B = "CL:0000084", "CL:0000624", "CL:0000623", "CL:0000938", "CL:0000236"


def test_a_type_without_training_cells_stays_behind_the_best_known_type_above_it():
    similarity = np.array([[0.2, 0.9, 0.3], [0.8, 0.1, 0.3]], dtype=np.float32)
    score = rank_below_known(similarity, [NK, BRIGHT, B], [NK, B])
    np.testing.assert_allclose(score, [[0.2, 0.1, 0.3], [0.8, 0.0, 0.3]], atol=1e-6)
    assert similarity[0, 1] == np.float32(0.9)  # the argument stays as it was


def test_known_types_texts_and_terms_without_a_known_candidate_above_keep_their_similarity():
    similarity = np.array([[0.2, 0.9, 0.4, 0.5]], dtype=np.float32)
    assert rank_below_known(similarity, [T, CD4, None, BRIGHT], [T, CD4]).tolist() == similarity.tolist()
    assert rank_below_known(similarity, [T, CD4, None, BRIGHT], None) is similarity


def test_the_order_of_the_candidates_changes_nothing():
    rng = np.random.default_rng(0)
    ids = [T, CD4, NK, BRIGHT, B]
    similarity = rng.random((6, 5), dtype=np.float32)
    order = rng.permutation(5)
    score = rank_below_known(similarity, ids, [T, NK])
    np.testing.assert_array_equal(
        rank_below_known(similarity[:, order], [ids[i] for i in order], [T, NK]), score[:, order]
    )
