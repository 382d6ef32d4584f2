import zipfile
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
import tiny_containers
from anndata import AnnData
from numpy.testing import assert_allclose, assert_array_equal
from scipy.io import mmwrite
from tiny import tiny_config, tiny_counts, tiny_gene_names, tiny_model, tiny_processor

import langcell
from langcell.app.messages import Branch, NamingRequest, SearchRequest
from langcell.app.model_worker import ModelWorker
from langcell.app.options import AppOptions
from langcell.processing.labels.resolve import typed_labels

LABELS = "natural killer cell\nB cell, my odd cells"
TISSUES = {"blood": ["CL:0000236", "CL:0000232"]}
N_CELLS = 30
# UMAP and numba say how they work.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """A worker with a tiny model that was trained on B cells, erythrocytes and lymphocytes."""
    folder = tmp_path_factory.mktemp("hub") / "model"
    tiny_model(tiny_config(training_cell_types=["CL:0000236", "CL:0000232", "CL:0000542"])).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return ModelWorker.open(AppOptions(model=str(folder), device="cpu", dtype="float32"))


@pytest.fixture
def place(tmp_path):
    """A session's folder with cells in it."""
    AnnData(tiny_counts(N_CELLS), var=pd.DataFrame(index=tiny_gene_names())).write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path


def test_what_the_page_shows_of_the_model(worker):
    facts = worker.page_facts()
    assert facts.model_id == "model"
    assert Branch("CL:0000542", "lymphocyte", 2) in facts.branches
    assert Branch("CL:0000000", "cell", 3) in facts.branches
    assert not any(branch.name == "B cell" for branch in facts.branches)  # one type is no choice
    assert len(facts.sample_labels) == 10


def test_names_are_those_of_annotate(worker, place):
    named = worker.name_cells(NamingRequest(str(place), "cells.h5ad", labels=LABELS))
    written = anndata.read_h5ad(place / named.file)
    labels = ["natural killer cell", "B cell", "my odd cells"]
    expected = langcell.annotate(anndata.read_h5ad(place / "cells.h5ad"), labels, model=worker.loaded, progress=False)
    assert written.obs["langcell_label"].tolist() == expected.obs["langcell_label"].tolist()
    assert sum(cells for _, cells, _, _ in named.table) == named.n_cells == N_CELLS
    obs = written.obs.iloc[named.drawn.rows]
    assert named.drawn.labels.tolist() == obs["langcell_label"].tolist()
    assert named.drawn.names == list(obs.index)
    assert_allclose(named.drawn.confidence, obs["langcell_confidence"])
    assert named.drawn.places.shape == (N_CELLS, 2)
    assert named.notes[0] == "Not in the Cell Ontology, used as they are: my odd cells"


def test_all_that_can_be_taken_home_is_written(worker, place):
    named = worker.name_cells(NamingRequest(str(place), "cells.h5ad", labels=LABELS))
    assert set(named.files) == {"h5ad", "cells", "report", "png", "svg"}  # the file has no clusters
    assert sorted(path.name for path in place.iterdir()) == sorted(["cells.h5ad", *named.files.values()])
    langcell.annotate(
        place / "cells.h5ad",
        typed_labels(LABELS),
        model=worker.loaded,
        output=place / "same.h5ad",
        csv=place / "same.csv",
        progress=False,
    )
    assert (place / named.files["cells"]).read_bytes() == (place / "same.csv").read_bytes()


def test_clusters_are_found_by_their_name_and_named(worker, place):
    cells = anndata.read_h5ad(place / "cells.h5ad")
    cells.obs["seurat_clusters"] = np.arange(N_CELLS) % 2
    cells.write_h5ad(place / "cells.h5ad")
    named = worker.name_cells(NamingRequest(str(place), "cells.h5ad", labels=LABELS))
    assert named.cluster_column == "seurat_clusters"
    assert [row["cluster"] for row in named.clusters] == ["0", "1"]
    assert len(pd.read_csv(place / named.files["clusters"])) == 2
    assert set(named.cluster_genes) <= {"0", "1"}
    assert set(named.drawn.clusters) == {"0", "1"}


def test_clusters_are_made_where_the_file_has_none_on_request_alone(worker, tmp_path):
    AnnData(tiny_counts(120), var=pd.DataFrame(index=tiny_gene_names())).write_h5ad(tmp_path / "cells.h5ad")
    request = NamingRequest(str(tmp_path), "cells.h5ad", labels=LABELS)
    assert worker.name_cells(request).clusters == []
    made = worker.name_cells(replace(request, make_clusters=True))
    assert made.cluster_column == "langcell_cluster"
    assert sum(row["cells"] for row in made.clusters) == 120
    assert "clusters" in made.files


def test_a_column_with_a_cluster_a_cell_is_not_taken_for_clusters(worker, place):
    cells = anndata.read_h5ad(place / "cells.h5ad")
    cells.obs["cluster"] = [f"c{i}" for i in range(N_CELLS)]
    cells.write_h5ad(place / "cells.h5ad")
    assert worker.name_cells(NamingRequest(str(place), "cells.h5ad", labels=LABELS)).clusters == []


