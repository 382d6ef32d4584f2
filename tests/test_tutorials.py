"""The notebooks of docs/tutorials: each is run from its first cell to its last, and holds real outputs."""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from places import ROOT

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))


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
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(tutorial, as_version=4)
    there = {"metadata": {"path": str(tutorial.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=there).execute()
