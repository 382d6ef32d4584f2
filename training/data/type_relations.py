"""Which pairs of cell types a run leaves out of its losses, because one may be the other.

A cell labelled "monocyte" may be a classical one, and one study's "classical monocyte" is another's "CD14-positive
monocyte": who names cells decides how finely. Counted as wrong, such texts are pushed away from their own cells.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import fsspec
import pyarrow.parquet as pq
import torch
from torch import Tensor

from langcell.processing.ontology.terms import Ontology
from langcell.training.data.shard_location import ShardLocation
from langcell.training.objectives import related_cell_types

_TYPE, _WHERE = "cell_type_ontology_term_id", ("source", "tissue_ontology_term_id")


def types_left_out(
    term_ids: Sequence[str], places: Sequence[ShardLocation], *, ontology: Ontology, most_below: int
) -> Tensor:
    """Return the pairs of cell types that are neither surely the same nor surely different.

    Args:
        term_ids: ontology ids in the order of their codes.
        places: the shards of the run, whose sources say which types are named side by side.
        ontology: where ancestors are looked up.
        most_below: 0: a type and its ancestors. Above 0 also types with a common ancestor that has at most this many
            of the types below it; but then no pair that one source names in one tissue, ancestors or not: who uses
            both names keeps them apart.

    Returns:
        `[K, K]` bool, symmetric, with a true diagonal.
    """
    related = related_cell_types(term_ids, ancestors=ontology.ancestors)
    if most_below == 0:
        return related
    close = close_types(term_ids, ancestors=ontology.ancestors, most_below=most_below)
    return (related | close) & ~named_side_by_side(term_ids, places) | torch.eye(len(term_ids), dtype=torch.bool)


def close_types(term_ids: Sequence[str], *, ancestors: Callable[[str], Iterable[str]], most_below: int) -> Tensor:
    """Return the pairs of types with a common ancestor that has at most `most_below` of the types below it, `[K, K]`
    bool.

    >>> above = {"CD4 T": ["T", "cell"], "CD8 T": ["T", "cell"], "B": ["cell"]}
    >>> close_types(["CD4 T", "CD8 T", "B"], ancestors=above.get, most_below=2).int().tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    below: dict[str, list[int]] = defaultdict(list)
    for code, term_id in enumerate(term_ids):
        for ancestor in {term_id, *ancestors(term_id)}:
            below[ancestor].append(code)
    close = torch.eye(len(term_ids), dtype=torch.bool)
    for codes in below.values():
        if len(codes) <= most_below:
            close[torch.tensor(codes).unsqueeze(1), torch.tensor(codes)] = True
    return close


def named_side_by_side(term_ids: Sequence[str], places: Sequence[ShardLocation]) -> Tensor:
    """Return the pairs of types that one source names in one tissue, `[K, K]` bool; reads three columns of all
    shards."""
    code_of = {term_id: code for code, term_id in enumerate(term_ids)}
    types_in: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for file in (file for place in places for file in place.files):
        with fsspec.open(file) as opened:
            table = pq.read_table(opened, columns=[_TYPE, *_WHERE]).group_by([_TYPE, *_WHERE]).aggregate([])
        for row in table.to_pylist():
            if row[_TYPE] in code_of:
                types_in[tuple(row[name] or "" for name in _WHERE)].add(code_of[row[_TYPE]])
    together = torch.zeros(len(term_ids), len(term_ids), dtype=torch.bool)
    for codes in types_in.values():
        index = torch.tensor(sorted(codes))
        together[index.unsqueeze(1), index] = True
    return together
