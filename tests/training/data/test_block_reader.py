"""Rows read through `datasets` at any place are the rows of the files."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from langcell.training.data.block_reader import BlockReader
from langcell.training.data.row_order import RowRange

ROWS = (25, 7)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("files")
    paths, first = [], 0
    for number, rows in enumerate(ROWS):
        ids = [[first + row, number] for row in range(rows)]
        table = pa.table(
            {
                "input_ids": pa.array(ids, pa.list_(pa.uint16())),
                "description_id": pa.array(range(rows), pa.int32()),
                "source": ["not read"] * rows,
            }
        )
        paths.append(str(folder / f"{number}.parquet"))
        pq.write_table(table, paths[-1], row_group_size=10)
        first += rows
    return paths


def firsts(table: pa.Table) -> list[int]:
    return [ids[0] for ids in table["input_ids"].to_pylist()]


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        pytest.param([RowRange(0, 0, 25)], range(25), id="whole_file"),
        pytest.param([RowRange(0, 12, 15)], range(12, 15), id="within_a_block"),
        pytest.param([RowRange(0, 8, 22)], range(8, 22), id="over_three_blocks"),
        pytest.param([RowRange(0, 20, 25)], range(20, 25), id="last_block_is_short"),
        pytest.param([RowRange(1, 0, 2), RowRange(0, 3, 4)], [25, 26, 3], id="two_files_in_the_order_asked"),
    ],
)
def test_it_reads_the_rows_that_are_asked_for(files, ranges, expected):
    table = BlockReader(files).read(ranges)
    assert table.column_names == ["input_ids", "description_id"]
    assert firsts(table) == list(expected)


def test_any_place_any_time(files):
    reader, rng = BlockReader(files), np.random.default_rng(0)
    for _ in range(30):
        start, stop = sorted(rng.integers(0, 26, 2).tolist())
        if start < stop:
            assert firsts(reader.read([RowRange(0, start, stop)])) == list(range(start, stop))


def test_it_can_be_sent_to_another_process_and_read_on_after_closing(files):
    reader = BlockReader(files)
    wanted = [RowRange(0, 8, 12)]
    before = firsts(reader.read(wanted))
    assert firsts(pickle.loads(pickle.dumps(reader)).read(wanted)) == before
    reader.close()
    assert firsts(reader.read(wanted)) == before


def test_fewer_rows_than_the_manifest_says(files):
    with pytest.raises(ValueError, match=r"1\.parquet has 7 cells, not the 9 of its manifest"):
        BlockReader(files).read([RowRange(1, 5, 9)])


def test_a_file_that_is_gone(files, tmp_path):
    with pytest.raises(OSError, match=r"nothing\.parquet"):
        BlockReader([str(tmp_path / "nothing.parquet")]).read([RowRange(0, 0, 1)])
