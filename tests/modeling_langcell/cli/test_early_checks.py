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
        "unknown cluster column 'nope'; obs has ['kind']",
    ),
    "one label": (["ok.h5ad", "--labels", "B cell"], "naming needs at least two labels"),
    "no tissue": (["ok.h5ad", "--tissue", "blod"], "blod"),
    "no page": (["ok.h5ad", *LABELS, "--report", "page.pdf"], "The report is an HTML file"),
    "no table": (["ok.h5ad", *LABELS, "--csv", "a.txt"], "give a file that ends in .csv"),
}
PROGRAM = """
import json, sys
sys.argv = ["langcell"]
sys.modules["torch"] = None
from typer.testing import CliRunner
from langcell.cli.commands import app
said = {}
for name, words in json.loads(sys.stdin.read()).items():
    result = CliRunner().invoke(app, ["annotate", *words])
    said[name] = [result.exit_code, result.output]
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
    words = json.dumps({name: words for name, (words, _) in MISTAKES.items()})
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=words, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(place.iterdir()) == before
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_without_torch(said, name):
    code, text = said[name]
    assert code == 2
    assert MISTAKES[name][1] in text
    assert "torch" not in text
