"""Entries that no file can hold are named with the reason before any work, and left out on request alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from langcell.processing.cells.anndata_output import check_writable, write_annotated

N = 6
Change = Callable[[AnnData], Any]


def cells() -> AnnData:
    obs = pd.DataFrame({"batch": ["a", "b"] * 3}, index=[f"c{i}" for i in range(N)])
    adata = AnnData(np.ones((N, 3), dtype=np.float32), obs=obs, var=pd.DataFrame(index=list("xyz")))
    adata.uns["colours"] = {"batch": np.array(["red", "blue"])}
    return adata


def obs(values: Any, name: Any = "odd") -> Change:
    return lambda adata: adata.obs.__setitem__(name, values)


def uns(value: Any, name: Any = "odd") -> Change:
    return lambda adata: adata.uns.__setitem__(name, value)


def in_var(adata: AnnData) -> None:
    adata.var["odd"] = [1, "a", None]


def in_raw(adata: AnnData) -> None:
    adata.raw = adata.copy()
    adata.raw.var["odd"] = [1, "a", 2.5]


def in_obsm(adata: AnnData) -> None:
    adata.obsm["scores"] = pd.DataFrame({"odd": [1, "a"] * 3}, index=adata.obs_names)


def called_like_the_index(adata: AnnData) -> None:
    adata.obs["cell"] = ["other"] * N
    adata.obs.index.name = "cell"


FILTERED = np.rec.fromarrays([np.array([np.nan] * 3, dtype=object)], dtype=[("0", "O")])
CASES: dict[str, tuple[Change, str]] = {
    "mixed": (obs(["low", 1] * 3), r"obs\['odd'\] mixes int and str; make it text: .astype\(str\)"),
    "bool with gaps": (
        obs(np.array([True] * 3 + [np.nan] * 3, dtype=object)),
        r"obs\['odd'\] mixes bool and missing values; make it boolean: .astype\('boolean'\)",
    ),
    "mixed categories": (obs(pd.Categorical(["a", 1] * 3)), r"obs\['odd'\] mixes int and str"),
    "dates": (obs(pd.to_datetime(["2020-01-01"] * N)), r"obs\['odd'\] holds datetime64.* values, which files cannot"),
    "lists": (obs([[1], [2]] * 3), r"obs\['odd'\] holds list values, which files cannot hold"),
    "nothing": (obs(np.array([None] * N, dtype=object)), r"obs\['odd'\] holds missing values alone"),
    "a number as name": (obs(np.ones(N), 3), r"obs\[3\] has a name that is no text"),
    "_index": (obs(["a"] * N, "_index"), r"obs\['_index'\] has a name that files keep for themselves"),
    "index name": (called_like_the_index, r"obs\['cell'\] is called like the index"),
    "var": (in_var, r"var\['odd'\] mixes int and str and missing values"),
    "raw": (in_raw, r"raw\['var'\]\['odd'\] mixes float and int and str"),
    "obsm": (in_obsm, r"obsm\['scores'\]\['odd'\] mixes int and str"),
    "filtered markers": (uns({"names": FILTERED}, "rank"), r"uns\['rank'\]\['names'\] cannot be written"),
    "an object": (uns(object()), r"uns\['odd'\] cannot be written: No method"),
    "a nested number as name": (uns({1: 2}, "kept"), r"uns\['kept'\]\[1\] has a name that is no text"),
}


@pytest.mark.parametrize(("case", "suffix"), [*((case, "h5ad") for case in CASES), ("mixed", "zarr"), ("raw", "zarr")])
def test_it_is_named_before_and_left_out_on_request(case: str, suffix: str, tmp_path: Path, caplog) -> None:
    change, message = CASES[case]
    adata, output = cells(), tmp_path / f"out.{suffix}"
    change(adata)
    with pytest.raises(ValueError, match=f"cannot write .*: {message}.*--drop-unwritable"):
        check_writable(adata, output)
    check_writable(adata, output, drop_unwritable=True)
    if suffix == "h5ad":  # what was named is not named in vain
        with pytest.raises(Exception, match=r"."):
            write_annotated(adata, output, obs={"label": ["x"] * N}, obsm={}, uns={})
        assert not output.exists()
    write_annotated(adata, output, obs={"label": ["x"] * N}, obsm={}, uns={}, drop_unwritable=True)
    assert "Left out of" in caplog.text
    read = anndata.read_h5ad(output) if suffix == "h5ad" else anndata.read_zarr(output)
    assert list(read.obs.columns) == ["batch", "label"]
    assert list(read.uns["colours"]["batch"]) == ["red", "blue"]
    assert not {"odd", "cell"} & {*read.var.columns, *read.uns, *getattr(read.raw, "var", pd.DataFrame()).columns}
    assert read.X.sum() == 3 * N


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.array(["a", None] * 3, dtype=object), id="text with None"),
        pytest.param(np.array(["a", np.nan] * 3, dtype=object), id="text with NaN"),
        pytest.param(pd.array(["a", None] * 3, dtype="string"), id="pandas text"),
        pytest.param(pd.array([True, None] * 3, dtype="boolean"), id="nullable bool"),
        pytest.param(pd.array([1, None] * 3, dtype="Int64"), id="nullable int"),
        pytest.param(pd.Categorical([True, np.nan] * 3), id="categories with gaps"),
    ],
)
def test_what_anndata_writes_is_written(values: Any, tmp_path: Path) -> None:
    adata = cells()
    adata.obs["column"] = values
    before = adata.obs["column"].dtype
    check_writable(adata, tmp_path / "out.h5ad")
    write_annotated(adata, tmp_path / "out.h5ad", obs={}, obsm={}, uns={})
    read = anndata.read_h5ad(tmp_path / "out.h5ad").obs["column"]
    assert read.isna().tolist() == adata.obs["column"].isna().tolist()
    assert adata.obs["column"].dtype == before


def test_x_is_written_once_and_other_layers_beside_it(tmp_path: Path) -> None:
    adata = cells()  # anndata 0.13 has X among the layers, too
    adata.layers["counts"] = adata.X * 2
    write_annotated(adata, tmp_path / "out.h5ad", obs={}, obsm={}, uns={})
    read = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert [name for name in read.layers if name is not None] == ["counts"]
    assert (read.X.sum(), read.layers["counts"].sum()) == (3 * N, 6 * N)


def test_a_file_is_copied_whatever_it_holds_and_looked_at_where_it_is_converted(tmp_path: Path, caplog) -> None:
    import h5py

    cells().write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "r+") as file:
        file["uns/odd"] = "text"
        file["uns/odd"].attrs["encoding-type"] = "of next year"
    check_writable(tmp_path / "cells.h5ad", tmp_path / "out.h5ad")
    with pytest.raises(ValueError, match=r"cannot write .*out\.zarr: uns\['odd'\] cannot be read"):
        check_writable(tmp_path / "cells.h5ad", tmp_path / "out.zarr")
    how = {"obs": {"label": ["x"] * N}, "obsm": {}, "uns": {}, "drop_unwritable": True}
    write_annotated(tmp_path / "cells.h5ad", tmp_path / "out.zarr", **how)
    assert "uns['odd']" in caplog.text
    assert "odd" not in anndata.read_zarr(tmp_path / "out.zarr").uns
