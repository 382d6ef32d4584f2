"""Whether all cells of a run have a text, found before the first step."""

from collections.abc import Collection, Sequence

import fsspec
import numpy as np
import pyarrow.parquet as pq

from langcell.training.data.shard_location import ShardLocation

_COLUMN = "description_id"


def require_descriptions(places: Sequence[ShardLocation], code_maps: Sequence[dict[int, int]]) -> None:
    """Refuse shards with cells that have no text: stage 2 pairs each cell with its own.

    A folder whose texts are all there is not opened. Of another one the description ids alone are read, and of these
    only the row groups whose smallest and largest id leave it open.

    Args:
        places: the shard folders.
        code_maps: code maps of each folder, the description ids that have a text, from `Descriptions.read`.

    Raises:
        ValueError: in one line, with each such folder and how many of its cells have no text.
    """
    found = []
    for place, codes in zip(places, code_maps, strict=True):
        without = sorted(set(range(place.manifest.descriptions.rows)) - codes.keys())
        if without and (cells := count_cells(place.files, without)):
            found.append(f"{place.name} has {cells:,} of {place.manifest.total_cells:,}")
    if found:
        raise ValueError(
            f"Stage 2 needs a description of each cell. Cells without one: {'; '.join(found)}. Use such shards in "
            "stage 1 only, or tokenize cells with CELLxGENE metadata (obs columns such as cell_type_ontology_term_id)."
        )


def count_cells(files: Sequence[str], ids: Collection[int]) -> int:
    """Return how many cells of some shard files have one of these description ids."""
    return sum(_count_in(file, np.array(sorted(ids))) for file in files)


def _count_in(path: str, ids: np.ndarray) -> int:
    count = 0
    with fsspec.open(path, "rb") as stream, pq.ParquetFile(stream) as file:
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            columns = map(group.column, range(group.num_columns))
            statistics = next(column for column in columns if column.path_in_schema == _COLUMN).statistics
            if statistics is not None and statistics.has_min_max:
                if not ((ids >= statistics.min) & (ids <= statistics.max)).any():
                    continue
                if statistics.min == statistics.max:
                    count += group.num_rows
                    continue
            values = file.read_row_group(number, columns=[_COLUMN]).column(_COLUMN).to_numpy()
            count += int(np.isin(values, ids).sum())
    return count
