import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from scipy.sparse import random as random_csr

from langcell.processing.genes import GeneVocabulary
from langcell.processing.rank_values import RankedCells, rank_encode
from langcell.processing.shards.manifest import write_manifest
from langcell.processing.shards.writer import (
    TEXT_COLUMNS,
    Description,
    ShardWriter,
    read_descriptions,
    read_manifest,
    verify,
)

N_CELLS = 250
MAX_LENGTH = 24
DESCRIPTIONS = [
    Description("cell type: b cell; ", "CL:0000236", "", "name"),
    Description("cell type: t cell; tissue: blood; ", "CL:0000084", "UBERON:0000178", "with tissue"),
]
SOURCES = [{"name": "made.h5ad", "sha256": "0" * 64}]
VOCABULARY = GeneVocabulary([f"ENSG{i:011d}" for i in range(60)], np.linspace(0.5, 2, 60), [""] * 60)


def ranked_cells(start: int, stop: int) -> RankedCells:
    counts = random_csr(N_CELLS, 60, density=0.4, format="csr", random_state=np.random.default_rng(0))
    return rank_encode(counts[start:stop], np.arange(60), VOCABULARY, max_length=MAX_LENGTH)


def columns_of(start: int, stop: int) -> dict[str, np.ndarray]:
    is_t = np.arange(start, stop) % 2
    types = np.where(is_t, "CL:0000084", "CL:0000236")
    tissues, sources = np.full(stop - start, "UBERON:0000178"), np.full(stop - start, "made")
    return dict(zip(TEXT_COLUMNS, [types, tissues, sources], strict=True))


