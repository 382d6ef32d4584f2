import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from langcell.sample_data import sample_cells
from langcell.training.evaluation.metrics.metrics import score_predictions
from langcell.training.evaluation.rivals.nearest_profile import name_by_nearest_profile
from langcell.training.evaluation.rivals.profile_genes import read_profiles
from langcell.training.labelled.labelled_cells import read_labelled_cells

N_GENES = 30
TYPE_IDS = ["CL:1", "CL:2", "CL:3"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Profiles of four types (two of CL:1) and cells drawn from those of CL:1, CL:2 and CL:3; paths and the truth."""
    folder, rng = tmp_path_factory.mktemp("profiles"), np.random.default_rng(0)
    expression = rng.gamma(0.3, size=(5, N_GENES))
    expression *= 10_000 / expression.sum(1, keepdims=True)
    ids = [f"ENSG{i:011d}" for i in range(N_GENES)]
    var = pd.DataFrame({"ensembl_id": ids}, index=[f"GENE{i}" for i in range(N_GENES)])
    obs = pd.DataFrame({"cl_id": ["CL:1", "CL:2", "CL:3", "CL:4", "CL:1"]}, index=[f"p{i}" for i in range(5)])
    anndata.AnnData(expression.astype(np.float32), obs=obs, var=var).write_h5ad(folder / "profiles.h5ad")
    source = rng.choice([0, 1, 2, 4], 60)
    counts = rng.poisson(expression[source] / 10).astype(np.float32)
    cells = anndata.AnnData(counts, var=pd.DataFrame(index=[f"{gene}.3" for gene in ids]))
    cells.obs_names = [f"c{i}" for i in range(60)]
    cells.write_h5ad(folder / "cells.h5ad")
    return folder / "cells.h5ad", folder / "profiles.h5ad", source % 4


def test_cells_get_the_type_that_they_were_drawn_from(files):
    cells, profiles, truth = files
    result = name_by_nearest_profile(cells, read_profiles(profiles), TYPE_IDS)
    assert (result.predicted == truth).mean() > 0.9
    assert (result.n_shared_genes, len(result.genes), result.types_without_profile) == (N_GENES, N_GENES, [])


def test_it_is_the_best_correlation_over_the_most_variable_genes(files):
    cells, profiles, _ = files
    result = name_by_nearest_profile(cells, read_profiles(profiles), TYPE_IDS, n_genes=10)
    counts, expression = anndata.read_h5ad(cells).X, anndata.read_h5ad(profiles).X
    values = np.log1p(counts / counts.sum(1, keepdims=True) * 10_000)
    genes = np.argsort(-values.var(0))[:10]
    likeness = [
        [pearsonr(cell[genes], np.log1p(expression[p, genes])).statistic for p in (0, 1, 2, 4)] for cell in values
    ]
    assert result.predicted.tolist() == [[0, 1, 2, 0][i] for i in np.argmax(likeness, axis=1)]
    assert len(result.genes) == 10


def test_chunks_and_the_choice_of_cells_do_not_change_a_cell(files):
    cells, profiles, _ = files
    whole = name_by_nearest_profile(cells, read_profiles(profiles), TYPE_IDS).predicted
    kept = np.arange(60) % 3 == 0
    part = name_by_nearest_profile(cells, read_profiles(profiles), TYPE_IDS, cells=kept, rows_per_chunk=7).predicted
    assert part.tolist() == whole[kept].tolist()


def test_types_without_a_profile_are_listed_and_one_type_is_not_enough(files):
    cells, profiles, _ = files
    result = name_by_nearest_profile(cells, read_profiles(profiles), ["CL:1", "CL:9", "CL:2", None])
    assert result.types_without_profile == ["CL:9", "no id"]
    assert set(result.predicted) <= {0, 2}
    with pytest.raises(ValueError, match="Of the 2 types, 1 have a profile"):
        name_by_nearest_profile(cells, read_profiles(profiles), ["CL:1", "CL:9"])


def test_a_cell_without_shared_genes_gets_no_type(files, tmp_path):
    _, profiles, _ = files
    counts = np.array([[5, 1, 0], [0, 0, 7]], dtype=np.float32)
    var = pd.DataFrame(index=["GENE1", "GENE2", "other"])
    anndata.AnnData(counts, obs=pd.DataFrame(index=["a", "b"]), var=var).write_h5ad(tmp_path / "cells.h5ad")
    predicted = name_by_nearest_profile(tmp_path / "cells.h5ad", read_profiles(profiles), TYPE_IDS).predicted
    assert predicted[1] == 3 > predicted[0]


def test_no_common_gene_and_no_type_column_are_refused(files, tmp_path):
    _, profiles, _ = files
    others = anndata.AnnData(np.ones((2, 2), dtype=np.float32), var=pd.DataFrame(index=["x", "y"]))
    others.obs_names = ["a", "b"]
    others.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(ValueError, match="no gene in common"):
        name_by_nearest_profile(tmp_path / "cells.h5ad", read_profiles(profiles), TYPE_IDS)
    with pytest.raises(ValueError, match="unknown column 'nope'"):
        read_profiles(profiles, type_column="nope")


def _measured(data, profiles, **columns):
    labelled = read_labelled_cells(data, **columns)
    type_ids = [label.ontology_term_id for label in labelled.labels]
    result = name_by_nearest_profile(data, read_profiles(profiles), type_ids, cells=labelled.has_label)
    scores = score_predictions(labelled.truth[labelled.has_label], result.predicted, labelled.names, seed=0)
    return scores["accuracy"], scores["macro_f1"]


def test_the_known_figures_on_pbmc3k(real_data):
    measured = _measured(
        real_data("data/pbmc3k.h5ad"),
        real_data("data/cell_profiles.h5ad"),
        label_column="cell_type",
        label_ids_column="cl_id",
    )
    assert measured == pytest.approx((0.702, 0.717), abs=0.01)


def test_the_known_figures_on_the_700_pbmc(real_data, tmp_path):
    profiles = real_data("data/cell_profiles.h5ad")
    sample_cells().write_h5ad(tmp_path / "pbmc.h5ad")
    measured = _measured(tmp_path / "pbmc.h5ad", profiles, label_column="cell_type")
    assert measured == pytest.approx((0.654, 0.563), abs=0.01)
