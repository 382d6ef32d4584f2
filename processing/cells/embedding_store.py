"""Cell embeddings in a file, read by rows: what `langcell embed` and `annotate` wrote, or a plain .npy file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from langcell.processing.cells.anndata_io import Source, open_elements
from langcell.processing.cells.cell_tables import CellTable, FrameTable, StoredTable
from langcell.processing.containers.addresses import local_path
from langcell.processing.files.atomic_output import atomic_output

EMBEDDINGS = "X_langcell"
SETTINGS = "langcell"
OF_EMBEDDINGS = "embedding"  # in the settings of cells that were named before they were embedded

_ROWS_PER_READ = 65_536
_DENSE = 16  # of rows this near to one another, those between are read as well
_CHECKED_ROWS = 256
_LENGTH_TOLERANCE = 0.02  # half precision keeps unit length within this


class EmbeddingStore:
    """Unit vectors of cells, their names, and what made them.

    Args:
        name: what messages call the store.
        vectors: (cells, dim) of float16, float32 or float64; anything with `shape` that gives an array for a slice of
            rows: an HDF5 or zarr array, a memory map, or an array.
        settings: uns["langcell"]: model_id, model_revision, vocabulary_fingerprint, ...; what it says of the embeddings
            alone ("embedding") stands before what it says of names.
        table: the table of cells, for their names; where there is none, a cell's name is its row.

    Raises:
        ValueError: no matrix of numbers, no cells, no settings, or rows that are no unit vectors.
    """

    def __init__(self, name: str, vectors: Any, settings: Mapping[str, Any], table: CellTable | None = None) -> None:
        self.name, self.vectors, self.table = name, vectors, table
        own = settings.get(OF_EMBEDDINGS, {})
        self.settings = {key: _plain(value) for key, value in {**settings, **own}.items() if key != OF_EMBEDDINGS}
        if len(vectors.shape) != 2 or np.dtype(vectors.dtype).kind != "f" or not vectors.shape[0]:
            raise ValueError(f"{name}: its embeddings are {vectors.dtype} {vectors.shape}, not numbers of cells x dim.")
        if "vocabulary_fingerprint" not in self.settings or "model_revision" not in self.settings:
            raise ValueError(f"{name}: it does not say which model made its embeddings; make them with langcell embed.")
        lengths = np.linalg.norm(np.asarray(vectors[:_CHECKED_ROWS], dtype=np.float64), axis=1)
        if not (np.abs(lengths - 1) < _LENGTH_TOLERANCE).all():
            raise ValueError(f"{name}: its embeddings are not of unit length; make them with langcell embed.")

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.vectors.shape[0])

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return int(self.vectors.shape[1])

    def blocks(self, rows_per_block: int = _ROWS_PER_READ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the first row and vectors of consecutive blocks, as they are stored."""
        for start in range(0, self.n_cells, rows_per_block):
            yield start, np.asarray(self.vectors[start : min(start + rows_per_block, self.n_cells)])

    def at(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the vectors of chosen rows, float32, in the order asked for."""
        wanted, place = np.unique(np.asarray(rows, dtype=np.int64), return_inverse=True)
        spans = row_spans(wanted)
        found = [np.asarray(self.vectors[start:stop])[wanted_in(wanted, start, stop) - start] for start, stop in spans]
        return np.concatenate(found).astype(np.float32)[place]

    def names_of(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """Return names of the cells in chosen rows."""
        table = self.table
        if table is None:
            return [str(int(row)) for row in rows]
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        name_of: dict[int, str] = {}
        for start, stop in row_spans(wanted):
            names = table.names(start, stop)
            name_of |= {int(row): names[row - start] for row in wanted_in(wanted, start, stop)}
        return [name_of[int(row)] for row in rows]

    def rows_of(self, names: Sequence[str]) -> list[int]:
        """Return the rows of the cells with these names.

        Raises:
            ValueError: no cell has a name, or several have.
        """
        found: dict[str, list[int]] = {name: [] for name in names}
        for start in range(0, self.n_cells, _ROWS_PER_READ):
            stop = min(start + _ROWS_PER_READ, self.n_cells)
            block = self.table.names(start, stop) if self.table else self.names_of(range(start, stop))
            for row in np.flatnonzero(np.isin(np.array(block, dtype=object), list(found))):
                found[block[row]].append(start + int(row))
        for name, rows in found.items():
            if not rows:
                raise ValueError(f"{self.name}: no cell is called {name!r}; give a name in obs_names, or a row.")
            if len(rows) > 1:
                raise ValueError(f"{self.name}: {len(rows)} cells are called {name!r} (rows {rows[:5]}); give a row.")
        return [found[name][0] for name in names]

    def check_rows(self, rows: Sequence[int]) -> list[int]:
        """Return the rows, if they are there.

        Raises:
            ValueError: one is not.
        """
        for row in rows:
            if not 0 <= row < self.n_cells:
                raise ValueError(f"{self.name}: there is no row {row}; rows are 0 to {self.n_cells - 1}.")
        return list(rows)


@contextmanager
def open_embeddings(source: Source) -> Iterator[EmbeddingStore]:
    """Yield the cell embeddings of an h5ad file, a zarr folder, a .npy file (see `save_embeddings`) or an AnnData.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no embeddings of LangCell.
    """
    if not isinstance(source, str | Path):
        yield _from_memory(source)
    elif Path(source).suffix == ".npy":
        yield _from_npy(Path(source))
    else:
        with open_elements(source) as (root, read):
            if f"obsm/{EMBEDDINGS}" not in root or f"uns/{SETTINGS}" not in root:
                raise _no_embeddings(str(source))
            table = StoredTable(root["obs"], read)
            yield EmbeddingStore(str(source), root[f"obsm/{EMBEDDINGS}"], read(root[f"uns/{SETTINGS}"]), table)


def read_settings(source: Any) -> dict[str, Any]:
    """Return uns["langcell"] of an AnnData or a file; {} where there is none, or in containers of other kinds."""
    if not isinstance(source, str | Path):
        stored = source.uns.get(SETTINGS, {})
    else:
        try:
            with open_elements(local_path(source)) as (root, read):
                stored = read(root[f"uns/{SETTINGS}"]) if f"uns/{SETTINGS}" in root else {}
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
        ):  # no AnnData; `open_cells` says what is wrong
            return {}
    return {str(name): _plain(value) for name, value in dict(stored).items()}


def with_names(source: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return uns["langcell"] of cells that get new embeddings: what it says of their names stays.

    Args:
        source: AnnData or file that is embedded.
        settings: what made the embeddings.
    """
    before = read_settings(source)
    return {**before, OF_EMBEDDINGS: dict(settings)} if "labels" in before else dict(settings)


def save_embeddings(path: str | Path, store: EmbeddingStore, *, dtype: str = "float16") -> None:
    """Copy a store into PATH.npy, which is memory-mapped, and PATH.npy.json with its settings; names are left out.

    Half the size of float32; its similarities differ by less than 0.001.

    Raises:
        ValueError: the path does not end in .npy, or an illegal dtype.
        OSError: no room.
    """
    path = Path(path)
    if path.suffix != ".npy" or dtype not in ("float16", "float32"):
        raise ValueError(f"Cannot write {path} as {dtype}; name a .npy file, and float16 or float32.")
    size = store.n_cells * store.dim * np.dtype(dtype).itemsize
    with atomic_output(path, needed_bytes=size) as temporary:
        shape = (store.n_cells, store.dim)
        copy = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.dtype(dtype), shape=shape)
        for start, block in store.blocks():
            copy[start : start + len(block)] = block
        copy.flush()
    with atomic_output(_settings_path(path)) as temporary:
        temporary.write_text(json.dumps(store.settings, indent=2) + "\n", encoding="utf-8")


