"""What a report shows, read from an AnnData or a file that `annotate` has named, without loading its matrix."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from langcell.processing.cells.anndata_io import open_elements
from langcell.processing.cells.cell_tables import CellTable, FrameTable, StoredTable
from langcell.processing.cells.embedding_store import open_embeddings, read_settings
from langcell.processing.cells.obsm_matrix import read_obsm
from langcell.processing.ontology.description_templates import parse_description
from langcell.reporting.cell_map import map_cells
from langcell.reporting.drawn_cells import TOP_LABELS, DrawnCells

MOST_DRAWN = 100_000
# Usual names of the column that says which sample a cell is from, the likeliest first.
SAMPLE_COLUMNS = (
    "sample", "sample_id", "sample_name", "donor_id", "donor", "patient", "patient_id", "subject", "subject_id",
    "individual", "orig.ident", "library_id", "library", "batch", "replicate",
)  # fmt: skip
_LABEL, _TERM_ID, _CONFIDENCE = "langcell_label", "langcell_ontology_term_id", "langcell_confidence"
_ALONE, _NOVELTY = "langcell_label_alone", "langcell_novelty"
_SCORES = "langcell_scores"
_NO_NAME = "(none)"
# A map that the file brings along is what its owner knows the cells by.
OWN_MAP = "X_umap"
# More samples than this are no samples but, say, barcodes.
_MOST_SAMPLES_FOUND = 1000


@dataclass(frozen=True)
class NamedData:
    """Named cells, as far as a report shows them.

    Attributes:
        labels: labels of all cells.
        confidence: float32, shape (cells,).
        samples: samples of all cells; None where no column names them.
        sample_column: the column that does.
        settings: uns["langcell"].
        drawn: the cells of the map.
        novelty: novelty of all cells, float32, shape (cells,); None where it was not measured.
        clusters: a row for each named cluster (cluster, cells, label, share, ...); None where there are none.
        has_own_map: the map is the file's own UMAP.
    """

    labels: pd.Categorical
    confidence: np.ndarray
    samples: pd.Categorical | None
    sample_column: str | None
    settings: dict[str, Any]
    drawn: DrawnCells
    novelty: np.ndarray | None = None
    clusters: pd.DataFrame | None = None
    has_own_map: bool = False

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.confidence)

    @property
    def term_ids(self) -> dict[str, str]:
        """Ontology id of each candidate label that has one."""
        ids = self.settings.get("label_ontology_term_ids", [])
        return {name: term_id for name, term_id in zip(self.settings["labels"], ids, strict=False) if term_id}

    @property
    def without_definition(self) -> list[str]:
        """Candidate labels whose text is a name alone: the model has less to go by."""
        texts = self.settings.get("label_texts", [])
        return [name for name, text in zip(self.settings["labels"], texts, strict=False) if _is_name_alone(name, text)]


def read_named(
    source: Any, *, sample_column: str | None = None, most_drawn: int = MOST_DRAWN, seed: int = 0
) -> NamedData:
    """Read what `annotate` has written.

    Args:
        source: an AnnData, or the path of an h5ad or zarr file.
        sample_column: column of obs that names the samples; one of the usual names when None.
        most_drawn: cells of the map; of more, so many are drawn at random.
        seed: random seed of that choice and of the map.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its cells are not named, or there is no such column.
    """
    with _opened(source) as (table, score_columns), open_embeddings(source) as store:
        if missing := [name for name in (_LABEL, _CONFIDENCE) if name not in table.columns]:
            raise ValueError(f"{store.name}: its cells have no {missing[0]}; name them first: langcell annotate.")
        settings = read_settings(source)  # not those of the store, which may have been embedded by another model
        if "labels" not in settings:
            raise ValueError(
                f"{store.name}: it does not say which labels there were; name it again: langcell annotate."
            )
        column = found_sample_column(table) if sample_column is None else sample_column
        if column is not None:
            _require_column(table, column, store.name)
        cluster_column = str(settings.get("cluster_column", ""))
        more = [name for name in (_ALONE, _NOVELTY, cluster_column) if name in table.columns]
        obs = table.read(
            [*dict.fromkeys([_LABEL, _CONFIDENCE, *more, *([column] if column else [])])], 0, table.n_cells
        )
        rows = drawn_rows(table.n_cells, most_drawn, seed=seed)
        top_codes, top_scores = best_labels(score_columns, rows)
        names = np.asarray([*settings["labels"], ""], dtype=object)  # code -1 is the last one
        own_map = _own_map(source)
        drawn = DrawnCells.grouped(
            store.names_of(rows),
            map_cells(store.at(rows), seed=seed) if own_map is None else own_map[rows],
            np.asarray(_as_names(obs[_LABEL]))[rows],
            obs[_CONFIDENCE].to_numpy()[rows],
            names[top_codes],
            top_scores,
            rows=rows,
            alone=_texts(obs, _ALONE, rows),
            novelty=obs[_NOVELTY].to_numpy(dtype=np.float32)[rows] if _NOVELTY in obs else None,
            clusters=_texts(obs, cluster_column, rows),
        )
        return NamedData(
            labels=_as_labels(obs[_LABEL]),
            confidence=obs[_CONFIDENCE].to_numpy(dtype=np.float32),
            samples=None if column is None else _as_names(obs[column]),
            sample_column=column,
            settings=settings,
            drawn=drawn,
            novelty=obs[_NOVELTY].to_numpy(dtype=np.float32) if _NOVELTY in obs else None,
            clusters=pd.DataFrame(settings["clusters"]) if "clusters" in settings else None,
            has_own_map=own_map is not None,
        )


def _texts(obs: pd.DataFrame, column: str, rows: np.ndarray) -> np.ndarray | None:
    # As `langcell.annotate` calls the cluster of a cell without one.
    return np.asarray(_as_names(obs[column], "none"), dtype=object)[rows] if column in obs else None


def _own_map(source: Any) -> np.ndarray | None:
    """Return the first two columns of the file's own UMAP; None where there is none, or one with missing places."""
    try:
        places = read_obsm(source, OWN_MAP)
    except ValueError:
        return None
    return places[:, :2] if places.shape[1] >= 2 else None


