"""What of an AnnData no file can hold: found by writing it for trial, part by part, before any work is done.

anndata refuses columns that mix kinds of values, dates, tuples and more, and says so only when the file is written.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pandas as pd
import zarr
from zarr.storage import MemoryStore

from langcell.processing.cells.contents import layer_names

WriteElement = Callable[[Any, str, Any], None]
_MOST_NAMED = 10
_TABLES = ("obs", "var")
_MAPPINGS = ("obsm", "varm", "uns", "layers", "obsp", "varp")


@dataclass(frozen=True)
class Unwritable:
    """An entry that cannot be written.

    Attributes:
        place: names that lead to it: ("obs", "score"), ("uns", "markers", "names").
        reason: why, as the end of a sentence.
    """

    place: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        first, *inner = self.place
        return f"{first}{''.join(f'[{name!r}]' for name in inner)} {self.reason}"


def named(found: Sequence[Unwritable]) -> str:
    """Return the entries in a line.

    >>> named([Unwritable(("obs", "score"), "mixes int and str")])
    "obs['score'] mixes int and str"
    """
    more = len(found) - _MOST_NAMED
    return "; ".join(map(str, found[:_MOST_NAMED])) + (f"; and {more} more" if more > 0 else "")


def find_unwritable(adata: Any, write: WriteElement) -> list[Unwritable]:
    """Return the entries of an AnnData that an h5ad file cannot hold; zarr would make text of some without a word.

    Args:
        adata: the AnnData; large numeric matrices are not looked at.
        write: anndata's `write_elem`.
    """
    trial = _Trial(write)
    found: list[Unwritable] = []
    for place, part in _entries(adata):
        if reason := trial.refusal(place[-1], part):
            found.append(Unwritable(place, reason))
    return found


def find_unconvertible(
    root: Any, read: Callable[[Any], Any], write: WriteElement, *, is_zarr: bool = False
) -> list[Unwritable]:
    """Return the elements of a file that cannot be written into one of the other format.

    Args:
        root: the root group of the file.
        read: anndata's `read_elem`.
        write: its `write_elem`.
        is_zarr: the other file is zarr rather than h5ad.
    """
    if isinstance(root, h5py.Group) and not is_zarr:
        return []  # HDF5 copies whatever it holds
    trial = _Trial(write, is_zarr=is_zarr)
    return list(_failing(root, (), read, trial))


def _failing(group: Any, place: tuple[str, ...], read: Callable[[Any], Any], trial: "_Trial") -> Iterator[Unwritable]:
    for name in group:
        element, here = group[name], (*place, name)
        if hasattr(element, "keys"):
            yield from _failing(element, here, read, trial)
        elif not (element.shape and _is_plain(element)):
            try:
                reason = trial.refusal(name, read(element))
            except Exception as error:  # whatever the damage raises
                reason = f"cannot be read: {_first_line(error)}"
            if reason:
                yield Unwritable(here, reason)


def parts_of(adata: Any, *, without: Sequence[Unwritable] = ()) -> dict[str, Any]:
    """Return the parts of an AnnData as they are written, but for some entries.

    Text columns with missing values become categories, as `AnnData.write_h5ad` makes them; the AnnData stays as it is.
    """
    gone = {entry.place for entry in without}
    parts: dict[str, Any] = {} if adata.X is None else {"X": adata.X}
    for name in _TABLES:
        parts[name] = _storable(_kept_columns(getattr(adata, name), (name,), gone))
    for name in _MAPPINGS:
        parts[name] = _kept_items(_mapping(adata, name), (name,), gone)
    if adata.raw is not None:
        var = _storable(_kept_columns(adata.raw.var, ("raw", "var"), gone))
        parts["raw"] = {"X": adata.raw.X, "var": var, "varm": dict(adata.raw.varm)}
    return parts


def write_parts(root: Any, parts: Mapping[str, Any], write: WriteElement) -> None:
    """Write what `parts_of` gave into an empty store."""
    root.attrs["encoding-type"], root.attrs["encoding-version"] = "anndata", "0.1.0"
    for name, part in parts.items():
        write(root, name, part)
    if "raw" in parts:
        root["raw"].attrs["encoding-type"], root["raw"].attrs["encoding-version"] = "raw", "0.1.0"


class _Trial:
    """Writes things into a store in memory."""

    def __init__(self, write: WriteElement, *, is_zarr: bool = False) -> None:
        self._write = write
        self._is_zarr = is_zarr

    def refusal(self, name: Any, value: Any) -> str | None:
        """Why a value cannot be written; None where it can."""
        if _is_plain(value):
            return None
        if not isinstance(name, str):
            return f"has a name that is no text but {type(name).__name__}"
        try:
            if self._is_zarr:
                self._write(zarr.group(store=MemoryStore()), "trial", value)
            else:
                with h5py.File(uuid.uuid4().hex, "w", driver="core", backing_store=False) as file:
                    self._write(file, "trial", value)
        except Exception as error:  # whatever the libraries raise, the entry cannot be written
            return _kinds_in_words(value) or f"cannot be written: {_first_line(error)}"
        return None


def _entries(adata: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Place and value of every entry that could be refused."""
    for name in _TABLES:
        yield from _columns(getattr(adata, name), (name,))
    if adata.raw is not None:
        yield from _columns(adata.raw.var, ("raw", "var"))
    for name in _MAPPINGS:
        yield from _items(_mapping(adata, name), (name,))


