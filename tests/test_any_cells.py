"""Files as nobody plans them: whatever types, layers and columns they have, they are read or refused in one line.

By hand more of them: `HYPOTHESIS_EXAMPLES=2000 pytest tests/test_any_cells.py`.
"""

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import tiny
from anndata import AnnData
from hypothesis import HealthCheck, given, settings
from scipy import sparse

from langcell.inference.annotation import annotate
from langcell.loading.load import LoadedLangCell, load
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.cells.gene_index import gene_index_of
from langcell.processing.rank_values import rank_encode

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "100"))
KINDS = ["counts", "zeros", "ones", "logged", "log2", "scaled", "decimals", "missing", "infinite", "huge", "logical"]
DTYPES = ["float32", "float64", "float16", "int8", "int64", "uint16", "uint64", "bool"]
FORMS = ["csr", "csc", "dense"]
LAYERS = ["counts", "raw_counts", "umi", "spliced", "unspliced", "log", "binned", "soupX_counts"]
NAMES = [
    "tiny",
    "symbols",
    "numbers",
    "genome",
    "mouse",
    "mouse_ids",
    "transcripts",
    "dates",
    "twice",
    "empty",
    "mixture",
]
LABELS = {"B": tiny.TEXTS[0], "NK": tiny.TEXTS[1]}


def values(draw: st.DrawFn, shape: tuple[int, int]) -> Any:
    kind, form, seed = draw(st.sampled_from(KINDS)), draw(st.sampled_from(FORMS)), draw(st.integers(0, 1000))
    counts = np.random.default_rng(seed).poisson(0.8, shape).astype(np.float64)
    depth = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    dense = {
        "counts": lambda: counts,
        "zeros": lambda: counts * 0,
        "ones": lambda: counts > 0,
        "logged": lambda: np.log1p(counts / depth * 1e4),
        "log2": lambda: np.log2(1 + counts / depth * 1e4),
        "scaled": lambda: counts - 0.4,
        "decimals": lambda: counts * 0.77,
        "missing": lambda: np.where(counts > 2, np.nan, counts),
        "infinite": lambda: np.where(counts > 2, np.inf, counts),
        "huge": lambda: np.where(counts > 2, 1e308, counts),
        "logical": lambda: counts > 1,
    }[kind]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        dense = dense.astype(draw(st.sampled_from(DTYPES)))
    if form == "dense":
        return dense
    if dense.dtype == np.float16:
        dense = dense.astype(np.float32)  # scipy has no half precision
    return sparse.csr_matrix(dense) if form == "csr" else sparse.csc_matrix(dense)


