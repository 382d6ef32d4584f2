"""Mistakes that need no torch are answered without it: one process that cannot import torch makes them all."""

import json
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tiny import tiny_counts, tiny_gene_names

LABELS = ["--labels", "B cell,T cell"]
MISTAKES = {
    "no file": (["missing.h5ad", *LABELS], "no such file or folder"),
    "no folder": (["ok.h5ad", *LABELS, "-o", "none/x.h5ad"], "the folder none does not exist"),
    "the input": (["ok.h5ad", *LABELS, "-o", "ok.h5ad"], "is the input, which would be replaced"),
    "no cells": (["text.h5ad", *LABELS], "not an h5ad file but text"),
    "logarithms": (["log.h5ad", *LABELS], "no raw counts found"),
    "no layer": (["ok.h5ad", *LABELS, "--layer", "nope"], "unknown layer 'nope'"),
    "no clusters": (
        ["ok.h5ad", *LABELS, "--cluster-column", "nope"],
        "unknown cluster column 'nope'; obs has ['kind']; --cluster makes clusters",
    ),
    "one label": (["ok.h5ad", "--labels", "B cell"], "naming needs at least two labels"),
    "no tissue": (["ok.h5ad", "--tissue", "blod"], "blod"),
    "no page": (["ok.h5ad", *LABELS, "--report", "page.pdf"], "The report is an HTML file"),
    "no table": (["ok.h5ad", *LABELS, "--csv", "a.txt"], "give a file that ends in .csv"),
    "no known cells": (["ok.h5ad", *LABELS, "--known-file", "none.csv"], "none.csv is no file"),
    "alpha": (["ok.h5ad", *LABELS, "--alpha", "1.5"], "alpha is 1.5; legal are 0 (match only) to 1"),
    "k": (["ok.h5ad", *LABELS, "--rerank", "top-k", "--k", "0"], "k is 0; give the number of labels"),
    "unknown": (["ok.h5ad", *LABELS, "--unknown", "2"], "unknown is 2.0; give a confidence from 0 to 1"),
    "no calibration": (["ok.h5ad", *LABELS, "--unknown", "none.json"], "Cannot read the calibration none.json"),
    "smooth": (["ok.h5ad", *LABELS, "--smooth", "-1"], "smooth is -1.0; give a strength of 0"),
    "backoff": (["ok.h5ad", *LABELS, "--ontology-backoff", "3"], "ontology_backoff is 3.0; give a margin"),
    "two ways": (["ok.h5ad", *LABELS, "--refine", "none", "--cluster"], "nothing is refined; leave one out"),
    "dtype": (["ok.h5ad", *LABELS, "--dtype", "float8"], "dtype is 'float8'; legal are float32"),
    "device": (["ok.h5ad", *LABELS, "--device", "gpu"], "Device 'gpu' is called 'cuda'"),
    "tokens": (["ok.h5ad", *LABELS, "--max-batch-tokens", "0"], "max_batch_tokens is 0; give a positive number"),
}
KIND = ["ok.h5ad", "--label-column", "kind"]
OTHERS = {
    "search": (["retrieve", "ok.h5ad", "--text", "x", "--alpha", "2"], "alpha is 2.0; legal are 0"),
    "calibration": (["calibrate", *KIND, "--fit-share", "1"], "fit_share is 1.0; give a share"),
    "risk": (["calibrate", *KIND, "--target-risk", "1"], "target_risk is 1.0; give a share"),
    "evaluation": (["evaluate", "zero-shot", *KIND, "-o", "r", "--repeats", "0"], "repeats is 0; give at least 1"),
    "evaluation alpha": (["evaluate", "zero-shot", *KIND, "-o", "r", "--alpha", "-1"], "alpha is -1.0; legal are 0"),
    "fine-tuning": (["finetune", *KIND, "-o", "a", "--strength", "2"], "strength is 2.0; give a share above 0"),
    "genes": (["explain", "ok.h5ad", "--top", "0"], "top is 0; give at least one gene"),
}
PROGRAM = """
import json, sys
sys.argv = ["langcell"]
sys.modules["torch"] = None
from typer.testing import CliRunner
from langcell.cli.commands import app
said = {}
for name, words in json.loads(sys.stdin.read()).items():
    result = CliRunner().invoke(app, words)
    said[name] = [result.exit_code, result.output + str(result.exception)]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each mistake is answered with, and the exit code, where torch cannot be imported."""
    place = tmp_path_factory.mktemp("mistakes")
    obs = pd.DataFrame({"kind": ["a"] * 6}, index=[f"c{i}" for i in range(6)])
    cells = AnnData(tiny_counts(6), obs=obs, var=pd.DataFrame(index=tiny_gene_names()))
    cells.write_h5ad(place / "ok.h5ad")
    anndata.AnnData(np.log1p(cells.X * 1.7), obs=obs, var=cells.var).write_h5ad(place / "log.h5ad")
    (place / "text.h5ad").write_text("gene,cell\n")
    before = sorted(place.iterdir())
    asked = {name: ["annotate", *words] for name, (words, _) in MISTAKES.items()}
    words = json.dumps(asked | {name: words for name, (words, _) in OTHERS.items()})
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=words, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(place.iterdir()) == before
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", [*MISTAKES, *OTHERS])
def test_a_mistake_is_answered_without_torch(said, name):
    code, text = said[name]
    assert (MISTAKES | OTHERS)[name][1] in text
    assert code == 2
    assert "torch" not in text
