"""The notebooks of docs/tutorials: each is run from its first cell to its last, and holds real outputs."""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from places import ROOT
from warm_python import warm_commands, warm_python

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
SAMPLE = "cells = sample_cells()"
SOME_CELLS = f'{SAMPLE}\ncells = cells[cells.obs.groupby("bulk_labels", observed=True).cumcount() < 12].copy()'
# What a reader waits for is cut here, where only its running counts: text of a cell, and what stands in its place.
SHORTER = {
    # The tuned encoders would read all reference cells and types first.
    "few_labels": {
        "--shots 5 -o": "--shots 5 --steps 2 -o",
        SAMPLE: SOME_CELLS,
        ", adapter=": ", reference=False, adapter=",
    },
    "name_pbmc": {SAMPLE: SOME_CELLS},
    "pretrain": {SAMPLE: SOME_CELLS, "batch.size=16": "batch.size=8"},
}


class WarmKernelManager(AsyncKernelManager):
    """Starts kernels whose imports are done."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(argv=[warm_python(), "-m", "ipykernel_launcher", "-f", "{connection_file}"])


@pytest.fixture(params=TUTORIALS, ids=lambda path: path.stem)
def tutorial(request):
    return request.param


def test_outputs_are_kept_and_say_nothing_of_a_machine(tutorial):
    notebook = nbformat.read(tutorial, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(bool(cell.outputs) for cell in code) >= 3
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    said = "".join(str(cell.outputs) for cell in code)
    assert not [word for word in (tempfile.gettempdir(), str(Path.home()), str(ROOT)) if word in said]


@pytest.mark.slow
def test_it_runs(tutorial, monkeypatch, tmp_path):
    # Commands in the notebook are those of this environment, wherever the tests were started from.
    places = [warm_commands(tmp_path / "bin", "langcell", "accelerate"), Path(sys.executable).parent]
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, places), os.environ["PATH"]]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(tutorial, as_version=4)
    for long, short in SHORTER.get(tutorial.stem, {}).items():
        (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and long in cell.source]
        cell.source = cell.source.replace(long, short)
    there = {"metadata": {"path": str(tutorial.parent)}}
    NotebookClient(notebook, timeout=600, kernel_manager_class=WarmKernelManager, resources=there).execute()