def gene_names(draw: st.DrawFn, n_genes: int) -> list[Any]:
    tiny_names = [*tiny.tiny_gene_names(), *(f"EXTRA{i}" for i in range(100))][:n_genes]
    mouse = [name.capitalize() for name in tiny_names]
    return {
        "tiny": lambda: tiny_names,
        "symbols": lambda: [f"GENE{i}" for i in range(n_genes)],
        "numbers": lambda: [str(i) for i in range(n_genes)],
        "genome": lambda: [f"GRCh38_{name}" for name in tiny_names],
        "mouse": lambda: mouse,
        "mouse_ids": lambda: [f"ENSMUSG{i:011d}" for i in range(n_genes)],
        "transcripts": lambda: [f"ENST{i:011d}.2" for i in range(n_genes)],
        "dates": lambda: [f"{i}-Mar" for i in range(n_genes)],
        "twice": lambda: ["GENE1"] * n_genes,
        "empty": lambda: ["", *tiny_names][:n_genes],
        "mixture": lambda: [*tiny_names[: n_genes // 2], *mouse[n_genes // 2 :]],
    }[draw(st.sampled_from(NAMES))]()


def column(draw: st.DrawFn, length: int) -> Any:
    """A column of obs or var of whatever kind pandas has."""
    seed = draw(st.integers(0, 1000))
    numbers = np.random.default_rng(seed).integers(0, 4, length)
    texts = np.array(["Gene Expression", "Antibody Capture", "protein_coding", "x"], dtype=object)[numbers]
    gaps = [None if number == 3 else bool(number) for number in numbers]
    return draw(
        st.sampled_from(
            [
                numbers,
                numbers * 0.5,
                texts,
                pd.Categorical(texts),
                pd.Categorical(numbers),
                pd.array(gaps, dtype="boolean"),
                pd.array([None if number == 3 else int(number) for number in numbers], dtype="Int64"),
                np.array([f"GENE{i}" for i in range(length)], dtype=object),
                pd.array(texts, dtype="string"),
            ]
        )
    )


@st.composite
def any_cells(draw: st.DrawFn) -> tuple[AnnData, dict[str, Any]]:
    """Some cells, and options to read them with."""
    n_cells, n_genes = draw(st.integers(0, 12)), draw(st.integers(0, 60))
    shape = (n_cells, n_genes)
    names = gene_names(draw, n_genes)
    columns = draw(st.lists(st.sampled_from(["feature_types", "modality", "type", "gene_ids", "n"]), unique=True))
    var = pd.DataFrame({name: column(draw, n_genes) for name in columns}, index=pd.Index(names, dtype=object))
    obs = pd.DataFrame(
        {name: column(draw, n_cells) for name in draw(st.lists(st.sampled_from(["a", "cell type"]), unique=True))},
        index=pd.Index([f"c{i}" for i in range(n_cells)], dtype=object),
    )
    x = values(draw, shape) if draw(st.booleans()) or not draw(st.booleans()) else None
    adata = AnnData(x, obs=obs, var=var, shape=shape if x is None else None)
    for layer in draw(st.lists(st.sampled_from(LAYERS), unique=True, max_size=3)):
        adata.layers[layer] = values(draw, shape)
    if x is not None and draw(st.booleans()):
        adata.raw = adata.copy()
        adata = adata[:, : draw(st.integers(0, n_genes))].copy()
    if draw(st.booleans()):
        adata.uns["log1p"] = {"base": draw(st.sampled_from([None, 2, 10.0, "e", -1]))}
    options = {
        "x_is": draw(st.sampled_from(["counts", "counts", "linear", "log1p", "log2p"])),
        "layer": draw(st.sampled_from([None, None, "X", "raw", *LAYERS[:3]])),
        "gene_column": draw(st.sampled_from([None, None, "gene_ids", "type", "nothing"])),
        "species": draw(st.sampled_from(["auto", "auto", "human", "mouse"])),
    }
    return adata, options


@pytest.fixture(scope="module")
def loaded(tiny_model_dir: Path) -> LoadedLangCell:
    return load(tiny_model_dir, device="cpu", dtype="float32")


@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")
@pytest.mark.filterwarnings("ignore:Transforming to str index:anndata.ImplicitModificationWarning")
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(case=any_cells(), as_file=st.booleans())
def test_any_cells_are_read_or_refused_in_one_line(
    case: tuple[AnnData, dict[str, Any]], as_file: bool, loaded: LoadedLangCell
) -> None:
    adata, options = case
    extractor = loaded.processor.feature_extractor
    with tempfile.TemporaryDirectory() as folder:
        source: Any = adata
        if as_file:
            source = Path(folder, "cells.h5ad")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    adata.write_h5ad(source)
                except Exception:  # of what AnnData itself cannot write there is no file
                    return
        try:
            with open_cells(source, **options) as cells:
                index = gene_index_of(cells, extractor)
                counts = cells.counts_of(np.arange(cells.n_cells))
                assert counts.shape == (len(adata), len(cells.gene_names))
                assert np.isfinite(counts.data).all()
                assert (counts.data > 0).all()
                assert cells.n_cells > 0
                rank_encode(counts, index, extractor.vocabulary, max_length=None)
        except ValueError as error:
            message = str(error)
            assert message
            assert "\n" not in message
            if options["gene_column"] == "nothing" and "unknown gene column" in message:
                assert "'nothing'" in message
            return
        if not as_file and EXAMPLES <= 100:  # the model itself takes most of the time
            annotate(adata, LABELS, model=loaded, progress=False, **options)
            assert len(adata.obs["langcell_label"]) == len(counts.indptr) - 1
