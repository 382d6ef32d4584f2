import errno
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from anndata.io import write_elem
from scipy import sparse
from warm_python import warm_python

from langcell.processing.cells import matrix_rows
from langcell.processing.cells.anndata_io import CellSource, open_cells
from langcell.processing.cells.anndata_output import write_annotated

COUNTS = sparse.csr_matrix(np.random.default_rng(0).poisson(0.5, (50, 20)).astype(np.float32))


def example(values: object = COUNTS, **parts: object) -> AnnData:
    obs = pd.DataFrame({"donor": [f"d{row % 3}" for row in range(50)]}, index=[f"cell{row}" for row in range(50)])
    var = pd.DataFrame(
        {"ensembl": [f"ENSG{gene:011d}" for gene in range(20)]}, index=[f"g{gene}" for gene in range(20)]
    )
    return AnnData(X=values, obs=obs, var=var, **parts)


def save(adata: AnnData, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.write_zarr(path) if path.suffix == ".zarr" else adata.write_h5ad(path)
    return path


def read(path: Path) -> AnnData:
    return anndata.read_zarr(path) if path.suffix == ".zarr" else anndata.read_h5ad(path)


def streamed(cells: CellSource, rows_per_chunk: int = 7) -> np.ndarray:
    return sparse.vstack([chunk.counts for chunk in cells.chunks(rows_per_chunk)]).toarray()


FORMS: dict[str, Callable[[sparse.csr_matrix], object]] = {
    "csr": lambda matrix: matrix,
    "csc": lambda matrix: matrix.tocsc(),
    "dense": lambda matrix: matrix.toarray(),
    "int64": lambda matrix: matrix.astype(np.int64),
    "csr_array": sparse.csr_array,
}


@pytest.mark.parametrize("place", ["h5ad", "zarr", "memory", "backed"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_in_every_place(form: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_rows, "BAND_SIZE", 60)
    adata = example(FORMS[form](COUNTS))
    source = adata if place == "memory" else save(adata, tmp_path / f"cells.{place.replace('backed', 'h5ad')}")
    if place == "backed":
        source = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with open_cells(source, gene_column="ensembl") as cells:
        assert (cells.n_cells, cells.location, cells.gene_columns) == (50, "X", ["ensembl"])
        assert cells.gene_names[2] == "ENSG00000000002"
        assert cells.obs["donor"].iloc[4] == "d1"
        np.testing.assert_array_equal(streamed(cells), COUNTS.toarray())
        (chunk,) = cells.chunks(100, start=33, stop=40)
        np.testing.assert_array_equal(chunk.counts.toarray(), COUNTS[33:40].toarray())
    if place == "backed":
        source.file.close()


@pytest.mark.parametrize("place", ["h5ad", "zarr", "memory"])
def test_counts_in_a_layer_and_in_raw(place: str, tmp_path: Path) -> None:
    logged = COUNTS.log1p()
    in_layer = example(logged, layers={"counts": COUNTS, "spliced": COUNTS})
    in_raw = AnnData(X=logged[:, :5], obs=in_layer.obs, var=in_layer.var[:5])
    in_raw.raw = example()
    for adata, location in ((in_layer, "layers/counts"), (in_raw, "raw/X")):
        source = adata if place == "memory" else save(adata, tmp_path / f"{location[:3]}.{place}")
        with open_cells(source) as cells:
            assert cells.location == location
            assert cells.gene_names == [f"g{gene}" for gene in range(20)]
            np.testing.assert_array_equal(streamed(cells), COUNTS.toarray())
        with open_cells(source, x_is="log1p") as cells:
            assert cells.location == "X"
            np.testing.assert_allclose(streamed(cells), COUNTS.toarray()[:, : adata.n_vars], rtol=1e-6)


def test_view_of_an_object_in_memory_and_no_change_to_it() -> None:
    adata = example(COUNTS.log1p())
    before = adata.X.copy()
    with open_cells(adata[10:20, 3:9], x_is="log1p") as cells:
        np.testing.assert_allclose(streamed(cells, 4), COUNTS[10:20, 3:9].toarray(), rtol=1e-6)
    assert (before != adata.X).nnz == 0


def test_names_that_are_not_unique_and_genes_without_a_name(tmp_path: Path) -> None:
    adata = example()
    adata.var["symbol"] = pd.Categorical([None, *["CD3D"] * 19])
    save(adata, tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "r+") as file:
        names = file["obs/_index"]
        # Of pandas 3 text anndata makes a group: values, and a mask of the missing ones.
        names = names["values"] if isinstance(names, h5py.Group) else names
        names[1] = "cell0"
    with open_cells(tmp_path / "cells.h5ad", gene_column="symbol") as cells:
        assert list(cells.obs_names[:2]) == ["cell0", "cell0"]
        assert cells.gene_names[:2] == ["", "CD3D"]


def test_an_unknown_layer_of_an_object_is_told_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"unknown layer 'None'; it has \['X', 'spliced'\]"):
        open_cells(example(layers={"spliced": COUNTS}), layer="None")


def test_file_from_before_anndata_07(tmp_path: Path) -> None:
    path = tmp_path / "old.h5ad"
    with h5py.File(path, "w") as file:
        file["X"] = COUNTS.toarray()
        file["obs"] = np.array(
            [(f"cell{row}".encode(), row) for row in range(50)], dtype=[("index", "S8"), ("n", "i8")]
        )
        file["var"] = np.array([(f"g{gene}".encode(),) for gene in range(20)], dtype=[("index", "S8")])
    with open_cells(path) as cells:
        assert cells.gene_names[1] == "g1"
        np.testing.assert_array_equal(streamed(cells), COUNTS.toarray())
    write_annotated(path, path, obs={"score": np.arange(50.0)}, obsm={}, uns={})
    assert read(path).obs["score"].iloc[49] == 49


def text_file(folder: Path) -> Path:
    (folder / "text.h5ad").write_text("not HDF5")
    return folder / "text.h5ad"


def cut_short(folder: Path) -> Path:
    whole = save(example(), folder / "cells.h5ad")
    whole.write_bytes(whole.read_bytes()[:5000])
    return whole


def other_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "tenx.h5", "w") as file:
        file.create_group("matrix")
    return folder / "tenx.h5"


def damaged_table(folder: Path) -> Path:
    path = save(example(), folder / "cells.h5ad")
    with h5py.File(path, "r+") as file:
        del file["obs/donor"]
    return path


def zarr_array(folder: Path) -> Path:
    zarr.create_array(folder / "array.zarr", shape=(2,), dtype="f4")
    return folder / "array.zarr"


@pytest.mark.parametrize(
    ("make", "options", "error", "part"),
    [
        pytest.param(lambda d: d / "no.h5ad", {}, FileNotFoundError, "no such file", id="missing"),
        pytest.param(text_file, {}, ValueError, "not an h5ad file", id="text"),
        pytest.param(cut_short, {}, ValueError, "cut short", id="cut_short"),
        pytest.param(other_hdf5, {}, ValueError, r"it has no 'obs', only \['matrix'\]", id="other_hdf5"),
        pytest.param(damaged_table, {}, ValueError, "table 'obs' cannot be read", id="damaged_table"),
        pytest.param(lambda d: d, {}, ValueError, "no zarr group", id="folder"),
        pytest.param(zarr_array, {}, ValueError, "no zarr group", id="zarr_array"),
        pytest.param(lambda d: save(example()[:0], d / "c.h5ad"), {}, ValueError, "empty: 0 cells", id="no_cells"),
        pytest.param(lambda d: save(example()[:, :0], d / "c.zarr"), {}, ValueError, "x 0 genes", id="no_genes"),
        pytest.param(lambda d: example(COUNTS.log1p()), {}, ValueError, "log-normalised", id="normalised"),
        pytest.param(lambda d: example(COUNTS * np.nan), {}, ValueError, "NaN", id="nan"),
        pytest.param(lambda d: example(-COUNTS), {"x_is": "linear"}, ValueError, "negative", id="negative"),
        pytest.param(lambda d: example(None), {}, ValueError, "X does not exist", id="no_values"),
        pytest.param(lambda d: example(), {"layer": "l"}, ValueError, "unknown layer 'l'", id="layer"),
        pytest.param(lambda d: example(), {"gene_column": "c"}, ValueError, r"column 'c'.*\['ensembl'\]", id="column"),
        pytest.param(lambda d: example(), {"x_is": "tpm"}, ValueError, "unknown kind of values 'tpm'", id="kind"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    make: Callable[[Path], object], options: dict[str, str], error: type[Exception], part: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=part) as caught:
        open_cells(make(tmp_path), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_file_without_permission_is_named(tmp_path: Path) -> None:
    path = save(example(), tmp_path / "cells.h5ad")
    path.chmod(0)
    with pytest.raises(OSError, match=r"cells\.h5ad: cannot be opened"):
        open_cells(path)


RESULTS = {
    "obs": {
        "label": pd.Categorical(["B", "T"] * 25, categories=["T", "B", "NK"]),
        "donor": np.array([f"new{row}" for row in range(50)]),
        "confidence": np.linspace(0, 1, 50, dtype=np.float32),
    },
    "obsm": {
        "X_cells": np.ones((50, 4), dtype=np.float32),
        "scores": pd.DataFrame({"NK/T cell": np.arange(50.0), "B cell": 1.0}),
    },
    "uns": {"results": {"labels": np.array(["T", "B"]), "alpha": 0.1, "version": "1"}},
}


def assert_annotated(result: AnnData) -> None:
    np.testing.assert_array_equal(result.X.toarray(), COUNTS.toarray())
    assert list(result.var_names) == [f"g{gene}" for gene in range(20)]
    assert list(result.obs["label"].cat.categories) == ["T", "B", "NK"]
    assert list(result.obs["label"][:2]) == ["B", "T"]
    assert result.obs["donor"].iloc[7] == "new7"
    assert list(result.obs.columns) == ["donor", "label", "confidence"]
    assert result.obsm["X_cells"].shape == (50, 4)
    scores = result.obsm["scores"]
    assert list(scores.columns) == ["NK_T cell", "B cell"]
    assert scores.index.equals(result.obs_names)
    assert list(result.uns["results"]["labels"]) == ["T", "B"]
    assert result.uns["results"]["alpha"] == 0.1
    assert result.uns["kept"] == "yes"


@pytest.mark.parametrize("target", ["h5ad", "zarr"])
@pytest.mark.parametrize("origin", ["h5ad", "zarr", "memory", "backed"])
def test_annotated_copy_has_everything(origin: str, target: str, tmp_path: Path) -> None:
    adata = example(uns={"kept": "yes"})
    source = adata if origin == "memory" else save(adata, tmp_path / f"in.{origin.replace('backed', 'h5ad')}")
    if origin == "backed":
        source = anndata.read_h5ad(tmp_path / "in.h5ad", backed="r")
    before = adata.copy()
    output = tmp_path / f"out.{target}"
    for _ in range(2):  # the second time replaces
        write_annotated(source, output, **RESULTS)
        assert_annotated(read(output))
    if origin == "memory":
        pd.testing.assert_frame_equal(adata.obs, before.obs)
        assert not adata.obsm
    elif origin != "backed":
        assert list(read(source).obs.columns) == ["donor"]
    else:
        assert Path(source.filename) == tmp_path / "in.h5ad"
        source.file.close()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_in_place(suffix: str, tmp_path: Path) -> None:
    path = save(example(uns={"kept": "yes"}), tmp_path / f"cells.{suffix}")
    for _ in range(2):
        write_annotated(path, str(path), **RESULTS)
    assert_annotated(read(path))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_new_elements_of_a_consolidated_zarr_are_listed(tmp_path: Path) -> None:
    path = save(example(), tmp_path / "cells.zarr")
    write_annotated(path, path, **RESULTS)
    root = zarr.open_group(path, mode="r")
    assert root.metadata.consolidated_metadata is not None
    assert "X_cells" in root["obsm"]


def test_categories_as_anndata_07_stored_them_are_replaced(tmp_path: Path) -> None:
    path = save(example(), tmp_path / "cells.h5ad")
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        obs.attrs["encoding-version"] = "0.1.0"
        del obs["donor"]
        write_elem(obs, "donor", np.zeros(50, dtype=np.int8))
        obs.create_group("__categories")["donor"] = ["a", "b"]
        obs["donor"].attrs["categories"] = obs["__categories/donor"].ref
    write_annotated(path, path, **RESULTS)
    assert read(path).obs["donor"].iloc[7] == "new7"
    assert list(read(path).obs["label"][:2]) == ["B", "T"]


@pytest.mark.parametrize(
    ("results", "part"),
    [
        pytest.param({"obs": {"x": np.zeros(49)}}, "one value a cell", id="length"),
        pytest.param({"obs": {"_index": np.zeros(50)}}, "names of the cells", id="index"),
        pytest.param({"uns": {"a/b": 1}}, "rename it", id="slash"),
    ],
)
@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_results_that_do_not_fit_leave_the_output_alone(
    suffix: str, results: dict[str, dict[str, object]], part: str, tmp_path: Path
) -> None:
    path = save(example(), tmp_path / f"cells.{suffix}")
    with pytest.raises(ValueError, match=part):
        write_annotated(path, path, **({"obs": {}, "obsm": {}, "uns": {}} | results))
    assert list(read(path).obs.columns) == ["donor"]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_output_path_is_checked_first(tmp_path: Path) -> None:
    path = save(example(), tmp_path / "cells.h5ad")
    with pytest.raises(ValueError, match=r"end in \.h5ad or \.zarr"):
        write_annotated(path, tmp_path / "out.csv", **RESULTS)
    with pytest.raises(FileNotFoundError, match="create it first"):
        write_annotated(path, tmp_path / "nowhere" / "out.h5ad", **RESULTS)
    with pytest.raises(FileNotFoundError, match="no such file"):
        write_annotated(tmp_path / "no.h5ad", tmp_path / "out.h5ad", **RESULTS)
    with pytest.raises(ValueError, match="not an h5ad"):
        write_annotated(text_file(tmp_path), tmp_path / "out.h5ad", **RESULTS)


def run_python(script: str, *arguments: object) -> str:
    """What a script prints in a process of its own; it must end well and say nothing on stderr."""
    command = [warm_python(), "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


LIMITED_WRITE = """
import resource, signal, sys
import numpy as np
from langcell.processing.cells.anndata_output import write_annotated
source, output, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    write_annotated(source, output, obs={}, obsm={"x": np.random.default_rng(0).random((50, 100_000))}, uns={})
except OSError as error:
    print(error.errno, error)
"""


@pytest.mark.skipif(os.name != "posix", reason="file size limits are a POSIX matter")
@pytest.mark.parametrize("limit", [pytest.param(10_000, id="while_copying"), pytest.param(150_000, id="while_adding")])
@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_no_room_leaves_the_old_output(suffix: str, limit: int, tmp_path: Path) -> None:
    source = save(example(uns={"pad": np.random.default_rng(0).random(5000)}), tmp_path / f"in.{suffix}")
    output = save(example(uns={"old": 1}), tmp_path / f"out.{suffix}")
    printed = run_python(LIMITED_WRITE, source, output, limit)
    assert printed.startswith(f"{errno.ENOSPC} no room to write {output}: at least ")
    assert printed.count("\n") == 1
    assert read(output).uns["old"] == 1
    assert len(list(tmp_path.iterdir())) == 2


PEAK_MEMORY = """
import json, re, resource, sys
import numpy as np
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.cells.anndata_output import write_annotated
source, output = sys.argv[1:]
with open_cells(source) as cells:
    total = sum(float(chunk.counts.sum()) for chunk in cells.chunks(500))
write_annotated(source, output, obs={"n": np.zeros(cells.n_cells)}, obsm={}, uns={})
try:  # the peak of this program alone; ru_maxrss on Linux can include that of the one that started it
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"total": total, "peak_mb": peak / 1024}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux reports it")
@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_peak_memory_does_not_grow_with_the_number_of_cells(form: str, tmp_path: Path) -> None:
    genes, entries = 2000, 800
    bands = (
        "from langcell.processing.cells import matrix_rows\n"
        "matrix_rows.BAND_SIZE = matrix_rows.BLOCK_SIZE = 1_000_000\n"
    )
    peaks = {}
    for n_cells in (5_000, 20_000):
        columns = (np.arange(n_cells)[:, None] + np.arange(entries) * 2) % genes
        matrix = sparse.csr_matrix(
            (np.ones(columns.size, np.float32), columns.ravel(), np.arange(n_cells + 1) * entries), (n_cells, genes)
        )
        path = save(AnnData(X=FORMS[form](matrix)), tmp_path / f"{n_cells}.h5ad")
        done = json.loads(run_python(bands + PEAK_MEMORY, path, tmp_path / "out.h5ad"))
        assert done["total"] == matrix.nnz
        peaks[n_cells] = done["peak_mb"]
    assert peaks[20_000] < peaks[5_000] + 30, peaks  # the values alone grow by 90 MB


def test_real_counts(real_data) -> None:
    with open_cells(real_data("data/pbmc3k.h5ad"), gene_column="ensembl_id") as cells:
        assert (cells.n_cells, len(cells.gene_names), cells.location) == (2638, 13714, "X")
        depth = np.concatenate([np.asarray(chunk.counts.sum(axis=1)).ravel() for chunk in cells.chunks(500)])
        np.testing.assert_allclose(depth, cells.obs["n_counts"].to_numpy())
