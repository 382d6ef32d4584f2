"""Files and folders of a data set on the Hub are downloaded once and read; the Hub is one on loopback."""

import json
import subprocess
from pathlib import Path

import hub_server
import tiny_containers
import tiny_sources
from warm_python import warm_python

SCRIPT = """
import json, sys
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.containers.addresses import local_path
said = []
for place in sys.argv[1:]:
    try:
        with open_cells(place) as cells:
            said.append([cells.n_cells, local_path(place) == local_path(place)])
    except (OSError, ValueError) as error:
        said.append([type(error).__name__, str(error)])
print(json.dumps(said))
"""


def test_files_and_folders_of_the_hub(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    tiny_sources.write_h5ad(content / "cells.h5ad", 7)
    tiny_containers.make("mtx", content)
    places = [
        "hf://datasets/org/cells/cells.h5ad",
        "hf://datasets/org/cells@main/filtered_feature_bc_matrix",
        "hf://datasets/org/cells/no.h5ad",
        "hf://datasets/org/others/cells.h5ad",
    ]
    with hub_server.running() as hub:
        hub.put("org/cells", content, kind="dataset")
        command = [warm_python(), "-c", SCRIPT, *places]
        done = subprocess.run(
            command, env=hub.environment(tmp_path / "home"), capture_output=True, text=True, check=True
        )
    file, folder, missing, unknown = json.loads(done.stdout)
    assert file == [7, True]
    assert folder == [60, True]
    assert missing == [
        "FileNotFoundError",
        "hf://datasets/org/cells/no.h5ad: org/cells has no such file or folder; check the name.",
    ]
    assert unknown[0] == "FileNotFoundError"
    assert "the Hub has no dataset org/others, or it is private" in unknown[1]
