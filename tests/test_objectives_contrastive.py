import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from langcell.training.objectives import Relations, cell_cell_loss, cell_text_loss, multi_positive_info_nce


def unit(rows, *, size=6, seed=0):
    return normalize(torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)), dim=1).requires_grad_()


def relations(positive, negative=None):
    positive = torch.tensor(positive, dtype=torch.bool)
    return Relations(positive, ~positive if negative is None else torch.tensor(negative, dtype=torch.bool))


def test_one_positive_is_cross_entropy():
    similarity = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    loss = multi_positive_info_nce(similarity, relations(torch.eye(4).tolist()))
    assert loss.item() == pytest.approx(cross_entropy(similarity, torch.arange(4)).item(), abs=1e-6)


def test_other_positives_and_left_out_pairs_are_in_no_denominator():
    similarity = torch.tensor([[3.0, 1.0, 0.5, 9.0]])
    loss = multi_positive_info_nce(similarity, relations([[1, 1, 0, 0]], [[0, 0, 1, 0]]))
    exp = similarity.exp()[0]
    expected = -((exp[0] / (exp[0] + exp[2])).log() + (exp[1] / (exp[1] + exp[2])).log()) / 2
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


def test_every_positive_gets_a_gradient_and_left_out_pairs_none():
    similarity = torch.tensor([[9.0, -2.0, 0.0, 5.0]], requires_grad=True)
    multi_positive_info_nce(similarity, relations([[1, 1, 0, 0]], [[0, 0, 1, 0]])).backward()
    assert similarity.grad is not None
    assert (similarity.grad[0, :2] < 0).all()
    assert similarity.grad[0, 2] > 0
    assert similarity.grad[0, 3] == 0


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        pytest.param([[1, 1]], [[0, 0]], id="no_negative"),
        pytest.param([[0, 0]], [[1, 1]], id="no_positive"),
        pytest.param([[0, 0]], [[0, 0]], id="neither"),
    ],
)
def test_rows_with_nothing_to_contrast_give_zero_without_nan(positive, negative):
    similarity = torch.tensor([[20.0, -20.0]], requires_grad=True)
    loss = multi_positive_info_nce(similarity, relations(positive, negative))
    loss.backward()
    assert loss.item() == 0.0
    assert similarity.grad is not None
    assert not similarity.grad.any()


def test_cell_cell_of_equal_views_is_lower_than_of_shuffled_ones():
    view, codes = unit(5), torch.full((5,), -1)
    options = {"descriptions": codes, "cell_types": codes, "temperature": 0.05}
    same, accuracy = cell_cell_loss(view, view, **options)
    shuffled, _ = cell_cell_loss(view, view.flip(0), **options)
    assert same < shuffled
    assert accuracy == 1.0


def test_cell_cell_by_type_takes_cells_of_other_studies_as_views():
    view, other = unit(4), unit(4, seed=1)
    codes = torch.arange(4)
    by_cell, _ = cell_cell_loss(view, other, descriptions=codes, cell_types=codes // 2, temperature=0.1)
    by_type, _ = cell_cell_loss(
        view, other, descriptions=codes, cell_types=codes // 2, temperature=0.1, positives="cell_type"
    )
    assert by_cell != by_type


def test_cell_text_counts_a_text_once_however_often_it_comes():
    cells, texts = unit(4), unit(2, seed=1)
    options = {"cell_descriptions": torch.tensor([7, 7, 3, 3]), "cell_types": torch.tensor([0, 0, 1, 1])}
    once, _ = cell_text_loss(
        cells,
        texts,
        text_descriptions=torch.tensor([7, 3]),
        text_types=torch.tensor([0, 1]),
        temperature=0.05,
        **options,
    )
    twice, _ = cell_text_loss(
        cells,
        torch.cat([texts, texts]),
        text_descriptions=torch.tensor([7, 3, 7, 3]),
        text_types=torch.tensor([0, 1, 0, 1]),
        temperature=0.05,
        **options,
    )
    assert once.item() == pytest.approx(twice.item(), abs=1e-6)


def test_losses_are_float32_under_autocast():
    view, codes = unit(5), torch.full((5,), -1)
    options = {"descriptions": codes, "cell_types": codes, "temperature": 0.05}
    plain, _ = cell_cell_loss(view, view.flip(0), **options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast, _ = cell_cell_loss(view, view.flip(0), **options)
    assert cast.item() == plain.item()


def test_two_texts_of_one_description_are_two_positives():
    cells, texts = unit(3), unit(3, seed=1)
    options = {
        "cell_descriptions": torch.tensor([7, 7, 3]),
        "cell_types": torch.tensor([0, 0, 1]),
        "text_descriptions": torch.tensor([7, 7, 3]),
        "text_types": torch.tensor([0, 0, 1]),
        "temperature": 0.05,
    }
    both, _ = cell_text_loss(cells, texts, text_rows=torch.tensor([14, 15, 6]), **options)
    both.backward()
    assert texts.grad is not None
    assert (texts.grad.abs().sum(dim=1) > 0).all()
    one, _ = cell_text_loss(cells, texts, **options)
    assert one != both
