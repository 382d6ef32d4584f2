"""Plain entries out of command-line text and files; more of both in `test_labels.py`."""

import doctest

import pytest

from langcell.processing.labels import syntax as label_syntax
from langcell.processing.labels.syntax import Field, LabelEntry, read_entries, split_fields


def test_docstring_examples_run():
    assert doctest.testmod(label_syntax).failed == 0


def test_fields_remember_their_quotes():
    assert split_fields('a , "b, ""c""",d') == [Field("a", False), Field('b, "c"', True), Field("d", False)]


def test_a_long_line_is_split_in_linear_time():
    assert len(split_fields(",".join(["a" + " " * 50] * 5_000))) == 5_000


@pytest.mark.parametrize(
    ("name", "content", "entries"),
    [
        pytest.param("l.txt", "# c\n a \nb\tt\n", [LabelEntry("a"), LabelEntry("b", "t")], id="lines"),
        pytest.param("l.tsv", "label\ttext\nlabel\ttext\n", [LabelEntry("label", "text")], id="header_only_first"),
        pytest.param("l.json", '["a", {"name": "b", "text": "t"}]', [LabelEntry("a"), LabelEntry("b", "t")], id="json"),
        pytest.param("l.json", "[]", [], id="empty_list"),
    ],
)
def test_entries_are_read_in_order_and_not_judged(tmp_path, name, content, entries):
    path = tmp_path / name
    path.write_text(content)
    assert read_entries(path) == entries