def _mapping(adata: Any, name: str) -> dict[Any, Any]:
    mapping = getattr(adata, name)
    return {layer: mapping[layer] for layer in layer_names(adata)} if name == "layers" else dict(mapping)


def _columns(table: pd.DataFrame, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    index = table.index.name
    if index in table.columns and not np.array_equal(table.index, table[index].to_numpy()):
        yield (*place, index), _NotAColumn("is called like the index, which has other values")
    for position, column in enumerate(table.columns):
        values = _storable_column(table.iloc[:, position])
        if column == "_index":
            yield (*place, column), _NotAColumn("has a name that files keep for themselves; rename it")
        else:
            yield (*place, column), values.array if not isinstance(column, str) else _for_trial(values)


def _items(mapping: Mapping[Any, Any], place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for name, value in mapping.items():
        here = (*place, name)
        if isinstance(value, Mapping) and isinstance(name, str):
            yield from _items(value, here)
        elif isinstance(value, pd.DataFrame) and isinstance(name, str):
            yield from _columns(value, here)
        else:
            yield here, value if isinstance(name, str) else _NotAColumn("has a name that is no text")


@dataclass(frozen=True)
class _NotAColumn:
    """Something that no file can hold, and why."""

    reason: str


def _is_plain(value: Any) -> bool:
    """Return whether a value is numbers, which can always be written, and may be large."""
    dtype = getattr(value, "dtype", None)
    return isinstance(dtype, np.dtype) and dtype.kind in "biuf" and not isinstance(value, _NotAColumn)


def _for_trial(values: pd.Series) -> Any:
    """Return what stands for a column: of categories these alone."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return pd.Categorical.from_codes(np.zeros(0, dtype=np.int8), categories=values.cat.categories)
    return values.to_numpy() if isinstance(values.dtype, np.dtype) else values.array


def _kinds_in_words(value: Any) -> str | None:
    """Return what kinds of values stand side by side."""
    if isinstance(value, _NotAColumn):
        return value.reason
    if isinstance(value, pd.Categorical):
        value = value.categories
    dtype = getattr(value, "dtype", None)
    if getattr(dtype, "kind", "") in ("m", "M"):
        return f"holds {dtype} values, which files cannot hold; make it text: .astype(str)"
    if dtype is None or getattr(dtype, "kind", "") != "O" or getattr(value, "ndim", 1) != 1:
        return None
    values = list(value)
    kinds = sorted({type(each).__name__ for each in values if not _is_missing(each)})
    missing = any(map(_is_missing, values))
    if len(kinds) + missing < 2:
        return f"holds {kinds[0]} values, which files cannot hold" if kinds else "holds missing values alone"
    advice = "; make it boolean: .astype('boolean')" if kinds == ["bool"] else "; make it text: .astype(str)"
    return f"mixes {' and '.join([*kinds, *(['missing values'] if missing else [])])}{advice}"


def _is_missing(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _storable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose text columns with missing values are categories."""
    plain = pd.DataFrame(table)
    changed = {}
    for position, name in enumerate(plain.columns if plain.columns.is_unique else ()):
        column: Any = plain.iloc[:, position]
        if (storable := _storable_column(column)) is not column:
            changed[name] = storable
    return plain.assign(**changed) if changed else plain


def _storable_column(values: pd.Series) -> pd.Series:
    is_text = isinstance(values.dtype, pd.StringDtype) or (
        values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) == "string"
    )
    return values.astype(object).astype("category") if is_text and values.isna().any() else values


def _kept_columns(table: pd.DataFrame, place: tuple[str, ...], gone: set[tuple[Any, ...]]) -> pd.DataFrame:
    kept = [name for name in table.columns if (*place, name) not in gone]
    return table if len(kept) == len(table.columns) else table.loc[:, kept]


def _kept_items(mapping: Mapping[str, Any], place: tuple[str, ...], gone: set[tuple[Any, ...]]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in mapping.items():
        here = (*place, name)
        if here in gone:
            continue
        if isinstance(value, Mapping):
            value = _kept_items(value, here, gone)
        elif isinstance(value, pd.DataFrame):
            value = _storable(_kept_columns(value, here, gone))
        kept[name] = value
    return kept


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
