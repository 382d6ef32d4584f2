import pytest

from langcell.inference.naming.known_file import read_known


@pytest.mark.parametrize(
    ("text", "known"),
    [
        pytest.param("Barcode,type\nA-1,B\nC-1,NK cell\n", {"A-1": "B", "C-1": "NK cell"}, id="csv"),
        pytest.param("cell\ttype\tmore\nA-1\tT, naive\t3\n", {"A-1": "T, naive"}, id="tsv_of_three_columns"),
        pytest.param('Barcode,type\nA-1,"T, naive"\nB-1,\n', {"A-1": "T, naive"}, id="quoted_and_empty"),
        pytest.param("\ufeffBarcode,type\n12,3\n", {"12": "3"}, id="numbers_are_names"),
    ],
)
def test_cells_and_labels_are_read_from_the_first_two_columns(tmp_path, text, known):
    (tmp_path / "known.csv").write_text(text, encoding="utf-8")
    assert read_known(tmp_path / "known.csv").to_dict() == known


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("Barcode\nA-1\n", "is no table of two columns", id="one_column"),
        pytest.param("", "is no table of two columns", id="empty"),
        pytest.param("Barcode,type\nA-1,\n", "has no label in its second column", id="no_label"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path, text, message):
    (tmp_path / "known.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_known(tmp_path / "known.csv")


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="give a table of cells and labels"):
        read_known(tmp_path / "none.csv")
