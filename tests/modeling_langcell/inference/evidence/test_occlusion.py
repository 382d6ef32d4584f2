import numpy as np
import pytest
from tiny_evidence import TYPES, typed_cells, typed_model, typed_reference

import langcell
from langcell.inference.scored_cells import score_data
from langcell.processing.labels.resolve import resolve_labels


@pytest.mark.parametrize("reference", [True, False])
def test_a_drop_is_that_of_the_cell_without_the_counts_of_the_gene(reference):
    cells, model = typed_cells(), typed_model(typed_reference() if reference else None)
    found = langcell.explain(cells, model=model, label_column="label", cell="cell3", progress=False)
    labels = resolve_labels(sorted(TYPES))

    def similarity(one):
        return score_data(one, labels, loaded=model, progress=False).similarity[3]

    whole = similarity(cells)
    place, other = (sorted(TYPES).index(name) for name in (found.label, found.against))
    assert found.label == "B cell"
    assert found.similarity == pytest.approx(whole[place], abs=1e-4)
    for gene in found.genes[:8]:
        without = cells.copy()
        counts = without.X.toarray()
        counts[3, int(gene.gene.removeprefix("GENE")) - 1] = 0
        without.X = type(cells.X)(counts)
        drop = whole - similarity(without)
        assert gene.drop == pytest.approx(drop[place], abs=1e-4)
        assert gene.drop_against == pytest.approx(drop[other], abs=1e-4)


def test_every_gene_that_the_model_reads_is_left_out_once():
    cells, model = typed_cells(), typed_model(typed_reference())
    found = langcell.explain(cells, model=model, label_column="label", cell="4", against="NK cell", progress=False)
    assert (found.cell, found.row, found.against) == ("cell4", 4, "natural killer cell")
    assert [gene.place for gene in found.genes] == list(range(1, len(found.genes) + 1))
    assert len({gene.gene for gene in found.genes}) == len(found.genes) <= 31
    table = found.frame()
    assert (np.diff(table["margin"].abs()) <= 0).all()


def test_a_cell_without_a_known_gene_is_refused():
    cells = typed_cells()
    counts = cells.X.toarray()
    counts[0] = 0
    cells.X = type(cells.X)(counts)
    with pytest.raises(ValueError, match="has no known gene"):
        langcell.explain(cells, model=typed_model(), label_column="label", cell="0", progress=False)
