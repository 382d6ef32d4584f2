import numpy as np
import pandas as pd
import pytest

from langcell.processing.sources.cell_metadata import (
    METADATA_COLUMNS,
    as_texts,
    distinct_metadata,
    is_kept,
    n_unmarked,
    names_of_ids,
)


def test_metadata_of_every_type_become_texts() -> None:
    frame = pd.DataFrame(
        {
            "sex_ontology_term_id": pd.Categorical(["PATO:0000384", None, "unknown"]),
            "assay_ontology_term_id": ["EFO:0009922", np.nan, "EFO:0009922"],
            "suspension_type": [1, 2, 1],
        },
        index=[7, 8, 9],
    )
    texts = as_texts(frame)
    assert texts["sex_ontology_term_id"].tolist() == ["PATO:0000384", "", "unknown"]
    assert texts["assay_ontology_term_id"].tolist() == ["EFO:0009922", "", "EFO:0009922"]
    assert texts["suspension_type"].tolist() == ["1", "2", "1"]
    assert texts["cell_type_ontology_term_id"].tolist() == ["", "", ""]
    combinations, which = distinct_metadata(texts.iloc[[0, 1, 0, 2]])
    assert which.tolist() == [0, 1, 0, 2]
    assert [dict(zip(METADATA_COLUMNS, each, strict=True))["sex_ontology_term_id"] for each in combinations] == [
        "PATO:0000384", "", "unknown",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        pytest.param([True, False], [True, False], id="bool"),
        pytest.param(pd.Categorical([False, True]), [False, True], id="categories"),
        pytest.param(["True", "false"], [True, False], id="text"),
        pytest.param(pd.Categorical([True, np.nan]), [True, True], id="categories_with_a_gap"),
        pytest.param(pd.array([False, None], dtype="boolean"), [False, True], id="nullable"),
        pytest.param(np.array([False, np.nan], dtype=object), [False, True], id="as_concat_leaves_it"),
        pytest.param([0, 1], [False, True], id="numbers"),
        pytest.param([0.0, np.nan], [False, True], id="numbers_with_a_gap"),
        pytest.param(None, [True, True], id="no_column"),
    ],
)
def test_what_counts_as_a_copy(values, kept: list[bool]) -> None:
    frame = pd.DataFrame(index=[0, 1]) if values is None else pd.DataFrame({"is_primary_data": values})
    assert is_kept(frame, keep_duplicates=False).tolist() == kept
    assert is_kept(frame, keep_duplicates=True).all()


def test_cells_without_a_mark_are_counted() -> None:
    assert n_unmarked(pd.DataFrame({"is_primary_data": pd.array([True, None, None], dtype="boolean")})) == 2
    assert n_unmarked(pd.DataFrame({"is_primary_data": pd.Categorical([True, np.nan])})) == 1
    assert n_unmarked(pd.DataFrame({"is_primary_data": [True, False]})) == n_unmarked(pd.DataFrame(index=[0])) == 0


def test_names_beside_several_ids() -> None:
    column = "disease_ontology_term_id"
    frame = pd.DataFrame({column: ["MONDO:1 || MONDO:2", "MONDO:3"], "disease": ["a || b", "c || d"]})
    found = {(column, "MONDO:1"): "a", (column, "MONDO:2"): "b"}
    assert names_of_ids(frame) == found
    with_gaps = pd.concat([frame, pd.DataFrame({column: ["MONDO:4", None], "disease": [None, "e"]})])
    assert names_of_ids(with_gaps) == names_of_ids(with_gaps.astype("category")) == found


def test_an_unclear_mark_is_refused() -> None:
    with pytest.raises(ValueError, match=r"obs\['is_primary_data'\] holds 'maybe'"):
        is_kept(pd.DataFrame({"is_primary_data": ["maybe"]}), keep_duplicates=False)
