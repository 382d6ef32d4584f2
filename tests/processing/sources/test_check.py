"""What is wrong with a file is found from all sides, and one fault hides no other."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import tiny
import tiny_containers
import tiny_sources

from langcell.processing.sources.check import CheckedFile, check_files


def check(*paths: Path, **options) -> list[CheckedFile]:
    return check_files(paths, tiny.tiny_vocabulary(), progress=False, **options)


def said(checked: CheckedFile, severity: str = "error") -> str:
    return " | ".join(f"{p.what} -> {p.advice}" for p in checked.problems if p.severity == severity)


@pytest.mark.parametrize("kind", tiny_containers.MAKERS)
def test_good_files_of_every_kind(kind: str, tmp_path: Path) -> None:
    (checked,) = check(tiny_containers.make(kind, tmp_path))
    assert checked.is_fit, said(checked)
    assert (checked.facts["cells"], checked.facts["values_from"], checked.facts["x_is"]) == (60, "X", "counts")
    assert checked.facts["known_genes"] == tiny.N_GENES
    assert 0 < checked.facts["known_counts"] < 1
    json.dumps(checked.as_json())


def full_of_faults(path: Path) -> Path:
    adata = tiny_sources.adata_of()
    adata.obs["cell_type_ontology_term_id"] = ["CL:4099999"] * 3 + ["CL:0000003"] + ["CL:0000236"] * 56
    adata.obs["cell_type_ontology_term_id"] = adata.obs["cell_type_ontology_term_id"].astype("category")
    adata.obs["organism_ontology_term_id"] = "NCBITaxon:9544"
    adata.obs["is_primary_data"] = pd.array([True] * 50 + [None] * 10, dtype="boolean")
    adata.obs["my_labels"] = "a"
    adata.X = adata.X.log1p()
    adata.var_names = [f"Xkr{i}" for i in range(adata.n_vars)]
    adata.var = adata.var[[]]
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        del file["obs/nnz"]
    return path


def test_one_fault_hides_no_other(tmp_path: Path) -> None:
    (checked,) = check(full_of_faults(tmp_path / "odd.h5ad"))
    errors, notes = said(checked), said(checked, "note")
    assert not checked.is_fit
    assert "no raw counts found" in errors
    assert "are those of mice" in errors
    assert "ids that the ontologies do not have: CL:4099999 (3 cells) -> correct them" in errors
    assert "neither human nor mouse: NCBITaxon:9544" in errors
    assert "nnz" in errors
    assert "obsolete ids: CL:0000003" in notes
    assert "is missing for 10 cells" in notes
    assert checked.facts["label_columns"] == ["my_labels"]
    assert checked.facts["id_columns"][0] == "cell_type_ontology_term_id"


def test_mouse_is_a_note_and_two_species_are_an_error(tmp_path: Path) -> None:
    adata = tiny_sources.adata_of()
    adata.obs["organism_ontology_term_id"] = "NCBITaxon:10090"
    adata.write_h5ad(tmp_path / "mouse.h5ad")
    adata.obs["organism_ontology_term_id"] = ["NCBITaxon:10090", "NCBITaxon:9606"] * (adata.n_obs // 2)
    adata.write_h5ad(tmp_path / "both.h5ad")
    (mouse,), (both,) = check(tmp_path / "mouse.h5ad"), check(tmp_path / "both.h5ad")
    assert mouse.is_fit
    assert "named through human orthologs" in said(mouse, "note")
    assert "human and mouse cells in one file -> make a file per species" in said(both)


def test_values_in_the_middle_are_found_where_all_are_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("langcell.processing.sources.check._ROWS", 5)
    path = tiny_sources.write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(path, "r+") as file:
        pointers = file["X/indptr"][:]
        file["X/data"][pointers[16]] = 2.5
    monkeypatch.setattr("langcell.processing.cells.matrix_rows.SAMPLE_SIZE", 5)
    assert said(check(path)[0]) == ""
    assert "cell 16 (cell16), gene" in said(check(path, all_values=True)[0])


def test_cells_without_counts_are_counted(tmp_path: Path) -> None:
    adata = tiny_sources.adata_of()
    counts = adata.X.tolil()
    counts[[3, 4]] = 0
    adata.X = counts.tocsr()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert "2 of 60 cells that were looked at have no counts" in said(check(tmp_path / "cells.h5ad")[0], "note")


def test_what_another_format_cannot_hold_is_a_note(tmp_path: Path) -> None:
    path = tiny_sources.write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(path, "r+") as file:
        file["uns/odd"] = "text"
        file["uns/odd"].attrs["encoding-type"] = "of next year"
    (checked,) = check(path)
    assert checked.is_fit
    assert "uns['odd'] cannot be read" in said(checked, "note")


def test_good_and_bad_files_side_by_side(tmp_path: Path) -> None:
    tiny_sources.write_h5ad(tmp_path / "good.h5ad")
    (tmp_path / "cells.rds").write_bytes(b"X\n\x00\x00")
    shutil.copyfile(tmp_path / "good.h5ad", tmp_path / "cut.h5ad")
    with (tmp_path / "cut.h5ad").open("r+b") as file:
        file.truncate(2000)
    tiny_sources.adata_of()[:0].copy().write_h5ad(tmp_path / "none.h5ad")
    found = {checked.file: said(checked) for checked in check(tmp_path / "*")}
    assert found["good.h5ad"] == ""
    assert "an R object (.rds; Seurat?) -> write it as h5ad in R" in found["cells.rds"]
    assert "not an h5ad file, or cut short" in found["cut.h5ad"]
    assert "empty: 0 cells" in found["none.h5ad"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        check(tmp_path / "no.h5ad")


def test_a_dense_matrix_of_nan(tmp_path: Path) -> None:
    adata = tiny_sources.adata_of()
    adata.X = np.full(adata.shape, np.nan, dtype=np.float32)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert "NaN" in said(check(tmp_path / "cells.h5ad")[0])
