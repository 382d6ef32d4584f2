import torch
from torch.nn.functional import normalize

from langcell.training.objectives import cell_cell_loss


def unit(rows, *, size=6, seed=0):
    return normalize(torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)), dim=1).requires_grad_()


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


def test_losses_are_float32_under_autocast():
    view, codes = unit(5), torch.full((5,), -1)
    options = {"descriptions": codes, "cell_types": codes, "temperature": 0.05}
    plain, _ = cell_cell_loss(view, view.flip(0), **options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast, _ = cell_cell_loss(view, view.flip(0), **options)
    assert cast.item() == plain.item()
