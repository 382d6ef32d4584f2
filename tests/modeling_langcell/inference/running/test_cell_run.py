"""Runs over files: killed and gone on with, and shared by processes; what comes out is what one run gives."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from places import ROOT
from ranks import free_port, run_on_ranks
from tiny import tiny_counts, tiny_gene_names
from warm_python import warm_python

import langcell
from langcell.loading.load import load

LABELS = ["natural killer cell", "B cell", "my odd cells", "monocyte"]
N_CELLS = 2_500  # two chunks of the command line, one for each of two processes

# A chunk of a few cells, so that there are many to be killed between.
SLOW_RUN = """
import logging, sys
import langcell
logging.basicConfig(format="%(message)s", level=logging.INFO)
source, output, model, alpha = sys.argv[1:]
options = {"device": "cpu", "rows_per_chunk": 5, "progress": False}
langcell.annotate(source, ["B cell", "natural killer cell"], output=output, model=model, alpha=float(alpha), **options)
"""


def write_cells(path: Path, n_cells: int) -> Path:
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(n_cells)])
    AnnData(tiny_counts(n_cells), obs=obs, var=pd.DataFrame(index=tiny_gene_names())).write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def loaded(tiny_model_dir):
    return load(tiny_model_dir, device="cpu")


@pytest.fixture
def cells(tmp_path):
    return write_cells(tmp_path / "cells.h5ad", 43)


def contents(path: Path) -> dict[str, list[object]]:
    """Every dataset of an h5ad file by its name; NaN as text, since it would not equal itself."""
    values: dict[str, list[object]] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            values[name] = [
                str(value) if value != value else value for value in np.atleast_1d(item[()]).ravel().tolist()
            ]

    with h5py.File(path) as file:
        file.visititems(keep)
    return values


def start_slow_run(source: Path, output: Path, model: Path, alpha: float = 0.1) -> subprocess.Popen[str]:
    words = [warm_python(), "-c", SLOW_RUN, str(source), str(output), str(model), str(alpha)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)


def kill_in_the_middle(process: subprocess.Popen[str], parts: Path, at_least: int = 3) -> int:
    """SIGKILL once some chunks are done; how many are."""
    deadline = time.monotonic() + 800
    while len(list(parts.glob("cells-*.parquet"))) < at_least:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return len(list(parts.glob("cells-*.parquet")))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX matter")
def test_a_killed_run_goes_on_and_gives_the_same_file(tiny_model_dir, tmp_path):
    source, output, expected = write_cells(tmp_path / "in.h5ad", 1500), tmp_path / "out.h5ad", tmp_path / "whole.h5ad"
    whole = start_slow_run(source, expected, tiny_model_dir)
    killed = start_slow_run(source, output, tiny_model_dir)
    done = kill_in_the_middle(killed, parts := tmp_path / "out.h5ad.parts")
    assert not output.exists()
    assert 3 <= done < 300
    again = start_slow_run(source, output, tiny_model_dir)
    text = again.communicate()[1]
    assert again.returncode == 0, text
    assert f"Going on with {parts}: {done} of 300 chunks are done." in text
    assert whole.communicate()
    assert whole.returncode == 0
    assert output.read_bytes() == expected.read_bytes()
    assert not parts.exists()


def test_other_arguments_start_anew(cells, loaded, tmp_path, caplog):
    caplog.set_level("INFO")
    output = tmp_path / "out.h5ad"
    options = {"output": output, "model": loaded, "rows_per_chunk": 10, "progress": False}
    stop_after(3, cells, options, alpha=0.3)
    assert len(list((tmp_path / "out.h5ad.parts").glob("cells-*"))) == 3
    langcell.annotate(cells, LABELS, alpha=0.6, **options)
    assert "of a run with other arguments (alpha); starting again" in caplog.text
    langcell.annotate(cells, LABELS, alpha=0.6, **options | {"output": tmp_path / "expected.h5ad"})
    assert output.read_bytes() == (tmp_path / "expected.h5ad").read_bytes()


def stop_after(n_chunks: int, cells: Path, options: dict, **more: object) -> None:
    """Interrupt a run (as Ctrl-C does) when some of its chunks are done."""
    from langcell.inference.running import cell_run

    class Interrupted(cell_run.PartsFolder):
        def add(self, start, columns):
            if len(self.starts()) == n_chunks:
                raise KeyboardInterrupt
            super().add(start, columns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_run, "PartsFolder", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            langcell.annotate(cells, LABELS, **options, **more)


def test_a_run_that_was_interrupted_goes_on_with_its_own_budget(cells, loaded, tmp_path, caplog):
    caplog.set_level("INFO")
    options = {"output": tmp_path / "out.h5ad", "model": loaded, "rows_per_chunk": 10, "progress": False}
    stop_after(2, cells, options, max_batch_tokens=50)
    assert "What is done is kept in" in caplog.text
    langcell.annotate(cells, LABELS, **options)
    assert "2 of 5 chunks are done" in caplog.text
    langcell.annotate(cells, LABELS, **options | {"output": tmp_path / "expected.h5ad", "max_batch_tokens": 50})
    assert (tmp_path / "out.h5ad").read_bytes() == (tmp_path / "expected.h5ad").read_bytes()


def test_bad_cells_leave_no_parts(cells, loaded, tmp_path):
    with h5py.File(cells, "r+") as file:
        file["X/data"][-1] = -1.0
    # What opening looks at is found before; this one only by reading.
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match="negative"):
        langcell.annotate(cells, LABELS, output=tmp_path / "o.h5ad", model=loaded, rows_per_chunk=10, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_embed_goes_on_too(cells, loaded, tmp_path):
    output = tmp_path / "out.h5ad"
    langcell.embed(cells, output=output, model=loaded, hidden=True, rows_per_chunk=10, progress=False)
    in_memory = langcell.embed(anndata.read_h5ad(cells), model=loaded, hidden=True, progress=False)
    for name in ("X_langcell", "X_langcell_hidden"):
        np.testing.assert_allclose(anndata.read_h5ad(output).obsm[name], in_memory.obsm[name], atol=1e-5)
    assert not (tmp_path / "out.h5ad.parts").exists()


def command(source: Path, output: Path, model: Path, *more: str) -> list[str]:
    words = ["-m", "langcell.cli", "annotate", str(source), "-o", str(output), "--model", str(model)]
    return [*words, "--labels", ",".join(LABELS), "--device", "cpu", "--max-batch-tokens", "4096", *more]


def test_two_processes_give_what_one_gives(tiny_model_dir, tmp_path):
    source = write_cells(tmp_path / "cells.h5ad", N_CELLS)
    alone = subprocess.run([warm_python(), *command(source, tmp_path / "one.h5ad", tiny_model_dir)], check=True,
                           capture_output=True, text=True)  # fmt: skip
    first, second = run_on_ranks(command(source, tmp_path / "two.h5ad", tiny_model_dir))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert contents(tmp_path / "two.h5ad") == contents(tmp_path / "one.h5ad")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.h5ad", "one.h5ad", "two.h5ad"]
    # Rank 0 says what one process says, and the other nothing.
    assert first.stdout.replace("two.h5ad", "one.h5ad") == alone.stdout
    assert "(process 1 of 2)" in first.stderr
    assert second.stdout == ""
    assert "cells" not in second.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param(["torch.distributed.run", "--nproc-per-node", "2", "--master-port"], id="torchrun"),
        pytest.param(
            ["accelerate.commands.launch", "--config_file", str(ROOT / "training/configs/accelerate/cpu2.yaml"),
             "--main_process_port"], id="accelerate",
        ),
    ],
)  # fmt: skip
def test_launchers(tiny_model_dir, tmp_path, launcher):
    source, output = write_cells(tmp_path / "cells.h5ad", N_CELLS), tmp_path / "out.h5ad"
    words = [warm_python(), "-m", *launcher, free_port(), *command(source, output, tiny_model_dir)]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ, timeout=800)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"Wrote {output}") == 1
    assert "(process 1 of 2)" in done.stderr
    assert anndata.read_h5ad(output).obs["langcell_label"].notna().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"source": "nowhere.h5ad"}, "nowhere.h5ad: no such file or folder", id="no_file"),
        pytest.param({"more": ["--labels-file", "x.txt"]}, "exactly one of --labels", id="labels_twice"),
        pytest.param({"model": "nowhere"}, "is no model folder", id="no_model"),
    ],
)
def test_bad_input_ends_all_processes_with_one_line(cells, tiny_model_dir, tmp_path, changes, message):
    source = tmp_path / changes.get("source", cells.name)
    model = tmp_path / changes["model"] if "model" in changes else tiny_model_dir
    first, second = run_on_ranks(command(source, tmp_path / "out.h5ad", model, *changes.get("more", [])))
    assert (first.returncode, second.returncode) == (2, 2), first.stderr + second.stderr
    lines = [line for line in first.stderr.splitlines() if line.startswith("langcell: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "langcell: " not in second.stderr
    assert "Traceback" not in first.stderr + second.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]


def test_a_fault_that_one_process_alone_meets_is_told_by_it(tiny_model_dir, tmp_path):
    source = write_cells(tmp_path / "cells.h5ad", N_CELLS)
    with h5py.File(source, "r+") as file:
        file["X/indices"][file["X/indptr"][2200]] = 9999  # in the second chunk, and nothing that opening looks at
    # Named alone: before a refinement one process reads all cells, and meets the fault for both.
    words = [*command(source, tmp_path / "out.h5ad", tiny_model_dir), "--refine", "none"]
    first, second = run_on_ranks(words)
    assert (first.returncode, second.returncode) == (2, 2), first.stderr + second.stderr
    assert "langcell: another process of this run has ended before its time" in first.stderr
    assert re.search(r"langcell: process 2 of 2: .*cannot read cells 2000 to 2500: .*damaged", second.stderr)
    assert not (tmp_path / "out.h5ad").exists()
