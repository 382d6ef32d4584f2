"""Whatever cells come in, they are the same cells, and an output has them."""

import shutil
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import tiny_containers
import tiny_sources

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.cells.anndata_output import write_annotated
from langcell.processing.containers import loom
from langcell.processing.containers.kinds import kind_of

COUNTS = tiny_sources.counts_of().toarray()


@pytest.mark.parametrize("kind", tiny_containers.MAKERS)
def test_every_container_holds_the_same_cells(kind: str, tmp_path: Path) -> None:
    path = tiny_containers.make(kind, tmp_path)
    assert kind_of(path) == kind.partition(" ")[0]
    with open_cells(path) as cells:
        assert cells.gene_names == tiny_containers.NAMES
        assert cells.location == "X"
        rows = np.array([0, 7, 8, 41])
        np.testing.assert_array_equal(cells.counts_of(rows).toarray(), COUNTS[rows])
        np.testing.assert_array_equal(
            np.vstack([chunk.counts.toarray() for chunk in cells.chunks(7, start=3)]), COUNTS[3:]
        )


@pytest.mark.parametrize("kind", tiny_containers.MAKERS)
def test_the_name_of_a_file_decides_nothing(kind: str, tmp_path: Path) -> None:
    path = tiny_containers.make(kind, tmp_path)
    other = path.rename(tmp_path / "matter.dat")
    with open_cells(other) as cells:
        np.testing.assert_array_equal(cells.counts_of(np.arange(5)).toarray(), COUNTS[:5])


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.parametrize("kind", tiny_containers.MAKERS)
def test_an_output_has_the_cells_and_the_results(kind: str, suffix: str, tmp_path: Path) -> None:
    path, output = tiny_containers.make(kind, tmp_path), tmp_path / f"out.{suffix}"
    labels = np.array([f"type {i % 3}" for i in range(60)], dtype=object)
    write_annotated(
        path, output, obs={"label": labels}, obsm={"X_e": np.ones((60, 2), "f4")}, uns={"langcell": {"k": 1}}
    )
    read = anndata.read_h5ad(output) if suffix == "h5ad" else anndata.read_zarr(output)
    np.testing.assert_array_equal(read.X.toarray(), COUNTS)
    assert read.obs["label"].tolist() == labels.tolist()
    assert list(read.var_names) == tiny_containers.NAMES
    assert read.uns["langcell"]["k"] == 1
    with open_cells(output) as cells:
        np.testing.assert_array_equal(cells.counts_of(np.arange(60)).toarray(), COUNTS)
    if suffix == "h5ad":  # nothing in it depends on the input
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert anndata.read_h5ad(output).X.sum() == COUNTS.sum()


def test_cells_of_a_mudata_file_have_the_columns_of_the_whole_file(tmp_path: Path) -> None:
    path = tiny_containers.make("h5mu", tmp_path)
    with open_cells(path) as cells:
        obs = cells.obs
    assert obs["n"].tolist() == list(range(60))
    assert obs["donor"].tolist() == [f"d{i % 3}" for i in range(60)]
    assert "nnz" in obs
    assert not {"rna:nnz", "prot:x"} & set(obs)


def test_a_mudata_file_without_rna_names_what_it_has(tmp_path: Path) -> None:
    path = tiny_containers.make("h5mu", tmp_path)
    with h5py.File(path, "r+") as file:
        file.move("mod/rna", "mod/atac")
    with pytest.raises(ValueError, match=r"without a modality 'rna': it has atac, prot; write the one"):
        open_cells(path)


def test_layers_of_a_loom_file_are_read_in_blocks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loom, "_BLOCK_SIZE", 42 * 17)
    path = tiny_containers.make("loom", tmp_path)
    with open_cells(path, layer="spliced") as cells:
        np.testing.assert_array_equal(cells.counts_of(np.arange(60)).toarray(), 2 * COUNTS)
        assert "umap" not in cells.obs_columns
        assert cells.obs["is_primary_data"].tolist() == tiny_sources.obs_of()["is_primary_data"].tolist()


def test_a_loom_file_by_anndata_keeps_its_names(tmp_path: Path) -> None:
    # anndata's own reader looks for CellID and Gene, which its writer does not write, and numbers cells and genes.
    path = tiny_containers.make("loom", tmp_path)
    with h5py.File(path, "r+") as file:
        names = file["col_attrs/CellID"].asstr()[:].tolist()
        file.move("col_attrs/CellID", "col_attrs/obs_names")
        file.move("row_attrs/Gene", "row_attrs/var_names")
    with open_cells(path) as cells:
        assert cells.obs_names.tolist() == names
        assert cells.gene_names == tiny_containers.NAMES


def test_a_file_that_was_written_again_is_read_again(tmp_path: Path) -> None:
    path = tiny_containers.make("loom", tmp_path)
    with open_cells(path) as cells:
        assert cells.n_cells == 60
    with h5py.File(path, "r+") as file:
        file["matrix"][...] = 3
    with open_cells(path) as cells:
        assert cells.counts_of(np.array([0])).toarray().min() == 3
