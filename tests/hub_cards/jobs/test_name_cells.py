"""The job as the Hub runs it: a fresh process, cells that come from a data set, names that go into another one."""

import io
import re

import anndata
import hub_server
import pytest
from hub_processes import run
from hub_server import TOKEN
from places import ROOT
from tiny_labelled import labelled_cells

SCRIPT = ROOT / "hub_cards" / "jobs" / "name_cells.py"


@pytest.fixture(scope="module")
def hub():
    with hub_server.running() as hub:
        yield hub


def test_the_header_names_what_the_script_needs():
    header = re.match(r"# /// script\n(.*?)# ///\n", SCRIPT.read_text(), re.DOTALL)
    assert header is not None
    assert '# dependencies = ["langcell"]' in header[1]


def test_cells_of_a_data_set_are_named_into_another_one(hub, tmp_path, tiny_model_dir):
    (tmp_path / "cells").mkdir()
    labelled_cells(4).write_h5ad(tmp_path / "cells" / "pbmc.h5ad")
    hub.put("org/cells", tmp_path / "cells", kind="dataset")
    words = [
        "hf://datasets/org/cells/pbmc.h5ad",
        "org/named",
        "--labels",
        'B cell,"CD4-positive, alpha-beta T cell"',
        "--model",
        tiny_model_dir,
    ]
    done = run(hub, tmp_path / "home", SCRIPT, *words, token=TOKEN)
    assert done.stdout.splitlines()[-1] == "Wrote hf://datasets/org/named/pbmc_named.h5ad"
    named = anndata.read_h5ad(io.BytesIO(hub.repository("org/named", "dataset").files["pbmc_named.h5ad"].content))
    assert named.n_obs == 12
    assert set(named.obs["langcell_label"]) <= {"B cell", "CD4-positive, alpha-beta T cell"}


def test_a_mistake_is_one_line_and_makes_no_repository(hub, tmp_path, tiny_model_dir):
    words = [
        "hf://datasets/org/nothing/pbmc.h5ad",
        "org/empty",
        "--labels",
        "B cell,monocyte",
        "--model",
        tiny_model_dir,
    ]
    done = run(hub, tmp_path / "home", SCRIPT, *words, token=TOKEN, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("name_cells: ")
    assert ("dataset", "org/empty") not in hub.repositories
