"""Which rows each part reads, in which order: every row of every epoch exactly once."""

from collections import Counter

import pytest

from langcell.training.data.row_order import RowOrder

FILES = (7, 3, 12, 1)
ROWS = sum(FILES)


def rows_of(order: RowOrder, start: int, stop: int) -> list[tuple[int, int]]:
    return [(r.file, row) for r in order.ranges(start, stop) for row in range(r.start, r.stop)]


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 23])
def test_parts_together_read_each_epoch_once_and_none_lags_behind(parts):
    orders = [RowOrder(FILES, seed=0, part=part, parts=parts, block_rows=4) for part in range(parts)]
    share = ROWS // parts
    for epochs in (1, 4):
        seen = Counter(row for order in orders for row in rows_of(order, 0, epochs * share))
        assert sum(seen.values()) == epochs * share * parts
        # What does not divide comes at the beginning of the next stretch.
        assert sorted(seen.values())[-1] <= epochs
        assert sum(epochs - seen[(f, row)] for f, n in enumerate(FILES) for row in range(n)) == epochs * (ROWS % parts)
    everything = Counter(row for order in orders for row in rows_of(order, 0, ROWS * share))
    assert set(everything.values()) == {parts * share}  # that many whole epochs


def test_no_row_comes_twice_in_an_epoch_whatever_the_steps():
    whole = rows_of(RowOrder(FILES, seed=1, block_rows=4), 0, 3 * ROWS)
    for epoch in range(3):
        assert len(set(whole[epoch * ROWS : (epoch + 1) * ROWS])) == ROWS
    order, in_steps = RowOrder(FILES, seed=1, block_rows=4), []
    for start in range(0, 3 * ROWS, 5):
        in_steps += rows_of(order, start, min(start + 5, 3 * ROWS))
    assert in_steps == whole


def test_blocks_stay_together_and_come_in_a_new_order_each_epoch():
    order = RowOrder([40], seed=0, block_rows=4)
    epochs = [[r.start for r in order.ranges(e * 40, (e + 1) * 40)] for e in range(3)]
    assert all(sorted(starts) == list(range(0, 40, 4)) for starts in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != [r.start for r in RowOrder([40], seed=1, block_rows=4).ranges(0, 40)]


def test_more_parts_than_rows_take_turns():
    orders = [RowOrder([2], seed=0, part=part, parts=3) for part in range(3)]
    seen = Counter(row for order in orders for row in rows_of(order, 0, 2))
    assert set(seen.values()) == {3}  # 6 rows are 3 epochs of 2


@pytest.mark.parametrize(
    ("files", "part", "message"),
    [pytest.param([0, 0], 0, "no cells", id="empty"), pytest.param([3], 2, "part is 2 of 2", id="part")],
)
def test_nothing_to_read_is_an_error(files, part, message):
    with pytest.raises(ValueError, match=message):
        RowOrder(files, seed=0, part=part, parts=2)
