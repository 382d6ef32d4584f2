import numpy as np
import pandas as pd
import pytest
import tiny

from langcell.processing.cells.cell_source import CellSource, gene_columns, gene_names
from langcell.processing.cells.cell_tables import FrameTable
from langcell.processing.cells.contents import Contents
from langcell.processing.cells.matrix_rows import DenseRows
from langcell.processing.cells.raw_counts import XKind

COUNTS = np.arange(30.0).reshape(10, 3)
VAR = pd.DataFrame(
    {
        "symbol": pd.Categorical(["CD3D", None, "MS4A1"]),
        "genome": "GRCh38",
        "n_cells": [1, 2, 3],
    },
    index=pd.Index(["0", "1", "2"], name="row"),
)


def source(
    values: np.ndarray = COUNTS,
    *,
    x_is: XKind = "counts",
    gene_column: str | None = None,
    obs: pd.DataFrame | None = None,
    var: pd.DataFrame = VAR,
) -> CellSource:
    obs = pd.DataFrame(index=[f"cell{row}" for row in range(len(values))]) if obs is None else obs
    contents = Contents("file.h5ad", FrameTable(obs), var, None, {"X": lambda: DenseRows(values)}, lambda: None)
    return CellSource(contents, x_is=x_is, gene_column=gene_column, layer=None)


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        pytest.param({}, [0], id="one_chunk"),
        pytest.param({"rows_per_chunk": 4}, [0, 4, 8], id="last_chunk_shorter"),
        pytest.param({"rows_per_chunk": 4, "start": 3, "stop": 9}, [3, 7], id="start_not_at_chunk_boundary"),
        pytest.param({"start": 10}, [], id="resumed_at_the_end"),
    ],
)
def test_chunks_cover_the_rows_in_order(options: dict[str, int], starts: list[int]) -> None:
    chunks = list(source().chunks(**options))
    assert [chunk.start for chunk in chunks] == starts
    for chunk in chunks:
        expected = COUNTS[chunk.start : chunk.start + chunk.counts.shape[0]]
        np.testing.assert_array_equal(chunk.counts.toarray(), expected)
    assert sum(chunk.counts.shape[0] for chunk in chunks) == options.get("stop", 10) - options.get("start", 0)


@pytest.mark.parametrize("options", [{"rows_per_chunk": 0}, {"start": -1}, {"stop": 11}, {"start": 5, "stop": 4}])
def test_rows_that_do_not_exist_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="cannot read rows"):
        list(source().chunks(**options))


@pytest.mark.parametrize(("value", "reason"), [(2.5, "not a whole number"), (np.nan, "not a finite"), (-1, "negative")])
def test_a_value_that_the_sample_missed_is_found_while_streaming(value: float, reason: str) -> None:
    values = COUNTS.copy()
    cells = source(values)
    values[7, 2] = value
    with pytest.raises(ValueError, match=rf"file\.h5ad: X of cell 7 \(cell7\), gene 2, is .*, {reason}"):
        list(cells.chunks(3))


@pytest.mark.parametrize("rows", [[], [4], [0, 1, 2, 3], [0, 9], [1, 2, 5, 6, 7, 9]])
@pytest.mark.parametrize("rows_per_read", [1, 3, 100])
def test_counts_of_some_cells(rows: list[int], rows_per_read: int) -> None:
    counts = source().counts_of(np.array(rows, dtype=np.int64), rows_per_read=rows_per_read)
    np.testing.assert_array_equal(counts.toarray(), COUNTS[rows])


def test_metadata_by_rows() -> None:
    cells = source(obs=pd.DataFrame({"donor": list("aabbccddee"), "age": range(10)}))
    assert cells.obs_columns == ["donor", "age"]
    part = cells.metadata(["age", "sex"], 3, 6)
    assert part.to_dict() == {"age": {3: 3, 4: 4, 5: 5}}
    blocks = list(cells.metadata_blocks(["donor"], 4))
    assert [list(block.index) for block in blocks] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(cells.metadata([], 2, 5)) == 3


def test_log1p_becomes_linear_and_linear_stays() -> None:
    values = COUNTS / 7
    for x_is, stored in (("log1p", np.log1p(values)), ("linear", values)):
        (chunk,) = source(stored, x_is=x_is).chunks()
        assert chunk.counts.dtype == np.float32
        np.testing.assert_allclose(chunk.counts.toarray(), values, rtol=1e-5)


def test_tables_and_names() -> None:
    cells = source(gene_column="symbol")
    assert cells.n_cells == 10
    assert cells.obs_names[3] == "cell3"
    assert cells.gene_names == ["CD3D", "", "MS4A1"]
    assert cells.gene_columns == ["symbol"]
    assert (cells.location, cells.x_kind) == ("X", "counts")


def test_closed_source_says_so() -> None:
    with source() as cells:
        pass
    cells.close()
    with pytest.raises(ValueError, match="closed"):
        list(cells.chunks())


def test_no_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="empty: 0 cells x 3 genes"):
        source(COUNTS[:0])


def test_gene_names_from_index_or_column() -> None:
    assert gene_names(VAR) == gene_names(VAR, "row") == ["0", "1", "2"]
    assert gene_names(VAR, "n_cells") == ["1", "2", "3"]
    with pytest.raises(ValueError, match=r"unknown gene column 'ensembl'.*\['symbol', 'genome', 'n_cells'\]"):
        gene_names(VAR, "ensembl")


def test_gene_columns_leave_out_numbers_repeats_and_empty_columns() -> None:
    var = VAR.assign(empty="", missing=None, flag=True, ensembl=["ENSG1", "ENSG2", "ENSG3"])
    assert gene_columns(var) == ["symbol", "ensembl"]


def genes_named(names: list[str], ids: list[str], column: str = "gene_ids") -> pd.DataFrame:
    return pd.DataFrame({column: ids}, index=names)


IDS = ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"]


@pytest.mark.parametrize(
    ("names", "ids", "expected"),
    [
        pytest.param(["GENE1", "OLD2", "GENE3"], IDS, [0, 1, 2], id="the ids cover more"),
        pytest.param(["GENE1", "GENE2", "GENE3"], [IDS[0], "b", IDS[2]], [0, 1, 2], id="the names cover more"),
        pytest.param(["GENE1", "GENE2", "GENE3"], IDS, [0, 1, 2], id="both cover as much"),
        pytest.param(["GENE1", "GENE2", "GENE3"], ["a", "b", "c"], [0, 1, 2], id="no ids"),
        pytest.param(["x1", "x2", "x3"], IDS, [0, 1, 2], id="no names"),
    ],
)
def test_a_column_of_ids_is_read_by_itself_where_it_covers_no_less(caplog, names, ids, expected) -> None:
    caplog.set_level("INFO", logger="langcell")
    found = source(var=genes_named(names, ids)).find_genes(tiny.tiny_vocabulary())
    assert found.index.tolist() == expected
    assert ("Genes are read from var['gene_ids']" in caplog.text) == (ids == IDS)


def test_the_index_is_read_whatever_a_column_covers_where_the_user_says_so() -> None:
    var = genes_named(["GENE1", "OLD2", "GENE3"], IDS)
    assert source(var=var, gene_column="index").find_genes(tiny.tiny_vocabulary()).index.tolist() == [0, -1, 2]


def test_a_column_that_the_user_names_is_read_whatever_another_covers() -> None:
    var = genes_named(["x", "y", "z"], IDS).assign(symbol=["GENE1", "OLD2", "GENE3"])
    assert source(var=var, gene_column="symbol").find_genes(tiny.tiny_vocabulary()).index.tolist() == [0, -1, 2]
