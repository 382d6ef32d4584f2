"""Every command that takes cells reads every container of them."""

import gzip
import json
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import tiny
import tiny_containers
from anndata import AnnData
from anndata.io import write_elem
from typer.testing import CliRunner

from langcell.cli.commands import app

N_CELLS = 24
TYPES = ["B cell", "T cell", "monocyte"]


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, f"{words}: {result.output}"
    return result.output


@pytest.mark.parametrize("kind", tiny_containers.MAKERS)
def test_embed_and_tokenize_read_every_kind(kind: str, tiny_model_dir, tmp_path: Path) -> None:
    path = tiny_containers.make(kind, tmp_path)
    tiny_containers.cells().write_h5ad(plain := tmp_path / "plain.h5ad")
    for source, output in ((plain, "plain.h5ad"), (path, "other.h5ad")):
        run("embed", source, "-o", tmp_path / f"embedded_{output}", "--model", tiny_model_dir, "--device", "cpu")
    expected, found = (anndata.read_h5ad(tmp_path / f"embedded_{name}.h5ad") for name in ("plain", "other"))
    np.testing.assert_array_equal(found.obsm["X_langcell"], expected.obsm["X_langcell"])
    assert found.n_vars == expected.n_vars
    assert "60 cells read" in run(
        "tokenize", path, "-o", tmp_path / "shards", "--model", tiny_model_dir, "--workers", 1
    )


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> dict[str, Path]:
    """Cells with types: a MuData file with the types in the table of the whole file, and an h5ad.gz."""
    folder = tmp_path_factory.mktemp("labelled")
    types = pd.DataFrame({"type": np.tile(TYPES, N_CELLS // 3)}, index=[f"cell{i}" for i in range(N_CELLS)])
    genes = pd.DataFrame(index=tiny.tiny_gene_names())
    rna = AnnData(tiny.tiny_counts(N_CELLS), obs=types[[]], var=genes)
    with h5py.File(folder / "cells.h5mu", "w") as file:
        write_elem(file, "mod/rna", rna)
        write_elem(file, "obs", types)
        write_elem(file, "obsmap", {"rna": np.arange(1, N_CELLS + 1, dtype=np.uint32)})
    rna.obs["type"] = types["type"]
    rna.write_h5ad(folder / "cells.h5ad")
    (folder / "cells.h5ad.gz").write_bytes(gzip.compress((folder / "cells.h5ad").read_bytes()))
    return {"h5mu": folder / "cells.h5mu", "gzip": folder / "cells.h5ad.gz"}


@pytest.mark.parametrize("kind", ["h5mu", "gzip"])
def test_commands_that_need_types_find_them(kind: str, labelled, tiny_model_dir, tmp_path: Path) -> None:
    data = labelled[kind]
    common = ("--label-column", "type", "--model", tiny_model_dir, "--device", "cpu")
    run("evaluate", "zero-shot", data, *common, "-o", tmp_path / "evaluated")
    assert json.loads((tmp_path / "evaluated" / "zero-shot.json").read_text())
    run("calibrate", data, *common, "--target-risk", 0.9, "-o", tmp_path / "calibration.json")
    tuning = ("--shots", 4, "--steps", 2, "--task", "classification", "--method", "full")
    run("finetune", data, *common, *tuning, "-o", tmp_path / "tuned")
    run("classify", data, "-o", tmp_path / "classified.zarr", "--model", tmp_path / "tuned", "--device", "cpu")
    run("annotate", data, "-o", tmp_path / "n.h5ad", "--labels", ",".join(TYPES), *common[2:])
    run("retrieve", tmp_path / "n.h5ad", "--text", "B cell", "--rerank", 3, "--counts", data, *common[2:])
    run("genes", "fit", data, "-o", tmp_path / "genes.npz")
    assert anndata.read_h5ad(tmp_path / "n.h5ad").obs["type"].tolist() == list(np.tile(TYPES, N_CELLS // 3))


def test_what_another_format_cannot_hold_is_left_out_on_request(labelled, tiny_model_dir, tmp_path: Path) -> None:
    data = tmp_path / "cells.h5ad"
    data.write_bytes(gzip.decompress(labelled["gzip"].read_bytes()))
    with h5py.File(data, "r+") as file:
        file["uns/odd"] = "text"
        file["uns/odd"].attrs["encoding-type"] = "of next year"
    words = ("embed", data, "-o", tmp_path / "out.zarr", "--model", tiny_model_dir, "--device", "cpu")
    refused = CliRunner().invoke(app, [str(word) for word in words])
    assert refused.exit_code == 2
    assert "uns['odd'] cannot be read" in refused.stderr
    run(*words, "--drop-unwritable")
    assert "odd" not in anndata.read_zarr(tmp_path / "out.zarr").uns
    run("embed", data, "-o", tmp_path / "out.h5ad", "--model", tiny_model_dir, "--device", "cpu")
