import math

import pytest
import torch
from torch.nn.functional import normalize

from langcell.training.objectives import Relations, cell_text_matching_loss, draw_matching_pairs
from langcell.training.objectives.cell_text_matching import NOT_JUDGED


def draw(negative, own_text, *, seed=0, temperature=0.05):
    negative = torch.tensor(negative, dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    cells = normalize(torch.randn(negative.shape[0], 4, generator=generator), dim=1)
    texts = normalize(torch.randn(negative.shape[1], 4, generator=generator), dim=1)
    own = torch.tensor(own_text)
    relations = Relations(~negative, negative)
    return draw_matching_pairs(
        cells, texts, own_text=own, relations=relations, temperature=temperature, generator=generator
    )


@pytest.mark.parametrize("seed", range(5))
def test_own_texts_are_true_pairs_and_negatives_are_among_the_surely_wrong(seed):
    # Text 1 is neither for cell 0: it may never be drawn for it.
    negative = [[0, 0, 1], [1, 0, 1], [1, 1, 0]]
    pairs = draw(negative, [0, 1, 2], seed=seed)
    assert pairs.texts_of_cells[:, 0].tolist() == [0, 1, 2]
    assert pairs.targets.tolist() == [1, 0, 1, 0, 1, 0, 0, 0, 0]
    assert all(negative[cell][text] for cell, text in enumerate(pairs.texts_of_cells[:, 1].tolist()))
    assert all(negative[cell][text] for cell, text in zip(pairs.cells.tolist(), pairs.texts.tolist(), strict=True))


def test_a_cell_without_a_negative_is_not_judged_against_one():
    pairs = draw([[0, 0], [1, 0]], [0, 1])
    assert pairs.texts_of_cells[0].tolist() == [0, 0]
    assert pairs.targets[:4].tolist() == [1, NOT_JUDGED, 1, 0]
    assert pairs.texts.tolist() == [0]
    assert pairs.cells.tolist() == [1]


def test_negatives_come_in_proportion_to_similarity():
    cells = torch.tensor([[1.0, 0.0]])
    texts = torch.tensor([[1.0, 0.0], [math.cos(1.0), math.sin(1.0)], [-1.0, 0.0]])
    relations = Relations(torch.tensor([[True, False, False]]), torch.tensor([[False, True, True]]))
    generator = torch.Generator().manual_seed(0)
    own = torch.zeros(1, dtype=torch.long)
    drawn = [
        draw_matching_pairs(cells, texts, own_text=own, relations=relations, temperature=1.0, generator=generator)
        .texts_of_cells[0, 1]
        .item()
        for _ in range(2000)
    ]
    expected = math.exp(math.cos(1.0)) / (math.exp(math.cos(1.0)) + math.exp(-1.0))
    assert drawn.count(1) / len(drawn) == pytest.approx(expected, abs=0.03)


def test_loss_leaves_out_what_is_not_judged():
    logits = torch.tensor([[0.0, 2.0], [50.0, 0.0], [0.0, 0.0]])
    loss, accuracy = cell_text_matching_loss(logits, torch.tensor([1, NOT_JUDGED, 0]))
    assert loss.item() == pytest.approx((math.log1p(math.exp(-2.0)) + math.log(2.0)) / 2, abs=1e-6)
    assert accuracy.item() == 1.0


def test_several_negatives_are_distinct_and_missing_ones_are_not_judged():
    negative = torch.tensor([[False, True, True, True], [True, False, False, True]])
    embeds = normalize(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    pairs = draw_matching_pairs(
        embeds[:2],
        embeds,
        own_text=torch.tensor([0, 1]),
        relations=Relations(~negative, negative),
        temperature=1.0,
        negatives=3,
    )
    assert pairs.texts_of_cells.shape == (2, 4)
    assert set(pairs.texts_of_cells[0, 1:].tolist()) == {1, 2, 3}
    assert set(pairs.texts_of_cells[1, 1:3].tolist()) == {0, 3}
    assert pairs.texts_of_cells[1, 3] == 1
    assert pairs.targets[:8].tolist() == [1, 0, 0, 0, 1, 0, 0, NOT_JUDGED]
    few = draw_matching_pairs(
        embeds[:2],
        embeds,
        own_text=torch.tensor([0, 1]),
        relations=Relations(~negative, negative),
        temperature=1.0,
        negatives=9,
    )
    assert few.texts_of_cells.shape == (2, 10)  # more than there are texts
    assert (few.targets[:20] == NOT_JUDGED).sum() == 13


def test_with_several_negatives_the_own_text_is_asked_to_match_best():
    logits = torch.tensor([[0.0, 1.0], [0.0, 0.5], [0.0, -1.0], [0.0, 2.0]], requires_grad=True)
    targets = torch.tensor([1, 0, NOT_JUDGED, 0])  # one cell with three texts, and a hard negative cell
    loss, accuracy = cell_text_matching_loss(logits, targets, of_cells=3)
    pairs = torch.tensor([math.log1p(math.exp(-1.0)), math.log1p(math.exp(0.5)), math.log1p(math.exp(2.0))])
    among = math.log1p(math.exp(0.5 - 1.0))
    assert loss.item() == pytest.approx((pairs.sum().item() + 3 * among) / 3, rel=1e-5)
    assert accuracy.item() == pytest.approx(1 / 3)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[2].abs().sum() == 0
