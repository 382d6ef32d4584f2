import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_matrix

from langcell.processing.genes import GeneVocabulary
from langcell.processing.rank_values import RankedCells, rank_encode
from langcell.processing.shards.files import (
    MORE_COLUMNS,
    TEXT_COLUMNS,
    Description,
    cell_table,
    finish_folder,
    prepare_folder,
    read_descriptions,
    write_shard,
    write_shard_in_parts,
)
from langcell.processing.shards.manifest import sha256_of

VOCABULARY = GeneVocabulary([f"ENSG{i:011d}" for i in range(8)], np.ones(8), [""] * 8)
TEXTS = [Description("cell type: b cell; ", "CL:0000236", form="name"), Description("cell type: é; ", "CL:0000084")]


def ranked_cells(n_cells: int) -> RankedCells:
    counts = np.random.default_rng(0).poisson(1.0, (n_cells, 8))
    return rank_encode(csr_matrix(counts), np.arange(8), VOCABULARY)


def columns_of(n_cells: int) -> dict[str, np.ndarray]:
    return {name: np.full(n_cells, f"{name} of all") for name in TEXT_COLUMNS}


def table_of(n_cells: int):
    return cell_table(ranked_cells(n_cells), np.zeros(n_cells, int), columns_of(n_cells))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"description_id": np.zeros(4, int)}, "'description_id' has 4 values for 5 cells", id="too_few"),
        pytest.param({"columns": {}}, r"shard columns are \[\]; give exactly", id="no_columns"),
        pytest.param({"columns": {**columns_of(5), "donor": np.zeros(5)}}, "'donor'.*give exactly", id="one_too_many"),
        pytest.param({"columns": {**columns_of(5), "row": np.zeros(5)}}, "'row'.*give exactly.*'disease", id="not_all"),
        pytest.param({"columns": columns_of(6)}, "has 6 values for 5 cells", id="column_too_long"),
    ],
)
def test_cell_table_refuses(changes, message):
    cells = {"ranked": ranked_cells(5), "description_id": np.zeros(5, int), "columns": columns_of(5), **changes}
    with pytest.raises(ValueError, match=message):
        cell_table(**cells)


def test_cell_table_of_no_cells():
    assert table_of(0).num_rows == 0


def test_write_shard_records_the_file(tmp_path):
    record = write_shard(prepare_folder(tmp_path), 7, table_of(30))
    assert (record.path, record.rows) == ("data/train-00007.parquet", 30)
    assert record.tokens == len(ranked_cells(30).token_ids)
    assert record.sha256 == sha256_of(tmp_path / record.path)


def test_large_shards_are_read_in_groups(tmp_path):
    record = write_shard(prepare_folder(tmp_path), 0, table_of(4_500))
    metadata = pq.read_metadata(tmp_path / record.path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [2_000, 2_000, 500]


@pytest.mark.parametrize(
    "parts", [[0, 4_500], [0, 1, 2_000, 4_500], [0, 1_999, 2_001, 2_001, 4_500], [0, 4_000, 4_500]]
)
def test_a_shard_in_parts_is_the_shard(tmp_path, parts):
    columns = {**columns_of(4_500), **{name: np.full(4_500, name) for name in MORE_COLUMNS}, "row": np.arange(4_500)}
    table = cell_table(ranked_cells(4_500), np.zeros(4_500, int), columns)
    whole = write_shard(prepare_folder(tmp_path), 0, table)
    pieces = (table.slice(start, stop - start) for start, stop in itertools.pairwise(parts))
    in_parts = write_shard_in_parts(tmp_path, 1, pieces)
    assert in_parts is not None
    assert (in_parts.path, in_parts.rows, in_parts.tokens) == ("data/train-00001.parquet", whole.rows, whole.tokens)
    assert in_parts.sha256 == sha256_of(tmp_path / in_parts.path) == whole.sha256
    assert pq.read_table(tmp_path / in_parts.path).equals(table)


@pytest.mark.parametrize("parts", [0, 2])
def test_no_cells_make_no_file(tmp_path, parts):
    assert write_shard_in_parts(prepare_folder(tmp_path), 0, iter([table_of(0)] * parts)) is None
    assert not list((tmp_path / "data").iterdir())


def test_prepare_removes_leftovers_and_nothing_else(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "descriptions").mkdir()
    for name in (
        "data/train-00003.parquet",
        "data/.train-00004.parquet.0a1b2c3d.tmp",
        "descriptions.parquet",
        "descriptions/descriptions.parquet",
    ):
        (tmp_path / name).write_text("half")
    (tmp_path / "README.md").write_text("kept")
    prepare_folder(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["README.md"]


def test_a_folder_is_finished_once(tmp_path):
    folder = prepare_folder(tmp_path)
    shard = write_shard(folder, 0, table_of(3))
    finish_folder(folder, [shard], TEXTS, vocabulary=VOCABULARY, max_length=16, sources=[])
    assert read_descriptions(folder) == TEXTS
    with pytest.raises(ValueError, match="already holds finished shards"):
        prepare_folder(folder)
    prepare_folder(folder, overwrite=True)
    assert [path.name for path in folder.rglob("*")] == ["data"]


def test_the_same_text_twice(tmp_path):
    with pytest.raises(ValueError, match="'cell type: b cell; ' occurs twice"):
        finish_folder(tmp_path, [], [*TEXTS, TEXTS[0]], vocabulary=VOCABULARY, max_length=16, sources=[])
    assert not list(tmp_path.iterdir())
