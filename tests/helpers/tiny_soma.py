"""Small SOMA experiments, written in a process of its own: the native library has ended processes by a crash."""

import importlib.util
import os
import shutil
import signal
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from anndata import AnnData

from langcell.processing.sources.census import CensusSource
from langcell.processing.workers.pool import run_in_processes


def write_experiment(place: str | Path, adata: AnnData) -> str:
    """Write an experiment with one measurement, or skip the test where the extra is not installed."""
    if importlib.util.find_spec("tiledbsoma") is None:
        pytest.skip("the extra census is not installed")
    ((_, written),) = run_in_processes(_write, [(str(place), adata)], workers=1)
    return written


def _write(task: tuple[str, AnnData]) -> str:
    place, adata = task
    shutil.rmtree(place, ignore_errors=True)
    from_anndata(place, adata)
    return place


def from_anndata(place: str, adata: AnnData) -> None:
    """Write an experiment in this process, with the layer `raw` of a measurement `RNA`."""
    from tiledbsoma import io

    conversions: Any = io.conversions
    to_arrow = conversions.df_to_arrow_table
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas 3 about the library
        # tiledbsoma 2.2.0 beside pandas 3: consecutive soma_joinids are a RangeIndex, which pyarrow makes no column of.
        patch.setattr(conversions, "df_to_arrow_table", lambda df: to_arrow(_with_written_index(df)))
        # Beside anndata 0.13 it meets X once more, as the layer None.
        patch.setattr(type(adata.layers), "items", lambda self: [(name, self[name]) for name in self if name])
        io.from_anndata(place, adata, measurement_name="RNA", X_layer_name="raw")


def _with_written_index(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis(pd.Index(frame.index.to_numpy(), name=frame.index.name))


class CrashingCensus(CensusSource):
    """A Census whose library crashes at the first reads: a file for each in the folder that an environment names."""

    def counts_of(self, rows):
        _crash_at_first("counts")
        return super().counts_of(rows)

    def metadata_blocks(self, *arguments):
        for number, block in enumerate(super().metadata_blocks(*arguments)):
            if number == 1:
                _crash_at_first("metadata")
            yield block


def _crash_at_first(name: str) -> None:
    mark = Path(os.environ["LANGCELL_TEST_CRASHES"], name)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
