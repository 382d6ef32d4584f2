import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_shards
import torch

from langcell.processing.ontology.terms import Ontology
from langcell.training.data.shard_location import ShardLocation
from langcell.training.data.type_relations import close_types, named_side_by_side, types_left_out

ANY, CLASSICAL, CD14, CD16, B_CELL = TYPES = ["CL:0000576", "CL:0000860", "CL:0001054", "CL:0002396", "CL:0000236"]
APART = ~torch.eye(len(TYPES), dtype=torch.bool)
# One study has the monocytes of its blood in two kinds, another in one; a third names a B cell elsewhere.
ROWS = [
    (CD14, "one", "blood"),
    (CD16, "one", "blood"),
    (CD14, "one", "blood"),
    (CLASSICAL, "two", "blood"),
    (B_CELL, "one", "lung"),
    ("", "one", "blood"),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    place = ShardLocation.find(tiny_shards.write_tiny_shards(folder / "tiny"))
    names = ["cell_type_ontology_term_id", "source", "tissue_ontology_term_id"]
    files = [str(folder / "a.parquet"), str(folder / "b.parquet")]
    for file, rows in zip(files, (ROWS[:2], ROWS[2:]), strict=True):
        pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), file)
    return [dataclasses.replace(place, files=files)]


@pytest.mark.parametrize(("most_below", "alone"), [(4, True), (5, False)])
def test_close_types_share_an_ancestor_that_is_narrow_enough(most_below, alone):
    close = close_types(TYPES, ancestors=Ontology.cellxgene().ancestors, most_below=most_below)
    assert close[:4, :4].all()
    assert (close[4] & APART[4]).any() != alone


def test_types_of_one_source_and_tissue_are_side_by_side(places):
    together = named_side_by_side(TYPES, places)
    found = {(TYPES[row], TYPES[column]) for row, column in (together & APART).nonzero().tolist()}
    assert found == {(CD14, CD16), (CD16, CD14)}


def test_what_is_left_out(places):
    def left_out(most_below):
        pairs = types_left_out(TYPES, places, ontology=Ontology.cellxgene(), most_below=most_below)
        assert torch.equal(pairs, pairs.T)
        assert pairs.diagonal().all()
        return pairs

    by_ancestors, by_closeness = left_out(0), left_out(4)
    assert by_ancestors[2, 3]  # in the Cell Ontology a CD16-positive monocyte is a CD14-positive one, too
    assert not by_ancestors[1, 2]
    assert not by_closeness[2, 3]  # but a study that names both keeps them apart
    assert by_closeness[1, 2]
    assert by_closeness[0, 1:4].all()
    assert not by_closeness[4, :4].any()


def test_shards_of_the_project_have_the_columns(tmp_path):
    place = ShardLocation.find(tiny_shards.write_tiny_shards(tmp_path / "tiny"))
    assert not named_side_by_side(TYPES, [place]).any()  # they say nothing of types
