import pandas as pd
import pytest

from langcell.processing.labels.resolve import Label
from langcell.training.evaluation.reports.label_reading import label_section
from langcell.training.labelled.label_facts import ids_beside, label_facts

LABELS = [
    Label("CD14+ Mono", "cell type: cd14-positive monocyte. ...; ", "CL:0001054", "shorthand"),
    Label("odd cells", "cell type: odd cells; "),
    Label("B", "makes antibodies", "CL:0000236", "given"),
    Label("mine", "my own", None, "given"),
]


def report(**data):
    columns = {"label_column": "type", "label_ids_column": None, "labels_file": None, "unread_ids_column": None}
    searched = {"names_searched_in": "the Cell Ontology"}
    return {"labels": label_facts(LABELS, [3, 2, 1, 1000]), "data": columns | searched | data}


def test_each_type_stands_with_what_it_was_read_as():
    section = label_section(report(), reads_texts=True)
    assert section.table.head == ("type", "read as", "found by", "text", "cells")
    assert [row[:3] for row in section.table.rows] == [
        ("CD14+ Mono", "CD14-positive monocyte (CL:0001054)", "a term's name, shortened"),
        ("odd cells", "bare name", "–"),
        ("B", "text of its own, for B cell (CL:0000236)", "the labels file"),
        ("mine", "text of its own", "the labels file"),
    ]
    assert section.table.rows[1][3:] == ("cell type: odd cells;", "2")
    assert section.table.rows[3][4] == "1,000"
    assert section.table.left == 4
    assert "1 of 4 have no term and are read as the bare name." in section.text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(
            {},
            "Texts: those of the Cell Ontology, by the names in that column; no column of ids was read.",
            id="by_name",
        ),
        pytest.param({"names_searched_in": "MONDO"}, "Texts: those of MONDO, by the names", id="diseases_by_name"),
        pytest.param({"label_ids_column": "cl_id"}, "by the ids in obs['cl_id'].", id="by_id"),
        pytest.param({"labels_file": "a.tsv"}, "Texts: a.tsv.", id="by_file"),
        pytest.param(
            {"labels_file": "a.tsv", "label_ids_column": "cl_id"},
            "Texts: a.tsv. Ontology ids: obs['cl_id'].",
            id="by_file_with_ids",
        ),
        pytest.param(
            {"unread_ids_column": "cl_id"},
            "obs['cl_id'] has one ontology id for each type and was not read; --label-ids-column cl_id takes",
            id="unread_ids",
        ),
    ],
)
def test_the_columns_are_named(data, said):
    text = label_section(report(**data), reads_texts=True).text
    assert "obs['type']" in text
    assert said in text


def test_tasks_without_texts_or_labels_say_so():
    section = label_section(report(), reads_texts=False)
    assert "the model reads no texts" in section.text
    assert "text" not in section.table.head
    assert label_section({"data": {}}, reads_texts=False).text == "No column of labels and no text was read."


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        pytest.param({"cl_id": ["CL:0000236", "CL:0000084", "CL:0000084"]}, "cl_id", id="one_to_one"),
        pytest.param({"type_ontology_term_id": ["CL:0000236", "CL:0000084", None]}, "type_ontology_term_id", id="own"),
        pytest.param({"cl_id": ["CL:0000236"] * 3}, None, id="one_id_of_two_types"),
        pytest.param({"cl_id": ["CL:0000236", "CL:0000084", "CL:0000542"]}, None, id="two_ids_of_a_type"),
        pytest.param({"cl_id": ["1", "2", "2"]}, None, id="no_ids"),
        pytest.param({"other": ["CL:0000236", "CL:0000084", "CL:0000084"]}, None, id="unknown_column"),
    ],
)
def test_a_column_of_ids_beside_the_labels_is_seen(columns, found):
    assert ids_beside(pd.DataFrame({"type": ["B", "T", "T"], **columns}), "type") == found


def test_a_label_column_that_is_not_there_has_nothing_beside_it():
    assert ids_beside(pd.DataFrame({"cl_id": ["CL:0000236", "CL:0000084"]}), "nope") is None
    assert ids_beside(pd.DataFrame({"cl_id": ["CL:0000236", "CL:0000084"]}), "cl_id") is None
