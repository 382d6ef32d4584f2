import anndata
import numpy as np
import pandas as pd
import pytest

from langcell.training.labelled.labelled_cells import read_labelled_cells

TYPES = ["T cell", "B cell", None, "unknown", "B cell"]
IDS = ["CL:0000084", "CL:0000236", None, "unknown", "CL:0000236"]


@pytest.fixture
def write(tmp_path):
    def write(**columns):
        obs = pd.DataFrame(columns, index=[f"c{i}" for i in range(len(next(iter(columns.values()))))])
        path = tmp_path / "cells.h5ad"
        anndata.AnnData(np.ones((len(obs), 3), dtype=np.float32), obs=obs).write_h5ad(path)
        return path

    return write


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="by_name"),
        pytest.param({"label_ids_column": "ids"}, id="by_id"),
    ],
)
def test_labels_are_the_sorted_types_with_ontology_texts(write, options):
    labelled = read_labelled_cells(write(types=TYPES, ids=IDS), label_column="types", **options)
    assert labelled.names == ["B cell", "T cell"]
    assert labelled.truth.tolist() == [1, 0, -1, -1, 0]
    assert labelled.has_label.tolist() == [True, True, False, False, True]
    assert labelled.labels[0].ontology_term_id == "CL:0000236"
    assert labelled.labels[0].text.startswith("cell type: b cell. ")
    assert labelled.searched == "the Cell Ontology"


def test_own_names_with_ids_get_the_ontology_text_and_keep_their_name(write):
    path = write(types=["x1", "x0"], ids=["CL:0000236", "CL:0000084"])
    labelled = read_labelled_cells(path, label_column="types", label_ids_column="ids")
    assert labelled.names == ["x0", "x1"]
    assert labelled.labels[1].text.startswith("cell type: b cell. ")


def test_ids_as_types_keep_the_id_as_name(write):
    labelled = read_labelled_cells(write(types=IDS), label_column="types")
    assert labelled.names == ["CL:0000084", "CL:0000236"]
    assert labelled.truth.tolist() == [0, 1, -1, -1, 1]


def test_a_file_gives_texts_and_may_name_more_types(write, tmp_path):
    file = tmp_path / "labels.tsv"
    file.write_text("T cell\tthymus made\nNK cell\tkills\nB cell\tmakes antibodies\n")
    path = write(types=TYPES, ids=IDS)
    labelled = read_labelled_cells(path, label_column="types", label_ids_column="ids", labels_file=file)
    assert [(label.name, label.text) for label in labelled.labels] == [
        ("B cell", "makes antibodies"), ("NK cell", "kills"), ("T cell", "thymus made"),
    ]  # fmt: skip
    assert labelled.labels[2].ontology_term_id == "CL:0000084"
    assert labelled.truth.tolist() == [2, 0, -1, -1, 0]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        pytest.param({"a": ["x", "y"]}, {}, r"unknown column 'types'; obs has \['a'\]", id="no_such_column"),
        pytest.param({"types": ["unknown", "nan"]}, {}, "no cell has a label", id="nothing_labelled"),
        pytest.param({"types": ["B cell", "B cell"]}, {}, "one label", id="one_type"),
        pytest.param(
            {"types": ["x", "x", "y"], "ids": [*IDS[:2], IDS[0]]},
            {"label_ids_column": "ids"},
            "type 'x' the ids CL:0000084, CL:0000236; give each type one id",
            id="two_ids_of_a_type",
        ),
        pytest.param(
            {"types": ["x", "y"], "ids": ["CL:0000236", "unknown"]},
            {"label_ids_column": "ids"},
            "type 'y' the ids none",
            id="type_without_id",
        ),
        pytest.param(
            {"types": ["x", "y"], "ids": ["CL:0000236"] * 2},
            {"label_ids_column": "ids"},
            "the same text: 'x' and 'y' have the id CL:0000236. Merge them",
            id="one_id_of_two_types",
        ),
        pytest.param(
            {"types": list("abcxy"), "ids": [*["CL:0000236"] * 3, *["CL:0000084"] * 2]},
            {"label_ids_column": "ids"},
            "'a', 'b' and 'c' have the id CL:0000236; 'x' and 'y' have the id CL:0000084. Merge",
            id="two_ids_of_several_types",
        ),
    ],
)
def test_unusable_columns_are_refused(write, columns, options, message):
    with pytest.raises(ValueError, match=message):
        read_labelled_cells(write(**columns), label_column="types", **options)


def test_a_file_that_lacks_a_type_is_refused(write, tmp_path):
    file = tmp_path / "labels.tsv"
    file.write_text("T cell\nNK cell\n")
    with pytest.raises(ValueError, match=r"lacks 1 of the 2 types in the data: 'B cell'"):
        read_labelled_cells(write(types=TYPES), label_column="types", labels_file=file)
