import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from tiny import save_tiny_folder
from tiny_groups import N_CELLS, SMALL, grouped_cells

import langcell
from langcell.inference.naming.places import values_for_cells
from langcell.inference.refinement.placing import known_labels
from langcell.loading.load import load
from langcell.processing.labels.lookup import Label

LABELS = ["natural killer cell", "B cell", "monocyte"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(save_tiny_folder(tmp_path_factory.mktemp("model") / "tiny", reference=True), device="cpu")


def test_a_series_of_some_cells_is_found_by_their_names():
    names = pd.Index(["a", "b", "c"])
    found = values_for_cells(pd.Series(["B cell", "T cell"], index=["c", "a"]), names)
    assert found.fillna("").tolist() == ["T cell", "", "B cell"]


def test_an_array_has_a_value_for_each_cell():
    names = pd.Index(["a", "b"])
    assert values_for_cells(np.array(["B", ""]), names).tolist() == ["B", ""]
    assert values_for_cells(pd.Series(["B", None]), names).tolist() == ["B", None]
    with pytest.raises(ValueError, match="known has 3 values for 2 cells"):
        values_for_cells(["x"] * 3, names)


@pytest.mark.parametrize(
    ("index", "names", "message"),
    [
        (["a", "x"], ["a", "b"], "known names 1 cells that are not there, such as 'x'"),
        (["a", "a"], ["a", "b"], "known has several values for the cell 'a'"),
        (["a"], ["a", "a", "b"], "known names 'a', as several cells are called"),
    ],
)
def test_an_index_that_does_not_say_which_cell_is_meant_is_refused(index, names, message):
    with pytest.raises(ValueError, match=message):
        values_for_cells(pd.Series("B cell", index=index), pd.Index(names))


def test_a_column_of_cells_with_the_same_names_keeps_its_order():
    names = pd.Index(["a", "a"])
    assert values_for_cells(pd.Series(["B", "T"], index=names), names).tolist() == ["B", "T"]


@pytest.mark.parametrize("values", ["ab", 3, {"a": "B cell", "b": "B cell"}, pd.DataFrame({"known": ["B", "B"]})])
def test_what_is_no_array_of_labels_is_refused(values):
    with pytest.raises(ValueError, match="give an array with a value for each cell"):
        values_for_cells(values, pd.Index(["a", "b"]))


def test_known_labels_do_what_the_column_does(loaded):
    cells = grouped_cells()
    known = np.where(np.arange(N_CELLS) < 12, np.resize(LABELS, N_CELLS), "")
    cells.obs["expert"] = known
    by_column = langcell.annotate(cells, LABELS, model=loaded, known_column="expert", **SMALL)
    some = pd.Series(known, index=cells.obs_names)[:12]
    for given in (known, some):
        named = langcell.annotate(grouped_cells(), LABELS, model=loaded, known=given, **SMALL)
        assert_array_equal(named.obs["langcell_label"], by_column.obs["langcell_label"])
    assert (by_column.obs["langcell_label"][:12] == known[:12]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"known": ["B cell"] * 3}, "known has 3 values for 150 cells"),
        ({"known": ["hepatocyte"] * N_CELLS}, "known has 'hepatocyte', which is none of the labels"),
        ({"known": ["B cell"] * N_CELLS, "known_column": "leiden"}, "both given"),
        ({"known": ["B cell"] * N_CELLS, "refine": "none"}, "known is given, but refine 'none'"),
    ],
)
def test_known_labels_that_cannot_be_used_are_refused(loaded, options, message):
    with pytest.raises(ValueError, match=message):
        langcell.annotate(grouped_cells(), LABELS, model=loaded, **options, **SMALL)


@pytest.mark.parametrize("words", [["B-lymphocyte"], ["B-lymphocyte", "CL:0000236"]])
def test_known_labels_are_read_by_their_type_whatever_their_number(words):
    labels = [Label(name, name, term) for name, term in (("B cell", "CL:0000236"), ("T cell", "CL:0000084"))]
    assert known_labels([*words, ""], "known", labels).tolist() == [0] * len(words) + [-1]
