from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tiny
import tiny_sources
from tiny_sources import OPTIONS

from langcell.processing.ontology.descriptions import describe
from langcell.processing.ontology.terms import Ontology
from langcell.processing.rank_values import rank_encode
from langcell.processing.shards.manifest import sha256_of
from langcell.processing.sources.cell_metadata import METADATA_COLUMNS
from langcell.processing.sources.open_source import find_sources
from langcell.processing.tokenization.plan import Plan, make_plan
from langcell.processing.tokenization.tasks import ShardTask, make_shard, prepare_tasks

COUNTS, OBS, VOCABULARY = tiny_sources.counts_of(), tiny_sources.obs_of(), tiny.tiny_vocabulary()


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Plan, list[ShardTask]]:
    """Tasks in a folder of their own: three shards of one file."""
    return prepare(tmp_path)


def prepare(folder: Path, **options) -> tuple[Plan, list[ShardTask]]:
    source = folder / "cells.h5ad"
    if not source.exists():
        tiny_sources.write_h5ad(source)
    plan = make_plan(
        find_sources([source]),
        VOCABULARY,
        options=replace(OPTIONS, **options),
        ontology=Ontology.cellxgene(),
        work=folder / "shards",
        progress=False,
    )
    (folder / "shards" / "data").mkdir(parents=True, exist_ok=True)
    return plan, prepare_tasks(folder / "shards", plan, VOCABULARY)


def test_a_shard_holds_its_cells_and_accounts_for_the_others(prepared, tmp_path: Path) -> None:
    plan, tasks = prepared
    result = make_shard(tasks[1])
    origin, path = result.origin, tmp_path / "shards" / "data" / "train-00001.parquet"
    table = pq.read_table(path)
    rows = table["row"].to_numpy()
    gene_index = VOCABULARY.match(tiny.tiny_gene_names())
    span = np.arange(origin.start, origin.stop)
    n_genes, known = COUNTS.getnnz(axis=1), np.asarray((COUNTS[:, gene_index >= 0] > 0).sum(axis=1)).ravel() > 0
    primary = OBS["is_primary_data"].to_numpy()
    assert rows.tolist() == [i for i in span if primary[i] and n_genes[i] >= 3 and known[i]]
    ranked = rank_encode(COUNTS[rows], gene_index, VOCABULARY, max_length=12)
    assert table["input_ids"].to_pylist() == [ids.tolist() for ids in ranked]
    np.testing.assert_array_equal(table["length"], ranked.lengths)
    for name in METADATA_COLUMNS:
        expected = OBS[name].iloc[rows].tolist() if name in OBS else [""] * len(rows)
        assert table[name].to_pylist() == expected
    assert set(table["source"].to_pylist()) == {"cells.h5ad"}
    texts = [plan.descriptions[i].text for i in table["description_id"].to_pylist()]
    assert texts == [describe(OBS.iloc[row].to_dict(), ontology=Ontology.cellxgene()) for row in rows]
    few = [i for i in span if primary[i] and n_genes[i] < 3]
    assert origin.dropped == {"duplicate": int((~primary[span]).sum()), "too_few_genes": len(few)}
    assert origin.read == len(span) == len(rows) + sum(origin.dropped.values())
    assert result.file is not None
    assert (result.file.rows, result.file.tokens, result.file.sha256) == (
        len(rows), int(ranked.lengths.sum()), sha256_of(path),
    )  # fmt: skip
    assert origin.n_counts == COUNTS[rows].sum()
    assert origin.n_known_counts == COUNTS[rows][:, gene_index >= 0].sum()


def test_cells_without_a_known_gene(tmp_path: Path) -> None:
    _, tasks = prepare(tmp_path, min_genes=0, keep_duplicates=True)
    dropped = [make_shard(task).origin.dropped for task in tasks]
    assert dropped == [{"no_known_gene": 2}] * 3  # rows 1, 12, 23, 34, 45, 56


