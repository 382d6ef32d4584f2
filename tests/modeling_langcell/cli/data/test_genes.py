"""`langcell genes` on real files: one pass, and the parts of a distributed one."""

import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from typer.testing import CliRunner

from langcell.cli.commands import app
from langcell.processing.vocabulary.vocabulary_files import read_vocabulary

IDS = [f"ENSG{i:011d}" for i in range(12)]


@pytest.fixture
def files(tmp_path):
    rng, paths = np.random.default_rng(0), []
    for number, genes in enumerate((IDS[:9], IDS[3:], IDS[::2])):
        var = pd.DataFrame(
            {
                "feature_name": [f"G{i[-2:]}_{number}" for i in genes],
                "feature_type": ["protein_coding" if int(i[-2:]) % 3 else "lncRNA" for i in genes],
            },
            index=genes,
        )
        paths.append(str(tmp_path / f"{number}.h5ad"))
        AnnData(rng.poisson(2.0, (60, len(genes))).astype(np.float32), var=var).write_h5ad(paths[-1])
    return paths


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["genes", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def test_merged_parts_are_one_pass_byte_for_byte(tmp_path, files):
    for suffix in ("tsv", "json"):
        run("fit", *files, "-o", tmp_path / f"whole.{suffix}")
    for number, path in enumerate(files):
        output = run("fit", path, "-o", tmp_path / f"part{number}.npz")
        assert "Merge parts with: langcell genes merge" in output
    parts = [tmp_path / f"part{number}.npz" for number in (2, 0, 1)]
    for suffix in ("tsv", "json"):
        run("merge", *parts, "-o", tmp_path / f"merged.{suffix}")
        assert (tmp_path / f"merged.{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()
    run("merge", *parts[:2], "-o", tmp_path / "two.npz")
    run("merge", tmp_path / "two.npz", parts[2], "-o", tmp_path / "in_steps.tsv")
    assert (tmp_path / "in_steps.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()


def test_the_vocabulary_has_names_counts_and_a_fingerprint(tmp_path, files):
    output = run("fit", str(tmp_path / "*.h5ad"), "-o", tmp_path / "genes.json", "--min-cells", "20")
    vocabulary, content = read_vocabulary(tmp_path / "genes.json"), json.loads((tmp_path / "genes.json").read_text())
    assert vocabulary.fingerprint in output
    assert list(vocabulary.gene_ids) == [gene_id for gene_id in IDS if int(gene_id[-2:]) % 3]
    assert vocabulary.match(["G04_0", "G04_1", "G04_2"]).tolist() == [2, 2, 2]
    assert (content["cells"], content["sources"]) == (180, ["0.h5ad", "1.h5ad", "2.h5ad"])
    assert all(gene["cells"] >= 20 for gene in content["genes"])


def test_a_table_gives_the_biotypes(tmp_path, files):
    (tmp_path / "mart.tsv").write_text(f"Gene stable ID\tGene type\n{IDS[0]}\tmiRNA\n{IDS[1]}\tlncRNA\n")
    options = ("--biotypes", tmp_path / "mart.tsv")
    run("fit", *files, "-o", tmp_path / "genes.tsv", *options)
    assert list(read_vocabulary(tmp_path / "genes.tsv").gene_ids) == [IDS[0]]
    run("fit", *files, "-o", tmp_path / "genes.tsv", *options, "--keep", "lncRNA")
    assert list(read_vocabulary(tmp_path / "genes.tsv").gene_ids) == [IDS[1]]


def test_without_biotypes_all_are_kept_and_it_says_so(tmp_path):
    counts = np.random.default_rng(0).poisson(2.0, (20, 12)).astype(np.float32)
    AnnData(counts, var=pd.DataFrame(index=IDS)).write_h5ad(tmp_path / "plain.h5ad")
    output = run("fit", tmp_path / "plain.h5ad", "-o", tmp_path / "genes.tsv")
    assert "genes of all kinds were kept; give --biotypes" in output
    assert len(read_vocabulary(tmp_path / "genes.tsv")) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["fit", "-o", "x.tsv"], "No cells to count", id="no_sources"),
        pytest.param(["fit", "none.h5ad", "-o", "x.tsv"], "no such file or folder: none.h5ad", id="no_file"),
        pytest.param(["fit", "none.h5ad", "-o", "x.csv"], "another ending than .tsv, .json and .npz", id="ending"),
        pytest.param(["fit", "none.h5ad", "-o", "no/x.tsv"], "does not exist; make it first", id="no_folder"),
        pytest.param(["fit", "-o", "x.tsv", "--joinids", "0:5"], "give --census-uri", id="census_options"),
        pytest.param(["fit", "none.h5ad", "-o", "x.tsv", "--keep", " , "], "--keep names no biotype", id="keep"),
        pytest.param(["merge", "none.npz", "-o", "x.tsv"], "no such file: none.npz", id="no_part"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in run(*arguments, code=2)
    assert not list(tmp_path.iterdir())
