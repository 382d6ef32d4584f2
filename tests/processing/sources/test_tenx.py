from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny
import tiny_sources

from langcell.processing.sources.tenx import is_tenx_h5, open_tenx_h5

COUNTS = tiny_sources.counts_of().toarray()


def read_all(path: Path, **options: str) -> tuple[list[str], np.ndarray]:
    with open_tenx_h5(path, **options) as cells:
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


def test_genes_of_an_h5_file_without_the_antibodies(tmp_path: Path) -> None:
    path = tiny_sources.write_tenx_h5(tmp_path / "filtered.h5")
    assert is_tenx_h5(path)
    names, counts = read_all(path)
    assert names == tiny.tiny_gene_names()[:-1]
    np.testing.assert_array_equal(counts, COUNTS[:, :-1])
    assert read_all(path, gene_column="name")[0][3] == "S3"


def test_the_layout_before_cell_ranger_3(tmp_path: Path) -> None:
    names, counts = read_all(version_2(tmp_path / "old.h5"))
    assert names == tiny.tiny_gene_names()
    np.testing.assert_array_equal(counts, COUNTS)


def without_genes(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["matrix/features/feature_type"]
        file["matrix/features/feature_type"] = ["Antibody Capture"] * 42


def without_pointers(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["matrix/indptr"]


def without_names(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["matrix/features/name"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(without_genes, "none of its 42 features", id="no_genes"),
        pytest.param(without_pointers, "no 10x matrix of one genome", id="no_matrix"),
        pytest.param(without_names, "a 10x matrix without", id="no_names"),
    ],
)
def test_unfit_h5_files(change, message: str, tmp_path: Path) -> None:
    path = tiny_sources.write_tenx_h5(tmp_path / "cells.h5")
    change(path)
    with pytest.raises(ValueError, match=message):
        open_tenx_h5(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_tenx_h5(tmp_path / "no.h5")