def wanted_in(wanted: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return those of the sorted rows that are in a span."""
    return wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, stop)]


def row_spans(wanted: np.ndarray) -> list[tuple[int, int]]:
    """Return the spans of rows to read so that all the wanted ones are in them: near rows together, far ones apart.

    Args:
        wanted: sorted, distinct.

    >>> row_spans(np.array([3, 5, 9, 500]))
    [(3, 10), (500, 501)]
    """
    spans: list[tuple[int, int]] = []
    for row in wanted.tolist():
        if spans and row - spans[-1][1] < _DENSE and row - spans[-1][0] < _ROWS_PER_READ:
            spans[-1] = (spans[-1][0], row + 1)
        else:
            spans.append((row, row + 1))
    return spans


def _from_memory(adata: Any) -> EmbeddingStore:
    if EMBEDDINGS not in adata.obsm or SETTINGS not in adata.uns:
        raise _no_embeddings("the AnnData")
    table = FrameTable(pd.DataFrame(index=adata.obs_names))
    return EmbeddingStore("the AnnData", np.asarray(adata.obsm[EMBEDDINGS]), adata.uns[SETTINGS], table)


def _from_npy(path: Path) -> EmbeddingStore:
    try:
        settings = json.loads(_settings_path(path).read_text(encoding="utf-8"))
        vectors = np.load(path, mmap_mode="c", allow_pickle=False)  # torch refuses what it could not write to
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error.filename}: no such file; a .npy store is a pair of .npy and .npy.json"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: no store of embeddings ({error}); make it with save_embeddings.") from error
    return EmbeddingStore(str(path), vectors, settings)


def _settings_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _no_embeddings(name: str) -> ValueError:
    return ValueError(
        f"{name}: it has no embeddings (obsm {EMBEDDINGS!r}, uns {SETTINGS!r}); make them: langcell embed."
    )


def _plain(value: Any) -> Any:
    """Arrays and numpy scalars, as files give them back, as JSON can hold them."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
