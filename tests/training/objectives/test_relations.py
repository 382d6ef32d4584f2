import pytest
import torch

from langcell.training.objectives import relate, related_cell_types

# Types: 0 T cell, 1 CD4 T cell (a T cell), 2 B cell.
RELATED = related_cell_types(["T", "CD4 T", "B"], ancestors={"T": {"lymphocyte"}, "CD4 T": {"T"}, "B": set()}.get)


def pairs(positives, *, related=RELATED, descriptions=(0, 1, 2, 3), cell_types=(0, 0, 1, 2), identity=False):
    codes, types = torch.tensor(descriptions), torch.tensor(cell_types)
    return relate(
        descriptions=(codes, codes),
        cell_types=(types, types),
        positives=positives,
        related_types=related,
        identity=identity,
    )


def test_ancestors_and_descendants_are_related_both_ways():
    assert RELATED.int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("positives", "positive", "negative"),
    [
        pytest.param("description", [1, 0, 0, 0], [0, 0, 0, 1], id="same_type_other_description_is_left_out"),
        pytest.param("cell_type", [1, 1, 0, 0], [0, 0, 0, 1], id="same_type_is_positive_and_descendant_left_out"),
    ],
)
def test_first_row(positives, positive, negative):
    relations = pairs(positives)
    assert relations.positive[0].int().tolist() == positive
    assert relations.negative[0].int().tolist() == negative


def test_without_related_types_all_others_are_negatives():
    relations = pairs("description", related=None)
    assert torch.equal(relations.negative, ~relations.positive)


def test_unknown_types_are_neither_unless_it_is_the_same_cell():
    relations = pairs("cell_type", descriptions=(-1, -1), cell_types=(-1, -1), identity=True)
    assert relations.positive.int().tolist() == [[1, 0], [0, 1]]
    assert not relations.negative.any()


def test_unknown_positives_are_refused():
    with pytest.raises(ValueError, match=r"'tissue'\. Legal ones: cell, description, cell_type"):
        pairs("tissue")
