import pytest

from langcell.inference.evidence.marker_lists import lists_of_labels, read_marker_lists
from langcell.processing.ontology.terms import Ontology


def test_gmt_and_csv_say_the_same(tmp_path):
    (tmp_path / "a.gmt").write_text("NK cell\tof mine\tGNLY\tNKG7\nB cell\t\tMS4A1\n")
    (tmp_path / "a.csv").write_text("gene,label\nGNLY,NK cell\nNKG7,NK cell\nMS4A1,B cell\n")
    expected = {"NK cell": frozenset({"GNLY", "NKG7"}), "B cell": frozenset({"MS4A1"})}
    assert read_marker_lists(tmp_path / "a.gmt") == read_marker_lists(tmp_path / "a.csv") == expected


def test_a_list_is_of_the_label_of_the_same_type():
    lists = {"NK cell": frozenset({"GNLY"}), "mine": frozenset({"X"})}
    found = lists_of_labels(lists, ["natural killer cell", "Mine", "B cell"], Ontology.cellxgene())
    assert found == {"natural killer cell": frozenset({"GNLY"}), "Mine": frozenset({"X"})}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "name,symbol\nB,CD19\n", "has the columns label and gene"),
        ("a.csv", "label,gene\n", "holds no marker"),
        ("a.gmt", "NK\tGNLY\n", "line 1: a GMT line is"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_marker_lists(tmp_path / name)


def test_a_file_that_is_no_text_is_refused_by_its_name(tmp_path):
    (tmp_path / "a.gmt").write_bytes(b"NK\x80\xff")
    with pytest.raises(ValueError, match=r"a\.gmt is no text in UTF-8"):
        read_marker_lists(tmp_path / "a.gmt")
    with pytest.raises(ValueError, match="is a folder; give a GMT or CSV file"):
        read_marker_lists(tmp_path)
