"""Results of chunks of cells until they are joined: in memory, or on the disk where a killed run finds them again."""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from langcell.processing.files.atomic_output import atomic_output, remove_leftovers
from langcell.processing.files.file_locks import locked_file

logger = logging.getLogger("langcell")

# Column name -> values, shape (cells,) or (cells, width).
Columns = Mapping[str, np.ndarray]

_RUN_FILE = "run.json"
_LOCK_FILE = "lock"


class ResultParts(Protocol):
    """Where the results of chunks go, and where they come from in the order of the cells."""

    def starts(self) -> set[int]:
        """Return the first rows of the chunks that are there."""
        ...

    def add(self, start: int, columns: Columns) -> None:
        """Keep the results of the chunk that begins at row `start`."""
        ...

    def read(self, *names: str) -> Iterator[tuple[np.ndarray, ...]]:
        """Return the named columns, chunk by chunk in the order of the cells."""
        ...


class MemoryParts:
    """Results of an AnnData in memory, which gets them in the end."""

    def __init__(self) -> None:
        self._chunks: dict[int, Columns] = {}

    def starts(self) -> set[int]:
        """See `ResultParts.starts`."""
        return set(self._chunks)

    def add(self, start: int, columns: Columns) -> None:
        """See `ResultParts.add`."""
        self._chunks[start] = columns

    def read(self, *names: str) -> Iterator[tuple[np.ndarray, ...]]:
        """See `ResultParts.read`."""
        for start in sorted(self._chunks):
            yield tuple(self._chunks[start][name] for name in names)


class PartsFolder:
    """Results as one parquet file a chunk, in a folder of their own.

    Any number of processes may add to it. Each file appears whole or not at all, so that whatever is there is right.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def starts(self) -> set[int]:
        """See `ResultParts.starts`."""
        return {int(path.stem.removeprefix("cells-")) for path in self._files()}

    def add(self, start: int, columns: Columns) -> None:
        """See `ResultParts.add`."""
        table = pa.table({name: _to_arrow(values) for name, values in columns.items()})
        with atomic_output(self.path / f"cells-{start:012d}.parquet") as temporary:
            # Scores that were not evaluated are long runs of NaN.
            pq.write_table(table, temporary, compression="zstd", use_dictionary=False, write_statistics=False)

    def read(self, *names: str) -> Iterator[tuple[np.ndarray, ...]]:
        """See `ResultParts.read`."""
        for path in self._files():
            table = pq.read_table(path, columns=list(names), memory_map=False)
            yield tuple(_to_numpy(table.column(name)) for name in names)

    def _files(self) -> list[Path]:
        return sorted(self.path.glob("cells-*.parquet"))


class ResumableRun:
    """The parts folder of an output while its run lasts: `OUT.h5ad.parts/`; of several processes, rank 0 has it.

    A folder that a killed run with the same arguments left is gone on with; of a run with others it is emptied.

    Args:
        output: what the parts will become.
        arguments: everything that the results depend on, as JSON can hold it.
        found: what this run has found out, for a later one to go by: that of an earlier run wins.

    Raises:
        ValueError: another run is writing the same output, or something else has the folder's name.
    """

    def __init__(self, output: Path, arguments: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        self.output = output
        self.path = parts_path(output)
        _refuse_foreign(self.path)
        self.path.mkdir(exist_ok=True)
        self._lock = locked_file(self.path / _LOCK_FILE, output)
        self.parts = PartsFolder(self.path)
        self.found: Mapping[str, Any] = self._take_over(arguments) or found
        remove_leftovers(output)  # the rest of a run that was killed while it joined the parts
        content = json.dumps({"arguments": arguments, "found": self.found}, indent=1)
        with atomic_output(self.path / _RUN_FILE) as temporary:
            temporary.write_text(content)

    def _take_over(self, arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return what the earlier run found, if this one goes on with its parts; else empties the folder."""
        if (self.path / _RUN_FILE).is_file():
            earlier = json.loads((self.path / _RUN_FILE).read_text())
            changed = _differences(earlier["arguments"], json.loads(json.dumps(arguments)))
            if not changed:
                return earlier["found"]
            logger.info("%s is of a run with other arguments (%s); starting again.", self.path, ", ".join(changed))
        for path in self.path.iterdir():
            if path.name != _LOCK_FILE:
                path.unlink()
        return None

    def remove(self) -> None:
        """Remove the folder: the output is there, or nothing in it is of use."""
        shutil.rmtree(self.path)
        self.close()

    def close(self) -> None:
        """Let another run have the folder; a folder without any part is removed."""
        if self.parts.starts():
            logger.info("What is done is kept in %s: the same arguments go on with it.", self.path)
        elif self.path.is_dir():
            shutil.rmtree(self.path)
        self._lock.close()


def parts_path(output: Path) -> Path:
    """Return the parts folder of an output, beside it."""
    target = Path(os.path.realpath(output))
    return target.with_name(f"{target.name}.parts")


def file_fingerprint(path: Path) -> dict[str, Any]:
    """Return what tells whether a file or folder is still the one that it was: bytes and time of the last change."""
    files = [path] if path.is_file() else [below for below in path.rglob("*") if below.is_file()]
    stats = [file.stat() for file in files]
    return {
        "path": str(path.resolve()),
        "bytes": sum(stat.st_size for stat in stats),
        "modified": max((stat.st_mtime_ns for stat in stats), default=0),
    }


def _refuse_foreign(path: Path) -> None:
    ours = path.is_dir() and all(
        below.name in (_RUN_FILE, _LOCK_FILE) or below.name.lstrip(".").startswith(("cells-", _RUN_FILE))
        for below in path.iterdir()
    )
    if path.exists() and not ours:
        raise ValueError(f"{path} is needed for the parts of the result, but something else is there; remove it first.")


def _differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in earlier.keys() | now.keys() if earlier.get(name) != now.get(name))


def _to_arrow(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def _to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    array = column.combine_chunks()
    if not pa.types.is_fixed_size_list(column.type):
        return array.to_numpy(zero_copy_only=False)
    return array.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