def write(folder: Path, *, chunk: int = N_CELLS, cells_per_shard: int = 100, overwrite: bool = False) -> Path:
    with ShardWriter(
        folder,
        VOCABULARY,
        descriptions=DESCRIPTIONS,
        max_length=MAX_LENGTH,
        sources=SOURCES,
        cells_per_shard=cells_per_shard,
        overwrite=overwrite,
    ) as writer:
        for start in range(0, N_CELLS, chunk):
            stop = min(start + chunk, N_CELLS)
            writer.add(ranked_cells(start, stop), np.arange(start, stop) % 2, columns_of(start, stop))
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Finished shards; read only."""
    return write(tmp_path_factory.mktemp("shards") / "finished")


def test_manifest_says_what_is_there(folder):
    manifest = read_manifest(folder)
    assert [shard.path for shard in manifest.shards] == [f"data/train-0000{i}.parquet" for i in range(3)]
    assert [shard.rows for shard in manifest.shards] == [100, 100, 50]
    assert sum(shard.tokens for shard in manifest.shards) == len(ranked_cells(0, N_CELLS).token_ids)
    assert manifest.total_cells == N_CELLS
    assert manifest.max_length == MAX_LENGTH
    assert manifest.vocabulary_fingerprint == VOCABULARY.fingerprint
    assert list(manifest.sources) == SOURCES
    assert manifest.simulation is None
    assert verify(folder) == []


def test_cells_come_back_as_they_went_in(folder):
    table = pa.concat_tables([pq.read_table(path) for path in read_manifest(folder).shard_paths(folder)])
    ranked = ranked_cells(0, N_CELLS)
    assert table.schema.field("input_ids").type.value_type == pa.uint16()
    assert all(np.array_equal(row, cell) for row, cell in zip(table["input_ids"].to_pylist(), ranked, strict=True))
    np.testing.assert_array_equal(table["length"], ranked.lengths)
    np.testing.assert_array_equal(table["description_id"], np.arange(N_CELLS) % 2)
    for name, values in columns_of(0, N_CELLS).items():
        assert table[name].to_pylist() == values.tolist()


def test_descriptions_come_back(folder):
    assert read_descriptions(folder) == DESCRIPTIONS


@pytest.mark.parametrize("chunk", [1, 7, 100, 249])
def test_bytes_do_not_depend_on_the_chunks(folder, tmp_path, chunk):
    assert bytes_of(write(tmp_path / "again", chunk=chunk)) == bytes_of(folder)


def test_datasets_streams_the_shards(folder):
    files = read_manifest(folder).shard_paths(folder)
    rows = list(load_dataset("parquet", data_files=files, split="train", streaming=True))
    assert len(rows) == N_CELLS
    np.testing.assert_array_equal(rows[120]["input_ids"], ranked_cells(0, N_CELLS)[120])
    assert rows[121]["cell_type_ontology_term_id"] == "CL:0000084"


def test_datasets_reads_the_folder_as_it_is(folder):
    rows = load_dataset(str(folder), split="train", streaming=True)
    assert sum(1 for _ in rows) == N_CELLS


@pytest.mark.parametrize("pattern", ["data/*.parquet", "**/train-*.parquet"])
def test_a_glob_of_the_cells_takes_the_cells_alone(folder, pattern):
    rows = load_dataset("parquet", data_files=f"{folder}/{pattern}", split="train", streaming=True)
    assert sum(1 for _ in rows) == N_CELLS


def test_a_glob_of_the_folder_does_not_take_the_texts_for_cells(folder):
    with pytest.raises((FileNotFoundError, ValueError)):
        load_dataset("parquet", data_files=f"{folder}/*.parquet", split="train", streaming=True)


def test_a_folder_in_the_earlier_layout_is_read_and_written_again_in_todays(folder, tmp_path):
    earlier = as_earlier_versions_wrote(folder, tmp_path / "earlier")
    assert verify(earlier) == []
    assert read_descriptions(earlier) == DESCRIPTIONS
    assert bytes_of(write(earlier, overwrite=True)) == bytes_of(folder)


def as_earlier_versions_wrote(folder: Path, copy: Path) -> Path:
    """Copy a folder with its texts beside the manifest."""
    shutil.copytree(folder, copy)
    (copy / "descriptions" / "descriptions.parquet").rename(copy / "descriptions.parquet")
    (copy / "descriptions").rmdir()
    manifest = read_manifest(folder)
    write_manifest(copy, replace(manifest, descriptions=replace(manifest.descriptions, path="descriptions.parquet")))
    return copy


def test_an_interrupted_run_looks_unfinished_and_is_replaced(folder, tmp_path):
    broken = tmp_path / "broken"
    writer = unfinished_writer(broken, cells_per_shard=20)
    with pytest.raises(ValueError, match="Description id 9"), writer:
        fill_and_fail(writer)
    assert len(list((broken / "data").iterdir())) == 10
    with pytest.raises(ValueError, match=r"no manifest\.json: no shards, or unfinished ones"):
        read_manifest(broken)
    assert bytes_of(write(broken)) == bytes_of(folder)


def test_finished_shards_are_not_overwritten_unasked(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with pytest.raises(ValueError, match="already holds finished shards"):
        write(copy)
    assert bytes_of(copy) == bytes_of(folder)
    assert read_manifest(write(copy, cells_per_shard=250, overwrite=True)).shards[0].rows == 250
    assert len(list((copy / "data").iterdir())) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"description_id": np.full(5, 2)}, "Description id 2 is not one of 0 to 1", id="unknown_text"),
        pytest.param({"description_id": np.full(5, -1)}, "Description id -1", id="negative_id"),
        pytest.param({"ranked": ranked_cells(0, 5), "max_length": 3}, "more than max_length 3", id="too_long"),
    ],
)
def test_add_refuses(tmp_path, changes, message):
    cells = {"ranked": ranked_cells(0, 5), "description_id": np.zeros(5, int), "columns": columns_of(0, 5), **changes}
    writer = unfinished_writer(tmp_path, max_length=cells.pop("max_length", MAX_LENGTH))
    with pytest.raises(ValueError, match=message):
        writer.add(**cells)


def test_shards_need_cells(tmp_path):
    with pytest.raises(ValueError, match="cells_per_shard is 0"):
        unfinished_writer(tmp_path, cells_per_shard=0)


def fill_and_fail(writer: ShardWriter) -> None:
    writer.add(ranked_cells(0, 200), np.zeros(200, int), columns_of(0, 200))
    writer.add(ranked_cells(200, 210), np.full(10, 9), columns_of(200, 210))


def unfinished_writer(folder: Path, **changes) -> ShardWriter:
    options = {"descriptions": DESCRIPTIONS, "max_length": MAX_LENGTH, "sources": SOURCES, **changes}
    return ShardWriter(folder, VOCABULARY, **options)
