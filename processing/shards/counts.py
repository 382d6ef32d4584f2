"""What is in a folder of shards: lengths of cells, and how many cells have which metadata; one streaming pass."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from langcell.processing.ontology.description_templates import ASPECTS, parse_description
from langcell.processing.ontology.descriptions import ASPECT_COLUMNS, known_values
from langcell.processing.ontology.terms import Ontology
from langcell.processing.shards.files import read_descriptions
from langcell.processing.shards.manifest import read_manifest


@dataclass(frozen=True, eq=False)
class ShardCounts:
    """Counts of the cells of a folder.

    Attributes:
        lengths: int64, shape (max_length + 1,); entry n is the number of cells with n ids, `<cls>` included.
        aspects: for each aspect of which anything is known, names and the number of cells with them, the most frequent
            first. A cell with several terms counts for each.
    """

    lengths: np.ndarray
    aspects: dict[str, dict[str, int]]

    @property
    def n_cells(self) -> int:
        """All cells."""
        return int(self.lengths.sum())

    def length_at(self, share: float) -> int:
        """Return the length that this share of the cells does not exceed; 0.5 gives the median."""
        return int(np.searchsorted(np.cumsum(self.lengths), share * self.n_cells))


def count_shards(
    folder: str | Path, *, ontology: Ontology, aspects: Sequence[str] = ASPECTS, progress: bool = True
) -> ShardCounts:
    """Count lengths and metadata of all cells.

    Metadata are the shards' ontology ids. What shards have no column for is taken from the descriptions.

    Args:
        folder: a finished folder of shards.
        ontology: where names of ids are looked up; an id that it does not know stays an id.
        aspects: which to count.
        progress: show a progress bar.

    Raises:
        ValueError: there are no finished shards.
        OSError: a shard cannot be read.
    """
    manifest = read_manifest(folder)
    lengths = np.zeros(manifest.max_length + 1, dtype=np.int64)
    values: dict[str, Counter] = {}
    with tqdm(total=manifest.total_cells, desc="counting", unit="cell", disable=not progress) as bar:
        for path in manifest.shard_paths(folder):
            with pq.ParquetFile(path) as file:
                present = [column for column in _COLUMNS if column in file.schema_arrow.names]
                for batch in file.iter_batches(columns=["length", *present]):
                    found = np.bincount(batch.column("length").to_numpy(), minlength=len(lengths))
                    lengths += found[: len(lengths)]
                    for column in present:
                        values.setdefault(column, Counter()).update(_counted(batch.column(column)))
                    bar.update(batch.num_rows)
    described = _described(folder, values.pop(_DESCRIPTION, Counter()))
    counts = {
        aspect: _names(aspect, values.get(ASPECT_COLUMNS[aspect], Counter()), ontology) or described.get(aspect, {})
        for aspect in aspects
    }
    return ShardCounts(lengths, {aspect: _by_count(names) for aspect, names in counts.items() if names})


_DESCRIPTION = "description_id"
_COLUMNS = (*ASPECT_COLUMNS.values(), _DESCRIPTION)


def _counted(column: pa.Array) -> dict:
    counted = column.value_counts()
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _names(aspect: str, values: Counter, ontology: Ontology) -> dict[str, int]:
    """Cells by the names of their terms."""
    names: Counter[str] = Counter()
    for value, cells in values.items():
        for term in dict.fromkeys(known_values(value)):
            name = ontology.current(term).name if aspect != "suspension type" and term in ontology else term
            names[name] += cells
    return names


def _described(folder: str | Path, cells_of: Counter) -> dict[str, dict[str, int]]:
    """Cells by the names in their descriptions."""
    names: dict[str, Counter[str]] = {}
    for number, description in enumerate(read_descriptions(folder)):
        for piece in parse_description(description.text):
            names.setdefault(piece.aspect, Counter())[piece.name] += cells_of[number]
    return {aspect: {name: n for name, n in found.items() if n} for aspect, found in names.items()}


def _by_count(names: dict[str, int]) -> dict[str, int]:
    return dict(sorted(names.items(), key=lambda item: (-item[1], item[0])))
