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


def test_words_that_say_nothing_are_no_type_and_spellings_are_one(write, caplog):
    types = ["B", "B ", "b", "NK", "NA", "N/A", "na", "None", "<NA>", "unclassified", "native cell"]
    labelled = read_labelled_cells(write(types=types), label_column="types")
    assert labelled.names == ["B", "NK"]
    assert labelled.truth.tolist() == [0, 0, 0, 1, *[-1] * 7]
    assert "Spellings that differ in blanks, case or underscores are one type: 'B ', 'b' as 'B'" in caplog.text


@pytest.mark.parametrize(
    ("ids", "term_id", "told"),
    [
        pytest.param(["CL:0000623", "unknown"], "CL:0000623", "", id="one unknown"),
        pytest.param(["unknown", "na"], "CL:0000623", "gives the type 'NK cell' no id", id="all unknown"),
        pytest.param(["CL:0000623", "CL:0000814"], "CL:0000623", "the ids CL:0000623, CL:0000814: it is", id="two ids"),
        pytest.param(["CL:0000044", "CL:0000051"], "CL:0000051", "its successor CL:0000051 is taken", id="obsolete"),
        pytest.param(["CL:0000003", "CL:0000623"], "CL:0000623", "", id="the id of every cell"),
    ],
)
def test_ids_that_do_not_say_one_term_leave_the_name(write, caplog, ids, term_id, told):
    path = write(types=["NK cell", "NK cell", "B cell"], ids=[*ids, "CL:0000236"])
    labelled = read_labelled_cells(path, label_column="types", label_ids_column="ids")
    assert labelled.names == ["B cell", "NK cell"]
    assert labelled.labels[1].ontology_term_id == term_id
    assert told in caplog.text
    assert bool(told) == bool(caplog.text)


def test_two_diseases_in_a_field_are_both_in_the_text(write):
    path = write(types=["both", "flu"], ids=["MONDO:0004975 || MONDO:0100096", "MONDO:0005812"])
    label = read_labelled_cells(path, label_column="types", label_ids_column="ids").labels[0]
    assert label.name == "both"
    assert label.text.startswith("disease: alzheimer disease. ")
    assert "; disease: covid-19. " in label.text


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
