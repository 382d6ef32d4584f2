"""SOMA is read in processes of its own: a crash of the library ends no run, and no run of the tests."""

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_soma
import tiny_sources
from warm_python import warm_python

from langcell.processing.gene_naming.found_genes import GeneNaming
from langcell.processing.sources import hosted_census
from langcell.processing.sources.census import CensusSelection, excludes_values
from langcell.processing.sources.hosted_census import HostedCensus, open_census

CASES = Path(__file__).parent / "soma_cases.py"
# In a warm process libraries are imported before pytest is, which it warns of.
OPTIONS = "-q -x -p no:cacheprovider -p no:xdist -W ignore::pytest.PytestAssertRewriteWarning"


@pytest.mark.slow
def test_the_cases_of_a_census_pass() -> None:
    if importlib.util.find_spec("tiledbsoma") is None:
        pytest.skip("the extra census is not installed")
    command = [warm_python(), "-m", "pytest", *OPTIONS.split(), str(CASES)]
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != -signal.SIGSEGV:
            break
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "tiledbsoma" not in sys.modules


def test_a_census_is_read_in_another_process_and_gives_what_it_holds(tmp_path: Path, vocabulary, monkeypatch) -> None:
    place = tiny_soma.write_experiment(tmp_path / "experiment", tiny_sources.adata_of())
    monkeypatch.setattr(hosted_census, "CensusSource", tiny_soma.CrashingCensus)
    monkeypatch.setenv("LANGCELL_TEST_CRASHES", str(tmp_path))
    with open_census(CensusSelection(place), naming=GeneNaming()) as source:
        assert isinstance(source, HostedCensus)
        assert source.gene_names == tiny_sources.adata_of().var["feature_id"].tolist()
        assert source.n_in_range() == tiny_sources.N_CELLS
        blocks = list(source.metadata_blocks(["is_primary_data"], 25))
        assert [row for block in blocks for row in block.index] == list(range(tiny_sources.N_CELLS))
        rows = np.array([3, 4, 10, 59])
        np.testing.assert_array_equal(source.counts_of(rows).toarray(), tiny_sources.counts_of().toarray()[rows])
        assert source.metadata(["is_primary_data"], 5, 9).index.tolist() == [5, 6, 7, 8]
        assert (source.find_genes(vocabulary).index >= 0).sum() > 0
        assert (source.selection.uri, source.obs_columns[0]) == (place, "soma_joinid")
        for name in ("_soma", "_x", "no_such_name"):  # nothing here that would read in this process
            assert not hasattr(source, name)
    assert {"counts", "metadata"} <= {path.name for path in tmp_path.iterdir()}
    assert "tiledbsoma" not in sys.modules


def test_filters_that_exclude_values_are_known() -> None:
    assert excludes_values("cell_type != 'B cell'")
    assert not excludes_values("cell_type == 'not !='")
