"""The table of cells of a data set, read by rows and columns, so that it never has to be in memory as a whole."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd


class CellTable(Protocol):
    """Reader of the table of cells: what `CellSource` needs to know of it."""

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        ...

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        ...

    def names(self, start: int, stop: int) -> list[str]:
        """Return names of the cells `start` to `stop`; they need not be unique."""
        ...

    def read(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """Return some columns of the cells `start` to `stop`, with 0, 1, ... as index."""
        ...

    def whole(self) -> pd.DataFrame:
        """Return all of it."""
        ...


class FrameTable:
    """A table that is in memory."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self.n_cells = len(frame)
        self.columns = [str(column) for column in frame.columns]

    def names(self, start: int, stop: int) -> list[str]:
        """See `CellTable.names`."""
        return [str(name) for name in self._frame.index[start:stop]]

    def read(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """See `CellTable.read`."""
        return self._frame[list(columns)].iloc[start:stop].reset_index(drop=True)

    def whole(self) -> pd.DataFrame:
        """See `CellTable.whole`."""
        return self._frame


class StoredTable:
    """A table in an h5ad or zarr file.

    Plain, text and categorical columns are read by rows; columns of a rarer kind are read whole each time.

    Args:
        group: The stored table, of h5py or zarr.
        read_element: Reads an element of the file, or the whole table.
    """

    def __init__(self, group: Any, read_element: Callable[[Any], Any]) -> None:
        self._group, self._read_element = group, read_element
        self._categories: dict[str, Any] = {}
        index = group[group.attrs["_index"]]
        self.n_cells = int((index if hasattr(index, "shape") else index["values"]).shape[0])
        self.columns = [str(column) for column in group.attrs.get("column-order", [])]

    def names(self, start: int, stop: int) -> list[str]:
        """See `CellTable.names`."""
        return [str(name) for name in self._values(str(self._group.attrs["_index"]), start, stop)]

    def read(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """See `CellTable.read`."""
        values = {column: self._values(column, start, stop) for column in columns}
        return pd.DataFrame(values, index=pd.RangeIndex(stop - start))

    def whole(self) -> pd.DataFrame:
        """See `CellTable.whole`."""
        return self._whole

    @cached_property
    def _whole(self) -> pd.DataFrame:
        return self._read_element(self._group)

    def _values(self, column: str, start: int, stop: int) -> Any:
        element = self._group[column]
        kind = element.attrs.get("encoding-type")
        if kind == "categorical":
            if column not in self._categories:
                self._categories[column] = self._read_element(element["categories"])
            return pd.Categorical.from_codes(element["codes"][start:stop], self._categories[column])
        if kind == "string-array":
            values = element.asstr()[start:stop] if hasattr(element, "asstr") else element[start:stop]
            return np.asarray(values, dtype=object)
        if kind == "array":
            return np.asarray(element[start:stop])
        return self._read_element(element)[start:stop]
