import numpy as np
import pytest
from tiny import tiny_vocabulary
from tiny_evidence import MARKERS_PER_TYPE, PROFILES_PER_TYPE, typed_reference

from langcell.inference.evidence.profiles import Profiles, in_line
from langcell.processing.ontology.terms import Ontology

ONTOLOGY = Ontology.cellxgene()


def profiles(*, named=True, index=None):
    vocabulary = tiny_vocabulary()
    index = np.arange(len(vocabulary)) if index is None else index
    return Profiles(typed_reference(named=named), vocabulary, index, ONTOLOGY)


@pytest.mark.parametrize("named", [True, False])
def test_a_type_has_the_profiles_of_the_types_below_it(named):
    found = profiles(named=named)
    assert len(found.of_type("CL:0000236", "B").rows) == PROFILES_PER_TYPE
    lymphocytes = found.of_type("CL:0000542", "lymphocyte")  # B and natural killer cells
    assert lymphocytes.rows.tolist() == list(range(2 * PROFILES_PER_TYPE))
    assert not lymphocytes.stand_ins


def test_the_markers_of_a_type_rank_first_in_its_profiles():
    ranks = profiles().of_type("CL:0000623", "NK").mean
    assert sorted(np.argsort(-ranks)[:MARKERS_PER_TYPE]) == list(range(MARKERS_PER_TYPE, 2 * MARKERS_PER_TYPE))
    assert ranks.max() <= 1


def test_ranks_are_those_among_the_genes_of_the_file():
    index = np.array([8, -1, 30])
    ranks = profiles(index=index).of_type("CL:0000623", "NK").ranks
    assert ranks.shape == (PROFILES_PER_TYPE, 3)
    assert (ranks[:, 0] == 1).all()
    assert not ranks[:, 1].any()


def test_the_nearest_types_stand_in_for_a_type_without_profiles():
    found = profiles().of_type("CL:0000084", "T cell")
    assert found.stand_ins[0] in ("B cell", "natural killer cell")
    assert len(found.rows)


def test_profiles_are_named_and_without_names_called_by_their_type():
    assert profiles().names_of([0]) == ["Blood|B cell|0"]
    assert profiles(named=False).names_of([0]) == ["CL:0000236 #0"]


def test_types_in_line_are_no_rivals():
    assert in_line("CL:0000542", "CL:0000236", ONTOLOGY)
    assert not in_line("CL:0000623", "CL:0000236", ONTOLOGY)
