import math

import torch

from langcell.training.objectives.label_naming import hardest_labels, label_matching_loss, similarity_loss


def test_similarity_loss_is_the_log_of_the_own_labels_probability():
    similarity = torch.tensor([[2.0, 0.0, -1.0], [0.0, 3.0, 1.0]])
    codes = torch.tensor([0, 2])
    expected = -similarity.softmax(1).log()[torch.arange(2), codes]
    torch.testing.assert_close(similarity_loss(similarity, codes), expected)


def test_match_loss_by_hand():
    # One cell, two labels with match probabilities 3/4 (own) and 1/2.
    logits = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0]]])
    pairs = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    among = -math.log(3 / (3 + 1))
    loss = label_matching_loss(logits, torch.tensor([0]))
    torch.testing.assert_close(loss, torch.tensor([pairs + among]))


def test_match_loss_of_bfloat16_is_computed_in_float32():
    logits = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    own = torch.tensor([0, 1, 2, 0])
    assert label_matching_loss(logits.bfloat16(), own).dtype == torch.float32


def test_hardest_labels_are_the_own_one_and_the_most_similar_others():
    similarity = torch.tensor([[0.1, 0.9, 0.5, 0.7], [0.4, 0.3, 0.2, 0.1]], requires_grad=True)
    codes = torch.tensor([0, 1])
    assert hardest_labels(similarity, codes, 3).tolist() == [[0, 1, 3], [1, 0, 2]]
    everything = hardest_labels(similarity, codes, 99)
    assert everything[:, 0].tolist() == [0, 1]
    assert everything.sort(1).values.tolist() == [[0, 1, 2, 3]] * 2


def test_with_all_labels_the_order_does_not_matter():
    logits = torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([2, 0, 3, 1])
    shuffled = label_matching_loss(logits[:, order], torch.tensor([0]))
    torch.testing.assert_close(label_matching_loss(logits, torch.tensor([2])), shuffled)
