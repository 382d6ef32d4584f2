"""Groups of cells by a column of obs, and the type that each of them is called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from langcell.inference.refinement.placing import read_column
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.labels.lookup import look_up
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.terms import Ontology, normalize_name

# What `annotate` calls cells without a label.
NO_LABELS = ("unknown", "unassigned")


@dataclass(frozen=True, eq=False)
class CellGroups:
    """Cells in groups.

    Attributes:
        column: column of obs that says the groups.
        codes: int32, shape (cells,); place of each cell's group in names, -1 for one of none.
        names: names of the groups, sorted.
    """

    column: str
    codes: np.ndarray
    names: list[str]

    @classmethod
    def read(cls, source: CellSource, column: str, *, what: str) -> "CellGroups":
        """Read the groups of all cells; missing values are of none.

        Raises:
            ValueError: no such column, one without a value, or one with a group per cell.
        """
        values = read_column(source, column, what)
        missing = np.asarray(values.isna())
        texts = np.array(
            ["" if gone else str(value) for value, gone in zip(values, missing, strict=True)], dtype=object
        )
        names = sorted({text for text in texts if text and text not in NO_LABELS})
        if not names:
            raise ValueError(f"obs[{column!r}] has a value for no cell; name the {what} with values.")
        if len(names) > max(source.n_cells // 2, 1):
            raise ValueError(
                f"obs[{column!r}] has {len(names)} values for {source.n_cells} cells; name a {what} with groups of "
                "cells."
            )
        place = {name: code for code, name in enumerate(names)}
        return cls(column, np.array([place.get(text, -1) for text in texts], dtype=np.int32), names)

    def place_of(self, name: str, ontology: Ontology) -> int:
        """Return the place of a group by its name, or by another name of the same type.

        Raises:
            ValueError: there is no such group.
        """
        if name in NO_LABELS:
            raise ValueError(
                f"Cells called {name!r} have no label that genes could speak for; explain their cluster instead "
                "(--cluster, --cluster-column)."
            )
        found = [i for i, one in enumerate(self.names) if normalize_name(one) == normalize_name(name)]
        if not found and (term := term_id_of(name, ontology)):
            found = [i for i, one in enumerate(self.names) if term_id_of(one, ontology) == term]
        if len(found) == 1:
            return found[0]
        listed = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
        raise ValueError(f"obs[{self.column!r}] has no group {name!r}; it has {listed}.")

    def called(self, labels: "CellGroups") -> list[str]:
        """Return what most cells of each group are called, by the labels of the same cells; "" for a group without
        labels."""
        found = []
        for place in range(len(self.names)):
            of = labels.codes[(self.codes == place) & (labels.codes >= 0)]
            found.append(labels.names[int(np.bincount(of).argmax())] if len(of) else "")
        return found


def term_id_of(name: str, ontology: Ontology) -> str:
    """Return the ontology id that a label means; "" where it means none, or several."""
    try:
        return look_up(LabelEntry(name), ontology).ontology_term_id or ""
    except ValueError:
        return ""


def stored_term_ids(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids of the labels that a file was named with, by uns["langcell"]."""
    names: Sequence[Any] = list(settings.get("labels", ()))
    ids: Sequence[Any] = list(settings.get("label_ontology_term_ids", ()))
    return {str(name): str(term_id) for name, term_id in zip(names, ids, strict=False) if str(term_id)}
