"""Cells with a known type: the truth as codes, and the candidate labels with their texts."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.labels.columns import read_label_column
from langcell.processing.labels.notes import CELL_ONTOLOGY
from langcell.processing.labels.resolve import Label, read_labels, resolve_labels
from langcell.processing.labels.several import SEVERAL, parts_of
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.labels.together import resolve_entries
from langcell.processing.ontology.terms import Ontology, normalize_name
from langcell.processing.ontology.unknown_values import names_no_type, says_nothing
from langcell.training.labelled.label_facts import ids_beside, label_facts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LabelledCells:
    """The truth of a data set.

    Attributes:
        labels: the candidates, sorted by name; `name` is the value in the label column.
        truth: int64, shape (cells,); index into `labels`, -1 for a cell without a label.
        unread_ids_column: a column of obs with the ontology id of each type that nobody named, and so was not read.
        searched: where the names without id and text were looked up, as people call it.
        n_candidates: how many of the labels, from the first on, cells can be called; None where all.
    """

    labels: list[Label]
    truth: np.ndarray
    unread_ids_column: str | None = None
    searched: str = CELL_ONTOLOGY
    n_candidates: int | None = None

    @property
    def candidates(self) -> list[Label]:
        """What cells can be called."""
        return self.labels[: self.n_candidates]

    @property
    def names(self) -> list[str]:
        """Names of the labels, in order."""
        return [label.name for label in self.labels]

    @property
    def has_label(self) -> np.ndarray:
        """bool, shape (cells,)."""
        return self.truth >= 0

    def names_of(self, cells: np.ndarray) -> list[str]:
        """Return the type of each of these labelled cells."""
        return [self.names[code] for code in self.truth[cells]]

    @property
    def support(self) -> np.ndarray:
        """Cells of each label, int64, shape (labels,)."""
        return np.bincount(self.truth[self.has_label], minlength=len(self.labels))

    def facts(self) -> list[dict[str, Any]]:
        """Return what a report says of the labels; see `label_facts`."""
        return label_facts(self.labels, self.support.tolist())


def read_labelled_cells(
    data: str | Path | AnnData,
    *,
    label_column: str,
    label_ids_column: str | None = None,
    labels_file: str | Path | None = None,
    resolve: Callable[[Sequence[str]], list[Label]] = resolve_labels,
    searched: str = CELL_ONTOLOGY,
    **source_options: Any,
) -> LabelledCells:
    """Read the label column and find a text for each label.

    The candidates are the distinct values of the column or, with a file, the labels in the file. Their text comes from
    the file, else from the ontology id, else from the Cell Ontology term of that name, else it is the name.

    Args:
        data: h5ad file, zarr folder, or AnnData.
        label_column: column of obs with the types. A missing value, or a word such as "unknown", "N/A" or "native
            cell", is no type, and blanks, case and underscores tell no types apart (`read_label_column`).
        label_ids_column: column of obs with the ontology id of each cell's type. Ids that say nothing do not count, an
            obsolete id is its successor, and a type without an id, or with several, is looked up by its name.
        labels_file: see `labels.read_labels`; has to name every type in the column, may name more.
        resolve: finds the texts of names without id and file; by default in the Cell Ontology.
        searched: how people call where `resolve` looks. (A file's names are looked up in the Cell Ontology.)
        source_options: x_is, gene_column and layer of `open_cells`.

    Raises:
        ValueError: no such column, no cell with a label, a type with several ids or that the file lacks, or labels that
            cannot be told apart.
    """
    where = "the AnnData" if isinstance(data, AnnData) else str(data)
    with open_cells(data, **source_options) as source:
        values = _text_column(source.obs, label_column, where)
        unread = ids_beside(source.obs, label_column) if label_ids_column is None and labels_file is None else None
        ids = None if label_ids_column is None else _text_column(source.obs, label_ids_column, where)
    column = read_label_column(values)
    values = column.values
    types = sorted(set(values) - {""})
    for note in column.notes():
        logger.warning("%s: obs[%r]: %s.", where, label_column, note)
    if not types:
        raise ValueError(f"{where}: no cell has a label in obs[{label_column!r}]; name the column with the types.")
    id_of = {} if ids is None else _ids_by_type(values, ids, types, str(label_ids_column))
    if labels_file is None:
        labels = _labels_by_id(types, id_of, resolve) if id_of else resolve(types)
        # An id in the column is looked up, but stays the name that the cells have.
        labels = [replace(label, name=name) for name, label in zip(types, labels, strict=True)]
    else:
        labels, searched = _labels_from_file(labels_file, types, id_of), CELL_ONTOLOGY
    code = {normalize_name(label.name): i for i, label in enumerate(labels)}
    truth = np.array([code.get(normalize_name(value), -1) for value in values], dtype=np.int64)
    return LabelledCells(labels, truth, unread, searched)


def _text_column(obs: pd.DataFrame, column: str, where: str) -> list[str]:
    """Return the column as text, "" for a cell without a value."""
    if column not in obs.columns:
        raise ValueError(f"{where}: unknown column {column!r}; obs has {[str(name) for name in obs.columns]}")
    return ["" if says_nothing(value) else str(value) for value in obs[column]]


def _ids_by_type(values: list[str], ids: list[str], types: Sequence[str], column: str) -> dict[str, str]:
    """Return the id of each type that has just one; several ids of a type count for none, which is said."""
    found: dict[str, set[str]] = {name: set() for name in types}
    today = {term_id: _current_ids(term_id) for term_id in sorted(set(ids))}
    for value, term_id in zip(values, ids, strict=True):
        if value:
            found[value] |= {today[term_id]} - {""}
    for old, new in today.items():
        if new and new != old and SEVERAL not in old:
            logger.warning("obs[%r]: the id %s is obsolete; its successor %s is taken.", column, old, new)
    for name, term_ids in found.items():
        if len(term_ids) != 1:
            listed = f"the ids {', '.join(sorted(term_ids))}" if term_ids else "no id"
            logger.warning("obs[%r] gives the type %r %s: it is looked up by its name.", column, name, listed)
    return {name: term_ids.pop() for name, term_ids in found.items() if len(term_ids) == 1}


def _current_ids(value: str) -> str:
    """Return the ids in a field as they are today, without those that say nothing; "" where there is none."""
    ontology = Ontology.cellxgene()
    known = [ontology.current(term_id).id if term_id in ontology else term_id for term_id in parts_of(value)]
    return SEVERAL.join(term_id for term_id in dict.fromkeys(known) if not names_no_type(term_id))


def _labels_by_id(
    types: Sequence[str], id_of: dict[str, str], resolve: Callable[[Sequence[str]], list[Label]]
) -> list[Label]:
    types_of: dict[str, list[str]] = {}
    for name in id_of:
        types_of.setdefault(id_of[name], []).append(name)
    if shared := {term_id: names for term_id, names in types_of.items() if len(names) > 1}:
        listed = "; ".join(f"{_all_of(names)} the id {term_id}" for term_id, names in shared.items())
        raise ValueError(
            f"Types with the same id, and so the same text: {listed}. Merge them, or tell them apart by texts of your "
            "own (--labels-file)."
        )
    by_name = dict(zip(types, resolve(types), strict=True)) if len(id_of) < len(types) else {}
    entries = [LabelEntry(name, None, id_of[name]) if name in id_of else by_name[name] for name in types]
    return resolve_entries(entries, Ontology.cellxgene())


def _all_of(names: Sequence[str]) -> str:
    """Two names or more with how many have something in common.

    >>> _all_of(["x", "y", "z"])
    "'x', 'y' and 'z' have"
    """
    return f"{', '.join(map(repr, names[:-1]))} and {names[-1]!r} have"


def _labels_from_file(path: str | Path, types: Sequence[str], id_of: dict[str, str]) -> list[Label]:
    labels = sorted(read_labels(path), key=lambda label: label.name)
    named = {normalize_name(label.name) for label in labels}
    if missing := sorted(name for name in types if normalize_name(name) not in named):
        raise ValueError(
            f"{path} lacks {len(missing)} of the {len(types)} types in the data: {', '.join(map(repr, missing))}; "
            "add a line for each, written as in the label column."
        )
    return [replace(label, ontology_term_id=id_of.get(label.name, label.ontology_term_id)) for label in labels]
