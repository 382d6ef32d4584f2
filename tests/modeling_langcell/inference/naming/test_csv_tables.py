import pandas as pd
import pytest

from langcell.inference.naming.csv_tables import check_csv, tables_at, write_tables

OBS = {
    "langcell_label": pd.Categorical(["B cell", "T cell"]),
    "langcell_ontology_term_id": ["CL:0000236", "CL:0000084"],
    "langcell_confidence": [0.91234, 0.5],
    "langcell_novelty": [0.1, 0.2],
    "langcell_label_alone": ["B cell", "B cell"],
}
CLUSTERS = {"cluster": ["0"], "label": ["B cell"], "share": [0.5], "runner_up": ["T cell"], "mixed": [True]}


def test_the_first_column_is_the_barcode_and_the_rest_are_the_names(tmp_path):
    write_tables(tmp_path / "names.csv", pd.Index(["AAAC-1", "AAAG-1"]), OBS, {})
    assert [path.name for path in tmp_path.iterdir()] == ["names.csv"]
    table = pd.read_csv(tmp_path / "names.csv", index_col=0)
    assert table.index.name == "barcode"
    assert table.index.tolist() == ["AAAC-1", "AAAG-1"]
    assert set(table) == set(OBS)
    assert table["langcell_confidence"].tolist() == [0.9123, 0.5]


def test_clusters_stand_beside_the_cells(tmp_path):
    write_tables(tmp_path / "names.csv", pd.Index(["a", "b"]), OBS, {"clusters": CLUSTERS})
    table = pd.read_csv(tmp_path / "names_clusters.csv", dtype={"cluster": str})
    assert table.to_dict("list") == CLUSTERS
    write_tables(tmp_path / "others.csv", pd.Index(["a", "b"]), OBS, {"clusters": {"cluster": ["1"]}})
    assert pd.read_csv(tmp_path / "names_clusters.csv", dtype={"cluster": str}).equals(table), "replaced by others"
    assert tables_at(tmp_path / "names.csv", {"clusters": CLUSTERS})[1] == tmp_path / "names_clusters.csv"


@pytest.mark.parametrize("name", ["names.tsv", "nowhere/names.csv"])
def test_a_table_that_cannot_be_written_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"ends in \.csv|does not exist; create it first"):
        check_csv(tmp_path / name)
    check_csv(None)
    check_csv(tmp_path / "names.csv")


def test_a_table_takes_the_place_of_no_folder_and_of_nothing_that_is_read(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match=r"folder\.csv: it is a folder; name a file"):
        check_csv(tmp_path / "folder.csv")
    (tmp_path / "orthologs.csv").write_text("mine")
    with pytest.raises(ValueError, match="is the input, which would be replaced"):
        check_csv(tmp_path / "orthologs.csv", None, tmp_path / "orthologs.csv")


def test_the_table_of_clusters_replaces_only_its_own_kind(tmp_path):
    table = tmp_path / "names_clusters.csv"
    table.write_text("cluster,drug\n0,none\n")
    check_csv(tmp_path / "names.csv")
    with pytest.raises(ValueError, match=r"names_clusters\.csv is no table of clusters that annotate wrote"):
        check_csv(tmp_path / "names.csv", clusters=True)
    table.unlink()
    check_csv(tmp_path / "names.csv", clusters=True)
    named = {"cluster": ["0"], "cells": [2], "label": ["B cell"], "share": [1.0]}
    write_tables(tmp_path / "names.csv", pd.Index(["a", "b"]), OBS, {"clusters": named})
    check_csv(tmp_path / "names.csv", clusters=True)
