import numpy as np
import pytest

from langcell.cli.data.shard_report import draw_lengths, length_bars
from langcell.processing.shards.counts import ShardCounts


@pytest.mark.parametrize(
    ("lengths", "bars"),
    [
        pytest.param(np.zeros(9, int), 0, id="no_cells"),
        pytest.param(np.eye(1, 9, 4, dtype=int)[0], 1, id="one_length"),
        pytest.param(np.ones(2049, int), 16, id="many_lengths"),
        pytest.param(np.r_[np.zeros(500, int), np.ones(33, int)], 11, id="ranges_of_three"),
    ],
)
def test_bars_hold_every_cell_once(lengths, bars):
    lines = length_bars(lengths, width=20)
    assert len(lines) == bars
    assert sum(int(line.split()[-1].replace(",", "")) for line in lines) == lengths.sum()
    assert all(len(line) <= 12 + 20 + 8 for line in lines)


def test_the_longest_bar_has_the_width():
    lines = length_bars(np.array([0, 1, 8, 4]), width=16)
    assert [line.count("█") for line in lines] == [2, 16, 8]


def test_the_picture_is_a_png(tmp_path):
    draw_lengths(ShardCounts(np.arange(50), {}), tmp_path / "lengths.png", title="cells")
    assert (tmp_path / "lengths.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [path.name for path in tmp_path.iterdir()] == ["lengths.png"]
