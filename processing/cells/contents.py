"""What an opened data set offers, and where in it the values are that were asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from langcell.processing.cells.cell_tables import CellTable
from langcell.processing.cells.matrix_rows import MatrixRows
from langcell.processing.cells.raw_counts import (
    ValueSummary,
    XKind,
    refusal,
    summarise_values,
)

# Where raw counts are looked for, in this order.
COUNT_LOCATIONS = ("X", "layers/counts", "raw/X")


@dataclass(frozen=True)
class Contents:
    """What an opened file or object offers, before it is known which values to read.

    Attributes:
        name: The path, or what else messages call the data set.
        cells: Table of cells.
        var: Table of genes of X and the layers.
        raw_var: Table of genes of raw, which usually has more.
        matrices: Location ("X", "layers/counts", "raw/X") to a function that opens its rows.
        close: Releases the file.
    """

    name: str
    cells: CellTable
    var: pd.DataFrame
    raw_var: pd.DataFrame | None
    matrices: Mapping[str, Callable[[], MatrixRows]]
    close: Callable[[], None]

    def var_of(self, location: str) -> pd.DataFrame:
        """The gene table that belongs to a location: raw has its own."""
        return self.raw_var if location == "raw/X" and self.raw_var is not None else self.var


def find_values(contents: Contents, *, x_is: XKind, layer: str | None) -> tuple[str, MatrixRows]:
    """The first location whose sampled values can be `x_is`, and its rows.

    Raw counts are looked for in X, `layers["counts"]` and raw; anything else is read from X. Where a layer is named
    ("raw" and "X" can be named too), nothing else is looked at.

    Raises:
        ValueError: No location will do; the text says what each holds and what to do.
    """
    findings, readable = [], []
    for location in _locations(contents, x_is, layer):
        rows, summary, finding = _examine(contents, location, x_is)
        if rows is not None and finding is None:
            return location, rows
        findings.append(f"{shown(location)} {finding}")
        if summary is not None and refusal(summary, "linear") is None:
            readable.append(location)
    wanted = "raw counts" if x_is == "counts" else f"{x_is} values"
    advice = _advice(contents, x_is, layer, readable)
    raise ValueError(f"{contents.name}: no {wanted} found ({'; '.join(findings)}). {advice}")


def _locations(contents: Contents, x_is: XKind, layer: str | None) -> tuple[str, ...]:
    if layer is None:
        return COUNT_LOCATIONS if x_is == "counts" else ("X",)
    names = {_layer_name(location): location for location in contents.matrices}
    if layer not in names:
        raise ValueError(f"{contents.name}: unknown layer {layer!r}; it has {sorted(names)}")
    return (names[layer],)


def _layer_name(location: str) -> str:
    """What `layer=` calls a location: "X", "raw", or the name of the layer."""
    return "raw" if location == "raw/X" else location.removeprefix("layers/")


def _examine(
    contents: Contents, location: str, x_is: XKind
) -> tuple[MatrixRows | None, ValueSummary | None, str | None]:
    """The rows at a location, a summary of their values, and why they will not do (None where they will)."""
    if location not in contents.matrices:
        return None, None, "does not exist"
    try:
        rows = contents.matrices[location]()
    except ValueError as error:
        return None, None, f"cannot be read: {error}"
    expected = (contents.cells.n_cells, len(contents.var_of(location)))
    if rows.shape != expected:
        return (
            None,
            None,
            f"is {rows.shape[0]} x {rows.shape[1]}, but the tables name {expected[0]} cells x {expected[1]} genes",
        )
    if rows.dtype.kind not in "biuf":
        return None, None, f"holds {rows.dtype}, not numbers"
    summary = summarise_values(rows.sample())
    return rows, summary, refusal(summary, x_is)


def _advice(contents: Contents, x_is: XKind, layer: str | None, readable: list[str]) -> str:
    if x_is != "counts":
        others = sorted(_layer_name(location) for location in contents.matrices)
        return f"Say what the values are (--x-is counts, linear or log1p), or name another layer, one of {others}"
    advice = 'Store raw counts in X, layers["counts"] or raw'
    if "X" in readable or (layer is not None and readable):
        return f"{advice}, or say what the values are: --x-is log1p, or --x-is linear (TPM, CP10k)"
    if readable:
        name = _layer_name(readable[0])
        return f'{advice}, or read {shown(readable[0])} as layer "{name}" with --x-is log1p or linear'
    return advice


def shown(location: str) -> str:
    """A location as AnnData users write it: `layers["counts"]`, `raw.X`."""
    if location.startswith("layers/"):
        return f'layers["{location.removeprefix("layers/")}"]'
    return location.replace("/", ".")