def test_labels_without_a_term_come_with_what_they_may_mean(worker, place):
    named = worker.name_cells(NamingRequest(str(place), "cells.h5ad", labels="hepatocite\nB cell"))
    (proposal,) = named.proposals
    assert (proposal.label, proposal.name, proposal.term_id) == ("hepatocite", "hepatocyte", "CL:0000182")
    assert not any("--" in note for note in named.notes)


@pytest.mark.parametrize("ending", ["h5mu", "h5", "zip"])
def test_other_containers_give_the_same_names(worker, tmp_path, ending):
    """h5mu, Cell Ranger's .h5, and a zipped folder with matrix.mtx hold the same cells as the h5ad file."""
    cells = tiny_containers.cells()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    write = {"h5mu": tiny_containers.write_h5mu, "h5": tiny_containers.write_tenx_h5, "zip": write_zipped_mtx}[ending]
    write(tmp_path / f"other.{ending}")
    expected = worker.name_cells(NamingRequest(str(tmp_path), "cells.h5ad", labels=LABELS))
    named = worker.name_cells(NamingRequest(str(tmp_path), f"other.{ending}", labels=LABELS))
    assert named.table == expected.table
    assert named.file == "other_named.h5ad"


def write_zipped_mtx(path):
    cells = tiny_containers.cells()
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("filtered/matrix.mtx", "w") as file:
            mmwrite(file, cells.X.T.tocoo())
        archive.writestr("filtered/barcodes.tsv", "".join(f"{name}\n" for name in cells.obs_names))
        archive.writestr("filtered/genes.tsv", "".join(f"{name}\t{name}\n" for name in cells.var_names))


def test_a_map_of_some_of_the_cells(worker, place):
    named = worker.name_cells(NamingRequest(str(place), "cells.h5ad", labels=LABELS, max_points=10))
    assert len(set(named.drawn.rows.tolist())) == len(named.drawn) == 10
    assert named.notes[-1] == "The map shows 10 of the cells, drawn at random."


@pytest.mark.parametrize("branch", ["CL:0000542", "lymphocyte"])
def test_labels_of_a_branch(worker, place, branch):
    named = worker.name_cells(NamingRequest(str(place), "cells.h5ad", branch=branch))
    assert {label for label, *_ in named.table} <= {"B cell", "lymphocyte"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"labels": "B cell"}, "needs at least two labels", id="one_label"),
        pytest.param({"branch": " "}, "No family of cell types is chosen", id="no_branch"),
        pytest.param({"tissue": ""}, "No tissue is chosen", id="no_tissue"),
        pytest.param({"branch": "neuron"}, r"none is CL:0000540 \(neuron\)", id="branch_without_types"),
        pytest.param({"layer": "tpm"}, "^cells.h5ad: .*'tpm'", id="layer"),
        pytest.param({"unknown": 2.0}, "unknown is 2", id="unknown"),
    ],
)
def test_errors_name_the_file_without_its_folder(worker, place, changes, message):
    request = {"folder": str(place), "file": "cells.h5ad", "labels": LABELS, **changes}
    with pytest.raises(ValueError, match=message) as raised:
        worker.name_cells(NamingRequest(**request))
    assert str(place) not in str(raised.value)
    assert [path.name for path in place.iterdir()] == ["cells.h5ad"]


def test_types_of_a_tissue(worker, place, monkeypatch):
    monkeypatch.setattr(worker.loaded.config, "tissue_cell_types", TISSUES, raising=False)
    assert worker.page_facts().tissues == ["blood"]
    named = worker.name_cells(NamingRequest(str(place), "cells.h5ad", tissue="blood"))
    assert {label for label, *_ in named.table} <= {"B cell", "erythrocyte"}


def test_search(worker, place):
    named = worker.name_cells(NamingRequest(str(place), "cells.h5ad", labels=LABELS))
    rows = np.array([3, 7, 29])
    found = worker.find_cells(SearchRequest(str(place), named.file, "the cell that makes antibodies", rows, top_k=5))
    expected = langcell.retrieve(place / named.file, [found.text], model=worker.loaded, top_k=N_CELLS)
    assert found.text == "the cell that makes antibodies"
    assert_array_equal(found.similarity, expected.set_index("row").loc[rows, "score"].to_numpy(np.float32))
    assert [cell for cell, *_ in found.best] == expected["found"].tolist()[:5]
    written = anndata.read_h5ad(place / named.file)
    assert [label for _, label, *_ in found.best] == written.obs.loc[expected["found"][:5], "langcell_label"].tolist()


def test_a_cell_type_is_searched_by_its_definition(worker, place):
    named = worker.name_cells(NamingRequest(str(place), "cells.h5ad", labels=LABELS))
    found = worker.find_cells(SearchRequest(str(place), named.file, "NK cell", np.arange(2)))
    assert found.text.startswith("cell type: natural killer cell. ")
    with pytest.raises(ValueError, match="There is no sentence"):
        worker.find_cells(SearchRequest(str(place), named.file, " ", np.arange(2)))
