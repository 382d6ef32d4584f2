import re

import pytest

from langcell.cli.label_table import MOST_ROWS, print_label_table
from langcell.inference.naming.label_counts import LabelCounts


def printed(capsys, with_cells: int, without: int) -> tuple[list[list[str]], list[str]]:
    """Rows of the table, and the lines below it."""
    cells_of = {f"type {i}": 1000 * (with_cells - i) for i in range(with_cells)}
    counts = LabelCounts(cells_of, dict.fromkeys(cells_of, 0.25), [f"absent {i}" for i in range(without)])
    print_label_table(counts)
    lines = capsys.readouterr().out.splitlines()
    rows = [re.split(r"\s*│\s*", line.strip("│ ")) for line in lines if line.startswith("│")]
    return rows, [line for line in lines if line.startswith("and ")]


def test_labels_without_cells_are_rows_where_there_is_room(capsys):
    rows, below = printed(capsys, 2, 2)
    assert rows == [
        ["type 0", "2,000", "66.7%", "0.25"],
        ["type 1", "1,000", "33.3%", "0.25"],
        ["absent 0", "0", "0.0%", "–"],
        ["absent 1", "0", "0.0%", "–"],
    ]
    assert below == []


@pytest.mark.parametrize(
    ("with_cells", "without", "rows", "below"),
    [
        pytest.param(5, 15, MOST_ROWS, [], id="as many as there are rows"),
        pytest.param(5, 16, 5, ["and 16 labels without cells"], id="one too many"),
        pytest.param(20, 1, MOST_ROWS, ["and 1 label without cells"], id="no room for one"),
        pytest.param(
            23, 180, MOST_ROWS, ["and 3 other labels with fewer cells", "and 180 labels without cells"], id="many"
        ),
    ],
)
def test_more_are_counted_in_a_line(capsys, with_cells, without, rows, below):
    assert (len((found := printed(capsys, with_cells, without))[0]), found[1]) == (rows, below)
