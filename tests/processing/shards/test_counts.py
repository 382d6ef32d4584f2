"""Counts of what is in a folder, from ontology ids and, where shards have no column for it, from descriptions."""

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import tiny_shards
import tiny_sources

from langcell.processing.ontology.terms import Ontology
from langcell.processing.shards.counts import count_shards
from langcell.processing.shards.manifest import read_manifest
from langcell.processing.shards.writer import Description
from langcell.processing.sources.open_source import find_sources
from langcell.processing.tokenization.tokenize import tokenize


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counted")
    specs = find_sources([tiny_sources.write_h5ad(folder / "a.h5ad")])
    tokenize(specs, folder / "shards", tiny.tiny_vocabulary(), options=tiny_sources.OPTIONS, progress=False)
    return folder / "shards"


def cells_of(folder):
    return pq.read_table([folder / shard.path for shard in read_manifest(folder).shards]).to_pandas()


def test_metadata_are_counted_by_name(tokenized):
    counts, cells = count_shards(tokenized, ontology=Ontology.cellxgene(), progress=False), cells_of(tokenized)
    ids = Counter(cells["cell_type_ontology_term_id"])
    names = counts.aspects["cell type"]
    assert names == {"B cell": ids["CL:0000236"], "T cell": ids["CL:0000084"]}  # what is unknown is not counted
    assert list(names.values()) == sorted(names.values(), reverse=True)
    assert counts.aspects["tissue"] == {"blood": len(cells)}
    assert set(counts.aspects["disease"]) == {"normal", "COVID-19"}
    assert counts.aspects["suspension type"] == {"cell": len(cells)}
    assert "sex" not in counts.aspects


def test_lengths_are_counted(tokenized):
    counts, cells = count_shards(tokenized, ontology=Ontology.cellxgene(), progress=False), cells_of(tokenized)
    np.testing.assert_array_equal(counts.lengths, np.bincount(cells["length"], minlength=13))
    assert counts.n_cells == len(cells)
    assert counts.length_at(0.5) == np.percentile(cells["length"], 50, method="inverted_cdf")


def test_what_has_no_column_is_taken_from_the_descriptions(tmp_path):
    descriptions = (
        Description("cell type: b cell; disease: covid-19; ", "", "", "full"),
        Description("cell type: b cell; disease: normal; assay: 10x; ", "", "", "full"),
        Description("a text of another form", "", "", "synonym"),
    )
    folder = tiny_shards.write_tiny_shards(tmp_path / "a", n_cells=50, descriptions=descriptions)
    of = Counter(cells_of(folder)["description_id"])
    counts = count_shards(folder, ontology=Ontology.cellxgene(), aspects=("disease", "assay"), progress=False)
    assert counts.aspects == {"disease": {"covid-19": of[0], "normal": of[1]}, "assay": {"10x": of[1]}}


def test_no_shards(tmp_path):
    with pytest.raises(ValueError, match=r"no manifest\.json"):
        count_shards(tmp_path, ontology=Ontology.cellxgene())
