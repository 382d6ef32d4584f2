import pytest
import torch

from langcell.training.randomness import cell_keys, draw_number, uniform


@pytest.fixture
def cells():
    return torch.randint(1, 100, (300, 40), generator=torch.Generator().manual_seed(0))


def draws(cells, *, seed=1, stream=0):
    return uniform(cell_keys(cells, cells > 0, seed=seed), cells.shape[1], stream=stream)


def test_numbers_follow_from_all_that_they_are_asked_for():
    numbers = {draw_number(*where) for where in [(0,), (1,), (0, 0), (0, 1), (1, 0), (2**62, 3)]}
    assert len(numbers) == 6
    assert all(0 <= number < 2**63 for number in numbers)
    assert draw_number(5, 6) == draw_number(5, 6)


def test_draws_are_uniform_and_streams_independent(cells):
    first, second = draws(cells, stream=0).flatten(), draws(cells, stream=1).flatten()
    for numbers in (first, second):
        assert 0 <= numbers.min() < 0.001 < 0.999 < numbers.max() < 1
        assert torch.histc(numbers, bins=10, min=0, max=1) / len(numbers) == pytest.approx(
            torch.full((10,), 0.1), abs=0.01
        )
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.03
    assert abs(torch.corrcoef(draws(cells).T) - torch.eye(40)).max() < 0.25, "neighbouring positions"


def test_another_seed_gives_other_draws(cells):
    assert not torch.equal(draws(cells, seed=1), draws(cells, seed=2))


def test_a_cell_is_drawn_alike_in_every_batch_and_under_every_padding(cells):
    padded = torch.cat([cells[7:9], torch.zeros(2, 13, dtype=torch.long)], dim=1)
    assert torch.equal(draws(padded)[:, :40], draws(cells)[7:9])


def test_cells_of_the_same_genes_in_another_order_are_other_cells(cells):
    assert not torch.equal(draws(cells.flip(1)), draws(cells))
