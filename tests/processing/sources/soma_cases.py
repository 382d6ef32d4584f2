"""On real local SOMA experiments, with the columns of a Census, through the code that reads the public one."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import tiny_soma
import tiny_sources
from tiny_sources import N_CELLS

from langcell.processing.sources.census import CensusSelection, CensusSource, parse_joinids, resolve_census
from langcell.processing.sources.open_source import census_source

tiledbsoma = pytest.importorskip("tiledbsoma", reason="the extra census is not installed")
soma_io = pytest.importorskip("tiledbsoma.io")

COLUMNS = ["cell_type_ontology_term_id", "is_primary_data", "no_such_column"]
OBS = tiny_sources.obs_of()


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> str:
    """One SOMA experiment."""
    place = str(tmp_path_factory.mktemp("soma") / "experiment")
    adata = tiny_sources.adata_of()
    tiny_soma.from_anndata(place, adata)
    with tiledbsoma.open(place, "w") as opened:
        soma_io.add_X_layer(opened, "RNA", "halves", adata.X / 2)
    return place


@pytest.fixture(scope="module")
def census(experiment, tmp_path_factory) -> str:
    """A Census: a collection with the experiment as that of one organism."""
    place = str(tmp_path_factory.mktemp("census") / "soma")
    with tiledbsoma.Collection.create(place) as root:
        data = root.add_new_collection("census_data")
        data.set("homo_sapiens", tiledbsoma.open(experiment), use_relative_uri=False)
    return place


@pytest.mark.parametrize("place", ["experiment", "census"])
def test_cells_of_an_experiment_and_of_a_census(place: str, request) -> None:
    with CensusSource(CensusSelection(request.getfixturevalue(place))) as source:
        assert source.gene_names == tiny.tiny_gene_names()
        assert source.n_in_range() == N_CELLS
        metadata = source.metadata(COLUMNS, 5, 25)
        assert metadata.index.tolist() == list(range(5, 25))
        assert metadata["is_primary_data"].tolist() == OBS["is_primary_data"][5:25].tolist()
        assert metadata["cell_type_ontology_term_id"].tolist() == OBS["cell_type_ontology_term_id"][5:25].tolist()
        rows = np.array([3, 4, 10, 59])
        np.testing.assert_array_equal(source.counts_of(rows).toarray(), tiny_sources.counts_of().toarray()[rows])
        assert source.counts_of(np.array([], dtype=np.int64)).shape == (0, tiny.N_GENES + 2)


@pytest.mark.parametrize(
    ("value_filter", "joinids", "expected"),
    [
        pytest.param("is_primary_data == True", None, OBS["is_primary_data"], id="primary"),
        pytest.param(
            "assay_ontology_term_id == 'EFO:0009922' and nnz >= 10", None,
            (OBS["assay_ontology_term_id"] == "EFO:0009922") & (OBS["nnz"] >= 10), id="assay_and_genes",
        ),
        pytest.param(None, (10, 35), (np.arange(N_CELLS) >= 10) & (np.arange(N_CELLS) < 35), id="range"),
        pytest.param("dataset_id == 'set two'", (20, 1_000), np.arange(N_CELLS) >= 30, id="both"),
        pytest.param("nnz > 1000", None, np.zeros(N_CELLS, dtype=bool), id="nothing"),
    ],
)  # fmt: skip
def test_selections(experiment, value_filter, joinids, expected) -> None:
    selection = CensusSelection(experiment, value_filter=value_filter, joinids=joinids)
    with CensusSource(selection) as source:
        blocks = list(source.metadata_blocks(COLUMNS, 7))
        assert all(len(block) <= 7 for block in blocks)
        assert [row for block in blocks for row in block.index] == np.flatnonzero(expected).tolist()
        assert source.n_in_range() == (N_CELLS if joinids is None else min(joinids[1], N_CELLS) - joinids[0])
        inside = [row for row in np.flatnonzero(expected) if 20 <= row < 40]
        assert source.metadata(COLUMNS, 20, 40).index.tolist() == inside


@pytest.fixture(scope="module")
def half_labelled(tmp_path_factory) -> str:
    """An experiment in which every third cell has no lab."""
    place, adata = str(tmp_path_factory.mktemp("soma") / "experiment"), tiny_sources.adata_of()
    adata.obs["lab"] = np.resize(np.array([None, "one", "two"], dtype=object), N_CELLS)
    tiny_soma.from_anndata(place, adata)
    return place


@pytest.mark.parametrize(
    ("value_filter", "cells"),
    [
        pytest.param("lab != 'one'", N_CELLS // 3, id="not_equal"),
        pytest.param("lab not in ['one']", N_CELLS // 3, id="not_in"),
        pytest.param("lab == 'one' or lab == 'not !='", N_CELLS // 3, id="equal"),
    ],
)
def test_a_filter_that_loses_cells_without_a_value_says_so(half_labelled, value_filter, cells, caplog) -> None:
    selection = CensusSelection(half_labelled, value_filter=value_filter)
    with CensusSource(selection) as source:
        assert sum(len(block) for block in source.metadata_blocks(["lab"], 100)) == cells
    census_source(selection)
    assert ("leaves out the cells without a value" in caplog.text) == ("lab == " not in value_filter)


def test_another_column_of_names(experiment) -> None:
    with CensusSource(CensusSelection(experiment), gene_column="feature_name") as source:
        assert source.gene_names[3] == "name3"


def test_values_that_are_no_counts(experiment) -> None:
    with (
        CensusSource(CensusSelection(experiment), layer="halves") as source,
        pytest.raises(ValueError, match=r"cell \d+, gene .*, is .*, not a whole number; counts expected"),
    ):
        source.counts_of(np.arange(10))


@pytest.mark.parametrize(
    ("place", "changes", "message"),
    [
        pytest.param("nowhere", {}, "not a valid TileDB", id="nothing_there"),
        pytest.param("experiment", {"value_filter": "none == 1"}, r"filter 'none == 1'\): .*none", id="column"),
        pytest.param("experiment", {"value_filter": "nnz = ="}, "Could not parse", id="syntax"),
        pytest.param("census", {"organism": "mus_musculus"}, "No organism 'mus_musculus'.*homo_sapiens", id="organism"),
        pytest.param("collection", {}, "neither a SOMA experiment nor a Census", id="other"),
    ],
)  # fmt: skip
def test_refusals_are_one_line(place, changes, message, request, tmp_path: Path) -> None:
    if place == "collection":
        tiledbsoma.Collection.create(str(tmp_path / "other")).close()
    uri = str(tmp_path / "other") if place in ("nowhere", "collection") else request.getfixturevalue(place)
    with pytest.raises(ValueError, match=message) as caught, CensusSource(CensusSelection(uri, **changes)) as source:
        list(source.metadata_blocks(COLUMNS, 100))
    assert "\n" not in str(caught.value)


def test_a_layer_that_is_not_there(experiment) -> None:
    with pytest.raises(ValueError, match=r"no X layer 'normalized'; it has \['halves', 'raw'\]"):
        CensusSource(CensusSelection(experiment), layer="normalized")


def test_places_are_made_absolute(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_census("soma") == str(tmp_path / "soma")
    assert resolve_census("s3://bucket/soma") == "s3://bucket/soma"


@pytest.mark.parametrize("text", ["", "5", "5:5", "9:5", "a:b", "-1:4"])
def test_bad_ranges(text: str) -> None:
    assert parse_joinids("0:12") == (0, 12)
    with pytest.raises(ValueError, match="give start:stop"):
        parse_joinids(text)


def test_without_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tiledbsoma", None)
    with pytest.raises(ValueError, match=r'pip install "langcell\[census\]"'):
        CensusSource(CensusSelection("soma"))
