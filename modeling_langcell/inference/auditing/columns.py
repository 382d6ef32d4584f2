"""The findings of an audit as columns of obs, in a copy of the file that was asked for."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from langcell.inference.evidence.groups import CellGroups
from langcell.inference.running.options import ReadingOptions
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.cells.anndata_output import check_writable, write_annotated
from langcell.processing.cells.annotation_values import check_output, refuse_same_file

if TYPE_CHECKING:
    from langcell.inference.auditing.audit import Audit

_STATUS, _CALLED = "langcell_audit", "langcell_audit_label"


def check_annotated(data: str | Path, output: str | Path) -> None:
    """Refuse a copy that could not be written, before the work rather than after.

    Raises:
        ValueError: it is the data itself, no h5ad or zarr, or cannot hold what is in the data.
        FileNotFoundError: its folder does not exist.
    """
    check_output(Path(output))
    refuse_same_file(data, output)
    check_writable(data, output, drop_unwritable=False)


def write_annotated_copy(data: str | Path, output: str | Path, found: "Audit", reading: ReadingOptions) -> None:
    """Write the data with what was found of each cell's label: `langcell_audit` and `langcell_audit_label`."""
    obs = audit_columns(data, found, reading)
    write_annotated(data, output, obs=obs, obsm={}, uns={"langcell_audit": {"label_column": found.label_column}})


def audit_columns(data: str | Path, found: "Audit", reading: ReadingOptions) -> dict[str, pd.Categorical]:
    """Return the status of each cell's label, and what cells of the label are called; missing for a cell without a
    label."""
    with open_cells(data, **reading.source) as source:
        groups = CellGroups.read(source, found.label_column, what="label column")
    by_label = {group.label: group for group in found.groups}
    statuses = ["wrong", "mixed", "unsure", "fine"]
    status = np.array([statuses.index(by_label[name].status) for name in groups.names] + [-1])
    called = [v.called if (v := by_label[name].verdict) else "" for name in groups.names]
    names = sorted({name for name in called if name})
    place = np.array([names.index(name) if name else -1 for name in called] + [-1])
    return {
        _STATUS: pd.Categorical.from_codes(status[groups.codes], statuses),
        _CALLED: pd.Categorical.from_codes(place[groups.codes], names),
    }
