"""Evidence on real cells: canonical markers, which were listed with their sources before the code was written."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

import langcell
from langcell.inference.evidence.label_evidence import STRONG_CONFLICT, LabelEvidence
from langcell.sample_data import sample_cells

MARKERS = pd.read_csv(Path(__file__).parent / "canonical_markers.csv").groupby("cl_id")["gene"].agg(set)
FIRST = 10


@pytest.fixture(scope="module")
def pbmc3k(real_data):
    return langcell.explain(
        real_data("data/pbmc3k.h5ad"), label_column="cl_label", gene_column="ensembl_id", progress=False
    )


def canonical(groups: Iterable[LabelEvidence]) -> dict[str, list[str]]:
    """The canonical markers of each type among its first supporting genes."""
    return {
        group.label: [gene.gene for gene in group.supporting[:FIRST] if gene.gene in MARKERS[group.ontology_term_id]]
        for group in groups
    }


def test_each_type_of_pbmc3k_has_two_canonical_markers_among_its_first_genes(pbmc3k):
    found = canonical(pbmc3k.groups)
    assert len(found) == 9
    assert not {label: genes for label, genes in found.items() if len(genes) < 2}


def test_no_true_label_of_pbmc3k_has_a_strong_conflict(pbmc3k):
    strongest = {group.label: group.conflicting[0].strength for group in pbmc3k.groups}
    assert max(strongest.values()) < STRONG_CONFLICT, strongest
    assert not any(group.strong_conflicts for group in pbmc3k.groups)


def test_eight_of_ten_types_of_the_sample_have_two_canonical_markers():
    cells = sample_cells()
    found = canonical(langcell.explain(cells, label_column="cell_type", progress=False).groups)
    assert len(found) == 10
    with_two = [label for label, genes in found.items() if len(genes) >= 2]
    assert len(with_two) >= 8, found


def test_killer_and_cd8_t_cells_are_told_apart_by_the_genes_that_textbooks_name(real_data):
    found = langcell.explain(
        real_data("data/pbmc3k.h5ad"),
        label_column="cl_label",
        gene_column="ensembl_id",
        label="NK",
        against="CD8 T",
        progress=False,
    ).comparison
    assert {"CD3D", "CD8A", "CD8B"} <= {gene.gene for gene in found.of_kind("missing")}
    assert {"TYROBP", "FCER1G", "GNLY"} <= {gene.gene for gene in found.of_kind("in the way")}


def test_a_b_cell_is_similar_to_its_label_by_its_markers(real_data):
    found = langcell.explain(
        real_data("data/pbmc3k.h5ad"),
        label_column="cl_label",
        gene_column="ensembl_id",
        cell="AAACATTGAGCTAC",
        dtype="float32",
        progress=False,
    )
    assert found.label == "B cell"
    assert found.similarity > found.similarity_against
    assert {"MS4A1", "BANK1"} <= set(found.frame().query("margin > 0")["gene"].head(5))
