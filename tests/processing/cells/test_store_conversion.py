from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from scipy import sparse

from langcell.processing.cells import store_conversion
from langcell.processing.cells.anndata_output import write_annotated

pytestmark = [
    pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning"),
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part:UserWarning"),
]


def all_kinds() -> AnnData:
    """An AnnData with every kind of element that files hold."""
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(0.5, (30, 20)).astype(np.float32))
    obs = pd.DataFrame(
        {
            "kind": pd.Categorical(["b", "a", None] * 10, categories=["b", "a", "unused"], ordered=True),
            "text": [f"text {i}" for i in range(30)],
            "number": np.arange(30),
            "maybe": pd.array([1, None, 3] * 10, dtype="Int64"),
            "flag": rng.random(30) < 0.5,
        },
        index=[f"cell{i}" for i in range(30)],
    )
    cells = AnnData(counts, obs=obs, var=pd.DataFrame({"gene": ["x"] * 20}, index=[f"g{i}" for i in range(20)]))
    cells.raw = cells.copy()
    cells.layers["dense"] = counts.toarray()
    cells.layers["columns"] = counts.tocsc()
    cells.obsm["matrix"] = rng.random((30, 3))
    cells.obsm["table"] = pd.DataFrame({"a": np.arange(30.0)}, index=cells.obs_names)
    cells.obsp["graph"] = sparse.eye(30, format="csr")
    cells.varm["empty"] = np.zeros((20, 0))
    cells.uns |= {"text": "word", "number": 3, "list": ["a", "b"], "nested": {"array": np.arange(4), "none": {}},
                  "truth": True, "numbers": np.array([])}  # fmt: skip
    return cells


def write(cells: AnnData, path: Path) -> Path:
    cells.write_h5ad(path) if path.suffix == ".h5ad" else cells.write_zarr(path)
    return path


def everything(path: Path) -> dict[str, object]:
    """Every value and every mark of an h5ad file."""
    found: dict[str, object] = {}

    def keep(name: str, item: object) -> None:
        found[f"marks of {name}"] = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}
        if isinstance(item, h5py.Dataset):
            found[name] = (str(item.dtype), np.asarray(item[()]).tolist())

    with h5py.File(path) as file:
        file.visititems(keep)
    return found


@pytest.mark.parametrize("bytes_per_block", [1, 1 << 24])
def test_from_zarr_to_h5ad(tmp_path, monkeypatch, bytes_per_block):
    monkeypatch.setattr(store_conversion, "_BYTES_PER_BLOCK", bytes_per_block)
    write_annotated(write(all_kinds(), tmp_path / "in.zarr"), tmp_path / "out.h5ad", obs={}, obsm={}, uns={})
    assert everything(tmp_path / "out.h5ad") == everything(write(all_kinds(), tmp_path / "expected.h5ad"))


@pytest.mark.parametrize("bytes_per_block", [1, 1 << 24])
def test_from_h5ad_to_zarr(tmp_path, monkeypatch, bytes_per_block):
    monkeypatch.setattr(store_conversion, "_BYTES_PER_BLOCK", bytes_per_block)
    source = write(all_kinds(), tmp_path / "in.h5ad")
    write_annotated(source, tmp_path / "out.zarr", obs={}, obsm={}, uns={})
    back = write(anndata.read_zarr(tmp_path / "out.zarr"), tmp_path / "back.h5ad")
    assert everything(back) == everything(write(anndata.read_h5ad(source), tmp_path / "again.h5ad"))


def test_a_new_zarr_folder_is_one_that_zarr_opens_at_once(tmp_path):
    source = write(all_kinds(), tmp_path / "in.h5ad")
    write_annotated(source, tmp_path / "out.zarr", obs={}, obsm={}, uns={"langcell": {"alpha": 0.1}})
    root = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert root.metadata.consolidated_metadata is not None
    assert float(np.asarray(root["uns/langcell/alpha"][()])) == 0.1


def test_zarr_is_written_where_anndata_has_no_setting_for_its_format(tmp_path, monkeypatch):
    class Settings:
        """As from anndata 0.14 on, which takes `zarr_write_format` away."""

        def __getattr__(self, name: str):
            if name == "zarr_write_format":
                raise AttributeError(name)
            return getattr(settings, name)

    settings = anndata.settings
    AnnData(np.ones((3, 2), dtype=np.float32)).write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr(anndata, "settings", Settings())
    write_annotated(tmp_path / "cells.h5ad", tmp_path / "cells.zarr", obs={"n": np.arange(3)}, obsm={}, uns={})
    assert (tmp_path / "cells.zarr" / "zarr.json").is_file()
    assert anndata.read_zarr(tmp_path / "cells.zarr").obs["n"].tolist() == [0, 1, 2]
