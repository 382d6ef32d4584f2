from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny
import tiny_sources

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.containers.kinds import kind_of

COUNTS = tiny_sources.counts_of().toarray()


def read_all(path: Path, **options: str) -> tuple[list[str], np.ndarray]:
    with open_cells(path, **options) as cells:
        return cells.gene_names, cells.counts_of(np.arange(cells.n_cells)).toarray()


def version_2(path: Path) -> Path:
    """The layout before Cell Ranger 3: a group named after the genome, genes alone."""
    tiny_sources.write_tenx_h5(path, antibodies=False)
    with h5py.File(path, "r+") as file:
        file.move("matrix", "GRCh38")
        genome = file["GRCh38"]
        genome.move("features/id", "genes")
        genome.move("features/name", "gene_names")
        del genome["features"]
    return path


def cellbender(path: Path) -> Path:
    """CellBender's output: fixed-length text as PyTables writes it, groups beside the matrix, values within it."""
    tiny_sources.write_tenx_h5(path, antibodies=False)
    with h5py.File(path, "r+") as file:
        matrix = file["matrix"]
        for name in ("barcodes", "features/id", "features/name", "features/feature_type"):
            texts = matrix[name].asstr()[:]
            del matrix[name]
            matrix[name] = np.array([text.encode() for text in texts])
        matrix["features/genome"] = np.array([b"GRCh38"] * tiny_sources.tiny.N_GENES)  # of another length: left out
        matrix["latent_scale"] = np.ones(len(COUNTS))
        matrix["target_false_positive_rate"] = 0.01
        file["droplet_latents/cell_probability"] = np.ones(len(COUNTS))
        file["global_latents/ambient_expression"] = np.ones(COUNTS.shape[1])
        file["metadata/learning_curve_train_elbo"] = np.ones(5)
        file.attrs["PYTABLES_FORMAT_VERSION"] = "2.1"
    return path


def without_types(path: Path) -> Path:
    cellbender(path)
    with h5py.File(path, "r+") as file:
        del file["matrix/features/feature_type"]
    return path


def test_genes_of_an_h5_file_without_the_antibodies(tmp_path: Path) -> None:
    path = tiny_sources.write_tenx_h5(tmp_path / "filtered.h5")
    assert kind_of(path) == "tenx_h5"
    names, counts = read_all(path)
    assert names == tiny.tiny_gene_names()[:-1]
    np.testing.assert_array_equal(counts, COUNTS[:, :-1])
    assert read_all(path, gene_column="name")[0][3] == "S3"


@pytest.mark.parametrize("make", [version_2, cellbender, without_types])
def test_other_layouts_hold_the_same_genes(make, tmp_path: Path) -> None:
    names, counts = read_all(make(tmp_path / "old.h5"))
    assert names == tiny.tiny_gene_names()
    np.testing.assert_array_equal(counts, COUNTS)


def test_the_matrix_is_read_in_place(tmp_path: Path) -> None:
    path = tiny_sources.write_tenx_h5(tmp_path / "filtered.h5")
    with open_cells(path) as cells, h5py.File(path, "r") as file:
        stored = cells._contents.matrices["X"]().data  # type: ignore[attr-defined]
        assert stored.file.filename == file.filename
        assert stored.name == "/matrix/data"


def without_genes(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["matrix/features/feature_type"]
        file["matrix/features/feature_type"] = ["Antibody Capture"] * 42


def without_names(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["matrix/features/name"]


def of_two_genomes(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.copy("matrix", "mm10")


def without_pointers(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["matrix/indptr"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(without_genes, "Antibody Capture", id="no_genes"),
        pytest.param(without_pointers, "no AnnData: it has no 'obs', only", id="no_matrix"),
        pytest.param(without_names, "a 10x matrix without", id="no_names"),
        pytest.param(of_two_genomes, r"the genomes \['matrix', 'mm10'\]; split them", id="two_genomes"),
    ],
)
def test_unfit_h5_files(change, message: str, tmp_path: Path) -> None:
    path = tiny_sources.write_tenx_h5(tmp_path / "cells.h5")
    change(path)
    with pytest.raises(ValueError, match=message):
        open_cells(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_cells(tmp_path / "no.h5")
