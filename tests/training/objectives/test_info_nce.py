import pytest
import torch
from torch.nn.functional import cross_entropy

from langcell.training.objectives import Relations, multi_positive_info_nce


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