def drawn_rows(n_cells: int, most_drawn: int, *, seed: int) -> np.ndarray:
    """Return the rows of the cells to draw, ascending: all, or `most_drawn` of them, chosen at random.

    >>> drawn_rows(4, 10, seed=0)
    array([0, 1, 2, 3])
    """
    if n_cells <= most_drawn:
        return np.arange(n_cells)
    return np.sort(np.random.default_rng(seed).choice(n_cells, most_drawn, replace=False))


def found_sample_column(table: CellTable) -> str | None:
    """Return the column of obs that says which sample a cell is from, by its name; None where there is none."""
    named = {column.casefold(): column for column in table.columns}
    for name in SAMPLE_COLUMNS:
        if name in named:
            n_samples = table.read([named[name]], 0, table.n_cells)[named[name]].nunique()
            if 0 < n_samples <= min(_MOST_SAMPLES_FOUND, max(1, table.n_cells // 2)):
                return named[name]
    return None


def check_sample_column(source: str | Path, column: str) -> None:
    """Refuse a column that obs does not have.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no such column.
    """
    with open_elements(source) as (root, read):
        _require_column(StoredTable(root["obs"], read), column, str(source))


def best_labels(columns: Iterable[np.ndarray], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes and scores of the best three labels of each row, best first; code -1 and NaN where there are
    fewer.

    Args:
        columns: the scores of all cells, label by label; NaN where a score was not needed.
        rows: the cells that are asked for.
    """
    codes = np.full((len(rows), TOP_LABELS), -1)
    scores = np.full((len(rows), TOP_LABELS), -np.inf, dtype=np.float32)
    for code, column in enumerate(columns):
        values = column[rows]
        better = np.flatnonzero(values > scores[:, -1])  # never true of NaN
        joined = np.column_stack([scores[better], values[better]])
        joined_codes = np.column_stack([codes[better], np.full(len(better), code)])
        order = np.argsort(-joined, axis=1, kind="stable")[:, :TOP_LABELS]
        scores[better] = np.take_along_axis(joined, order, axis=1)
        codes[better] = np.take_along_axis(joined_codes, order, axis=1)
    return codes, np.where(codes >= 0, scores, np.float32(np.nan))


def counts_by_sample(samples: pd.Categorical, labels: pd.Categorical) -> pd.DataFrame:
    """Return cells of each sample (rows) and label (columns), samples and labels that have cells alone."""
    return pd.crosstab(pd.Series(samples, name="sample"), pd.Series(labels, name="label"))


@contextmanager
def _opened(source: Any) -> Iterator[tuple[CellTable, Iterable[np.ndarray]]]:
    """The table of cells, and the scores label by label, one label at a time in memory."""
    if not isinstance(source, str | Path):
        scores = source.obsm.get(_SCORES)
        yield FrameTable(source.obs), [] if scores is None else np.asarray(scores).T
        return
    with open_elements(source) as (root, read):
        stored = root.get(f"obsm/{_SCORES}")
        yield StoredTable(root["obs"], read), () if stored is None else _stored_columns(stored, read)


def _stored_columns(stored: Any, read: Callable[[Any], Any]) -> Iterator[np.ndarray]:
    if hasattr(stored, "shape"):  # an array instead of a table
        yield from np.asarray(read(stored)).T
        return
    for name in stored.attrs["column-order"]:
        yield np.asarray(stored[name][:])


def _require_column(table: CellTable, column: str, name: str) -> None:
    if column not in table.columns:
        raise ValueError(f"{name}: obs has no column {column!r}; it has {', '.join(table.columns) or 'none'}.")


def _as_names(column: Any, missing: str = _NO_NAME) -> pd.Categorical:
    """Return a column of obs as texts, `missing` where a value is missing: pandas 3 makes no text of it."""
    values = pd.Series(column).astype(object)
    return pd.Categorical(values.where(values.notna(), missing).astype(str))


def _as_labels(column: Any) -> pd.Categorical:
    """Return the labels of cells with their categories as they are, `_NO_NAME` where a cell has none."""
    labels = pd.Categorical(column)
    return labels.add_categories([_NO_NAME]).fillna(_NO_NAME) if labels.isna().any() else labels


def _is_name_alone(name: str, text: str) -> bool:
    pieces = parse_description(text)
    if pieces:
        return not any(piece.definition for piece in pieces)
    return text.strip(" .;").casefold() == name.strip().casefold()
