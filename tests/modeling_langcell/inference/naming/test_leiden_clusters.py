"""Clusters that are made while a file is named, and names for clusters afterwards."""

import sys

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from numpy.testing import assert_array_equal
from scipy import sparse
from tiny import save_tiny_folder
from tiny_groups import N_CELLS, SMALL, grouped_cells

import langcell
from langcell.inference.naming.leiden_clusters import check_leiden
from langcell.loading.load import load

LABELS = ["natural killer cell", "B cell", "monocyte"]
# numba and igraph say how they work, and scanpy says what it will do one day.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(save_tiny_folder(tmp_path_factory.mktemp("model") / "tiny", reference=True), device="cpu")


@pytest.fixture(scope="module")
def clustered(loaded):
    return langcell.annotate(grouped_cells(), LABELS, model=loaded, cluster=True, **SMALL)


def test_clusters_are_the_groups_of_the_cells(clustered):
    groups = pd.crosstab(clustered.obs["leiden"], clustered.obs["langcell_cluster"])
    assert (groups.to_numpy() > 0).sum(axis=0).max() == 1
    sizes = clustered.obs["langcell_cluster"].value_counts()
    assert sizes["0"] == sizes.max()


def test_each_cluster_has_a_name(clustered):
    facts = clustered.uns["langcell"]
    assert facts["cluster_column"] == "langcell_cluster"
    assert set(facts["clusters"]["cluster"]) == set(clustered.obs["langcell_cluster"])
    assert clustered.obs["langcell_cluster_label"].notna().all()


def test_the_order_of_the_cells_changes_no_cluster(clustered, loaded):
    order = np.random.default_rng(0).permutation(N_CELLS)
    other = langcell.annotate(grouped_cells()[order].copy(), LABELS, model=loaded, cluster=True, **SMALL)
    assert_array_equal(other.obs["langcell_cluster"], clustered.obs["langcell_cluster"].to_numpy()[order])


def test_tables_have_the_clusters(clustered, loaded, tmp_path):
    langcell.annotate(grouped_cells(), LABELS, model=loaded, cluster=True, csv=tmp_path / "names.csv", **SMALL)
    cells = pd.read_csv(tmp_path / "names.csv", index_col="barcode", dtype=str)
    assert cells["langcell_cluster"].tolist() == clustered.obs["langcell_cluster"].tolist()
    clusters = pd.read_csv(tmp_path / "names_clusters.csv", dtype={"cluster": str})
    assert {"label", "share", "runner_up", "novelty", "mixed"} <= set(clusters)


def test_too_few_cells_make_no_clusters(loaded):
    named = langcell.annotate(grouped_cells(20), LABELS, model=loaded, cluster=True, **SMALL)
    assert "langcell_cluster" not in named.obs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster_column": "leiden"}, "both given"),
        ({"refine": "none"}, "nothing is refined"),
    ],
)
def test_options_that_do_not_go_with_clusters(loaded, options, message):
    with pytest.raises(ValueError, match=message):
        langcell.annotate(grouped_cells(), LABELS, model=loaded, cluster=True, **options, **SMALL)


def test_without_igraph_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ValueError, match=r'pip install "langcell\[cluster\]"'):
        check_leiden()


@pytest.mark.parametrize("labels", [LABELS, ["lymphocyte", "B cell", "monocyte"]])
def test_clusters_are_named_afterwards(loaded, labels):
    named = langcell.annotate(grouped_cells(), labels, model=loaded, **SMALL)
    table = langcell.name_clusters(named, cluster_column="leiden")
    assert table["cluster"].tolist() == ["c0", "c1", "c2"]
    for row in table.itertuples():
        inside = named.obs["leiden"] == row.cluster
        assert set(named.obs.loc[inside, "langcell_cluster_label"]) == {row.label}
    assert named.uns["langcell"]["cluster_column"] == "leiden"


@pytest.mark.parametrize("unknown", [None, "auto"])
def test_a_cluster_that_fits_no_label_is_called_unknown_where_its_cells_are(loaded, unknown):
    named = langcell.annotate(grouped_cells(), LABELS, model=loaded, **SMALL)
    named.uns["langcell"] |= {"unknown_above_novelty": 0.72} if unknown else {}
    named.obs["langcell_novelty"] = np.where(named.obs["leiden"] == "c1", 0.9, 0.1)
    table = langcell.name_clusters(named, cluster_column="leiden")
    assert table["unknown"].tolist() == [False, True, False]
    called = named.obs.groupby("leiden", observed=True)["langcell_cluster_label"].first().astype(str)
    assert (called == "unknown").tolist() == [False, unknown is not None, False]


