import math

import numpy as np
import pytest
from anndata import AnnData

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.cells.log_scale import find_log_base
from langcell.processing.cells.matrix_rows import DenseRows

COUNTS = np.random.default_rng(0).poisson(3, (20, 30)).astype(np.float64)
CP10K = COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4


@pytest.mark.parametrize(
    ("values", "x_is", "stated", "base"),
    [
        pytest.param(COUNTS, "counts", None, None, id="counts"),
        pytest.param(np.log1p(CP10K), "log1p", None, math.e, id="natural"),
        pytest.param(np.log2(1 + CP10K), "log1p", 2.0, 2.0, id="base_in_the_file"),
        pytest.param(np.log2(1 + CP10K), "log1p", None, 2.0, id="base_seen_from_sums"),
        pytest.param(np.log10(1 + CP10K), "log1p", None, 10.0, id="base_ten_seen_from_sums"),
        pytest.param(np.log2(1 + CP10K)[:, :20], "log2p", None, 2.0, id="said"),
        pytest.param(np.log1p(CP10K)[:, :20], "log1p", None, math.e, id="variable_genes_alone"),
        pytest.param(np.log1p(CP10K), "log1p", -1.0, math.e, id="no_base"),
    ],
)
def test_base_of_logarithms(values: np.ndarray, x_is, stated: float | None, base: float | None) -> None:
    assert find_log_base(DenseRows(values), x_is, stated=stated)[0] == base


def test_logarithms_called_linear_are_told() -> None:
    base, notes = find_log_base(DenseRows(np.log1p(CP10K)), "linear", stated=None)
    assert base is None
    assert "look like natural logarithms" in notes[0]
    assert find_log_base(DenseRows(CP10K), "linear", stated=None) == (None, [])


@pytest.mark.parametrize("suffix", ["memory", "h5ad"])
@pytest.mark.parametrize("uns", [{"log1p": {"base": 2}}, {}])
def test_log2_values_become_what_they_were(suffix: str, uns: dict, tmp_path) -> None:
    source = AnnData(np.log2(1 + CP10K), uns=uns)
    if suffix == "h5ad":
        source.write_h5ad(tmp_path / "cells.h5ad")
        source = tmp_path / "cells.h5ad"
    with open_cells(source, x_is="log1p") as cells:
        np.testing.assert_allclose(cells.counts_of(np.arange(20)).toarray(), CP10K, rtol=1e-5)
        assert any("base 2" in note for note in cells.notes)
