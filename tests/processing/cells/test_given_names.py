import numpy as np
import pandas as pd
from anndata import AnnData

from langcell.processing.cells.given_names import read_given_names


def test_names_and_confidences_of_some_cells_in_the_order_asked_for(tmp_path):
    obs = pd.DataFrame(index=["a", "b", "c"])
    cells = AnnData(np.ones((3, 2), dtype=np.float32), obs=obs)
    path = tmp_path / "cells.h5ad"
    cells.write_h5ad(path)
    assert read_given_names(path, np.array([0])) is None
    cells.obs["langcell_label"] = pd.Categorical(["B cell", "T cell", "B cell"])
    cells.obs["langcell_confidence"] = np.array([0.5, 0.75, 1.0], dtype=np.float32)
    named = tmp_path / "named.h5ad"
    cells.write_h5ad(named)
    found = read_given_names(named, np.array([2, 1]))
    assert found is not None
    assert found[0] == ["B cell", "T cell"]
    assert found[1].tolist() == [1.0, 0.75]