def test_a_cluster_of_two_types_is_flagged_afterwards(loaded):
    named = langcell.annotate(grouped_cells(), LABELS, model=loaded, **SMALL)
    named.obs["langcell_label"] = pd.Categorical(np.resize(LABELS[:2], N_CELLS), LABELS)
    named.obs["one"] = "all"
    (row,) = langcell.name_clusters(named, cluster_column="one").to_dict("records")
    assert row["mixed"]
    assert {row["label"], row["runner_up"]} == set(LABELS[:2])


@pytest.mark.parametrize("labels", [LABELS, ["lymphocyte", "B cell", "monocyte"]])
def test_clusters_have_the_same_names_now_and_afterwards(loaded, labels):
    named = langcell.annotate(grouped_cells(), labels, model=loaded, cluster_column="leiden", **SMALL)
    facts = named.uns["langcell"]
    now = pd.DataFrame(facts["clusters"])
    assert facts["clusters_from"] == "posteriors"
    np.testing.assert_allclose(named.obsm["langcell_probabilities"].sum(axis=1), 1, atol=1e-5)
    later = langcell.name_clusters(named, cluster_column="leiden")
    pd.testing.assert_frame_equal(later.fillna({"runner_up": ""}), now, check_dtype=False)
    assert named.uns["langcell"]["clusters_from"] == "posteriors"
    part = named[: N_CELLS - 3].copy()
    assert langcell.name_clusters(part, cluster_column="leiden")["cells"].sum() == N_CELLS - 3


def test_a_cluster_of_doublets_is_found_now_and_afterwards_while_the_counts_are_there(loaded, caplog):
    cells = grouped_cells()
    pairs = cells[0:N_CELLS:3].X[:40] + cells[1:N_CELLS:3].X[:40]
    both = AnnData(sparse.vstack([cells.X, pairs]).tocsr(), var=cells.var)
    both.obs["leiden"] = [*cells.obs["leiden"], *["pairs"] * 40]
    both.obs["known"] = [*np.resize(LABELS, 60), *[""] * (N_CELLS - 20)]
    how = {"known_column": "known", "cluster_column": "leiden"}
    named = langcell.annotate(both, LABELS, model=loaded, **how, **SMALL)
    now = pd.DataFrame(named.uns["langcell"]["clusters"]).set_index("cluster")["mixed"]
    assert now.to_dict() == {"c0": False, "c1": False, "c2": False, "pairs": True}
    later = langcell.name_clusters(named, cluster_column="leiden").set_index("cluster")["mixed"]
    assert later.to_dict() == now.to_dict()
    named.X = -named.X
    with caplog.at_level("INFO", logger="langcell"):
        langcell.name_clusters(named, cluster_column="leiden")
    assert "Clusters of doublets are not looked for" in caplog.text


def test_cells_that_are_named_alone_have_no_posteriors(loaded):
    named = langcell.annotate(grouped_cells(), LABELS, model=loaded, refine="none", **SMALL)
    assert "langcell_probabilities" not in named.obsm
    langcell.name_clusters(named, cluster_column="leiden")
    assert named.uns["langcell"]["clusters_from"] == "names"


def test_cells_without_names_or_clusters_are_refused(loaded, clustered):
    with pytest.raises(ValueError, match="name its cells first"):
        langcell.name_clusters(grouped_cells(), cluster_column="leiden")
    with pytest.raises(ValueError, match="unknown cluster column 'louvain'"):
        langcell.name_clusters(clustered, cluster_column="louvain")
    each = clustered.copy()
    each.obs["cell"] = np.arange(each.n_obs)
    with pytest.raises(ValueError, match="150 values for 150 cells; name a column of clusters"):
        langcell.name_clusters(each, cluster_column="cell")


def test_a_cell_without_a_name_is_no_candidate(clustered):
    some = clustered.copy()
    some.obs["langcell_label"] = some.obs["langcell_label"].where(np.arange(some.n_obs) > 0)
    langcell.name_clusters(some, cluster_column="leiden")
    assert "nan" not in some.obs["langcell_cluster_label"].cat.categories


def test_clusters_of_the_usual_name_are_made_where_there_are_none(clustered, loaded, caplog):
    cells = grouped_cells()
    del cells.obs["leiden"]
    with caplog.at_level("INFO", logger="langcell"):
        named = langcell.annotate(cells, LABELS, model=loaded, cluster_column="leiden", **SMALL)
    assert "obs has no column 'leiden': clusters are made, in 'langcell_cluster'" in caplog.text
    assert_array_equal(named.obs["langcell_cluster"], clustered.obs["langcell_cluster"])


@pytest.mark.parametrize("there", ["leiden_r1", "Leiden"])
def test_no_clusters_are_made_where_a_column_of_a_like_name_may_be_meant(loaded, there):
    cells = grouped_cells()
    cells.obs = cells.obs.rename(columns={"leiden": there})
    with pytest.raises(ValueError, match="unknown cluster column 'leiden'"):
        langcell.annotate(cells, LABELS, model=loaded, cluster_column="leiden", **SMALL)
