import pytest
import torch
from torch.nn.functional import normalize

from langcell.training.objectives import cell_text_loss


def unit(rows, *, size=6, seed=0):
    return normalize(torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)), dim=1).requires_grad_()


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
