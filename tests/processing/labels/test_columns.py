import numpy as np
import pandas as pd
import pytest

from langcell.processing.labels.columns import read_label_column


@pytest.mark.parametrize("values", [["B ", "B", "B", None], pd.Categorical(["B ", "B", "B", None])])
def test_spellings_that_differ_in_blanks_are_one_type(values):
    column = read_label_column(values)
    assert column.values == ["B", "B", "B", ""]
    assert column.notes() == ["Spellings that differ in blanks, case or underscores are one type: 'B ' as 'B'"]


def test_the_most_frequent_spelling_is_kept_whatever_the_order():
    values = ["nk cell", "NK cell", "NK_cell", "NK cell"]
    for order in (values, values[::-1]):
        assert set(read_label_column(order).values) == {"NK cell"}


def test_words_that_say_nothing_are_no_type():
    values = ["unknown", "NA", "n/a", "nan", "None", "<NA>", "Unclassified", "native cell", "CL:0000003", np.nan, pd.NA]
    assert read_label_column(values).values == [""] * len(values)


def test_numbers_stay_numbers_and_there_is_nothing_to_say():
    column = read_label_column([0, 1, 1, 10])
    assert column.values == ["0", "1", "1", "10"]
    assert column.notes() == []
