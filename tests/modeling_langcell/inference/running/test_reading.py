import threading
from contextlib import closing

import pandas as pd
import pytest
from anndata import AnnData
from tiny import tiny_counts, tiny_gene_names

from langcell.inference.running.options import ReadingOptions
from langcell.inference.running.reading import Coverage, ranked_chunks
from langcell.loading.load import load
from langcell.processing.cells.anndata_io import open_cells


@pytest.fixture(scope="module")
def loaded(tiny_model_dir):
    return load(tiny_model_dir, device="cpu")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "cells.h5ad"
    AnnData(tiny_counts(11), var=pd.DataFrame(index=tiny_gene_names())).write_h5ad(path)
    with open_cells(path, **ReadingOptions().source) as source:
        yield source


@pytest.mark.parametrize(
    ("starts", "rows"),
    [
        pytest.param(range(0, 11, 4), 4, id="all"),
        pytest.param([8, 0], 4, id="some_in_another_order"),
        pytest.param([], 4, id="none"),
        pytest.param([0], 100, id="more_rows_than_cells"),
    ],
)
def test_chunks_are_those_that_were_asked_for(source, loaded, starts, rows):
    extractor = loaded.processor.feature_extractor
    gene_index = extractor.gene_index(source.gene_names)
    expected = extractor.encode(tiny_counts(11), tiny_gene_names())
    found = list(ranked_chunks(source, loaded, gene_index, starts, rows))
    assert [chunk.start for chunk in found] == list(starts)
    for start, ranked, weights, _ in found:
        assert weights is None
        assert len(ranked) == min(rows, 11 - start)
        for row, ids in enumerate(ranked):
            assert ids.tolist() == expected[start + row].tolist()


def test_stopping_early_stops_the_reader(source, loaded):
    gene_index = loaded.processor.feature_extractor.gene_index(source.gene_names)
    with closing(ranked_chunks(source, loaded, gene_index, range(11), 1)) as chunks:
        next(chunks)
    assert not [thread for thread in threading.enumerate() if thread.name == "langcell-prefetch"]


def test_bad_values_are_reported_by_the_reader(loaded):
    cells = AnnData(tiny_counts(5), var=pd.DataFrame(index=tiny_gene_names()))
    with open_cells(cells) as source:
        gene_index = loaded.processor.feature_extractor.gene_index(source.gene_names)
        cells.X.data[-1] = -1  # after opening has looked
        with pytest.raises(ValueError, match="negative"):
            list(ranked_chunks(source, loaded, gene_index, range(0, 5, 2), 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"rows_per_chunk": 0}, "at least one row per chunk", id="rows_per_chunk"),
        pytest.param({"max_batch_tokens": -1}, "max_batch_tokens is -1; give a positive number", id="max_batch_tokens"),
    ],
)
def test_illegal_options(options, message):
    with pytest.raises(ValueError, match=message):
        ReadingOptions(**options)


def test_coverage_in_words():
    assert str(Coverage(0.5, 0.25, 0, 9)) == "50.0% of the genes and 25.0% of the counts are in the model's vocabulary"
    assert str(Coverage(0.5, 0.25, 2, 9)).endswith("; 2 of 9 cells have no known gene")