@pytest.mark.parametrize("chunk", [1, 7])
def test_the_bytes_do_not_depend_on_the_chunks(chunk: int, prepared, tmp_path: Path, monkeypatch) -> None:
    _, tasks = prepared
    whole = make_shard(tasks[0])
    monkeypatch.setattr("langcell.processing.tokenization.tasks._CELLS_PER_CHUNK", chunk)
    assert make_shard(tasks[0]) == whole


def test_a_shard_without_cells_has_no_file(tmp_path: Path) -> None:
    _, tasks = prepare(tmp_path, min_genes=10_000)
    result = make_shard(tasks[0])
    assert result.file is None
    assert result.origin.read == sum(result.origin.dropped.values())
    assert not list((tmp_path / "shards" / "data").iterdir())


def test_one_column_of_a_gene_or_all(tmp_path: Path) -> None:
    adata = tiny_sources.adata_of()
    names = adata.var_names.tolist()
    names[-1] = names[0]  # the last column is a second one of the first gene
    adata.var_names = names
    adata.write_h5ad(tmp_path / "cells.h5ad")
    shards = {}
    for duplicates in ("sum", "first"):
        _, tasks = prepare(tmp_path, duplicate_genes=duplicates)
        shards[duplicates] = make_shard(tasks[0])
    assert shards["sum"].origin.n_known_counts > shards["first"].origin.n_known_counts


def test_a_source_that_changed_is_noticed(prepared, tmp_path: Path) -> None:
    _, tasks = prepared
    adata = tiny_sources.adata_of()
    adata.obs["disease_ontology_term_id"] = "MONDO:0005233"
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(ValueError, match=r"cells\.h5ad has changed while it was read"):
        make_shard(tasks[0])


def test_a_folder_that_a_worker_does_not_see(prepared, tmp_path: Path) -> None:
    _, tasks = prepared
    with pytest.raises(FileNotFoundError, match="a worker does not see this folder"):
        make_shard(replace(tasks[0], folder=str(tmp_path / "elsewhere")))


def test_a_value_that_is_no_count_is_found_while_reading(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("langcell.processing.cells.matrix_rows.SAMPLE_SIZE", 1)  # of three cells, when a file is opened
    adata = tiny_sources.adata_of()
    adata.X = adata.X.toarray()
    adata.X[50, 4] = 2.5
    adata.write_h5ad(tmp_path / "cells.h5ad")
    _, tasks = prepare(tmp_path)
    assert make_shard(tasks[0]).file is not None
    with pytest.raises(ValueError, match=r"cells\.h5ad: X of cell 50 \(cell50\), gene .*, is 2\.5, not a whole number"):
        make_shard(tasks[1])
    assert [path.name for path in (tmp_path / "shards" / "data").iterdir()] == ["train-00000.parquet"]


def test_shards_read_genes_from_the_column_that_inference_reads(tmp_path: Path, caplog) -> None:
    cells = tiny_sources.adata_of()
    ids = list(cells.var_names)
    cells.var = pd.DataFrame({"gene_ids": ids}, index=[f"renamed{i}" for i in range(len(ids))])
    cells.write_h5ad(tmp_path / "cells.h5ad")
    caplog.set_level("INFO", logger="langcell")
    _, tasks = prepare(tmp_path)
    assert caplog.text.count("Genes are read from var['gene_ids']") == 1
    for task in tasks:
        make_shard(task)
        table = pq.read_table(tmp_path / "shards" / "data" / f"train-{task.shard.number:05d}.parquet")
        counts = COUNTS[table["row"].to_numpy()]
        ranked = rank_encode(counts, VOCABULARY.match(ids), VOCABULARY, max_length=12)
        assert table["input_ids"].to_pylist() == [tokens.tolist() for tokens in ranked]
    assert caplog.text.count("Genes are read from var['gene_ids']") == 1  # the plan has said it; shards do not
