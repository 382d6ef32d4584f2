"""The cells of a map: their places, and what is said of each beside the pointer."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

TOP_LABELS = 3


@dataclass(frozen=True, eq=False)
class DrawnCells:
    """Cells of a map, those of one label standing together, the most frequent label first.

    Attributes:
        names: names of the cells.
        places: float32, shape (cells, 2).
        labels: the label of each cell.
        confidence: float32, shape (cells,).
        top_labels: the best labels of each cell, best first, shape (cells, 3); "" where there is none.
        top_scores: their scores, shape (cells, 3); NaN where there is none.
        rows: rows of the cells in their file, int64, shape (cells,).
        alone: the label that each cell gets by itself, shape (cells,); None where cells were not refined.
        novelty: how little any label fits, 0 to 1, float32, shape (cells,); None where it was not measured.
        clusters: the cluster of each cell as text, shape (cells,); None where clusters were not named.
    """

    names: Sequence[str]
    places: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray
    top_labels: np.ndarray
    top_scores: np.ndarray
    rows: np.ndarray
    alone: np.ndarray | None = None
    novelty: np.ndarray | None = None
    clusters: np.ndarray | None = None

    @classmethod
    def grouped(
        cls,
        names: Sequence[str],
        places: np.ndarray,
        labels: Sequence[str] | np.ndarray,
        confidence: np.ndarray,
        top_labels: np.ndarray,
        top_scores: np.ndarray,
        *,
        rows: np.ndarray | None = None,
        **columns: np.ndarray | None,
    ) -> "DrawnCells":
        """Return the same cells, put into the order that the class asks for; rows are 0, 1, ... when None."""
        labels_array = np.asarray(labels, dtype=object)
        rank = {name: i for i, name in enumerate(by_frequency(labels_array))}
        order = np.argsort([rank[name] for name in labels_array], kind="stable")
        return cls(
            np.asarray(names, dtype=object)[order].tolist(),
            np.asarray(places, dtype=np.float32)[order],
            labels_array[order],
            np.asarray(confidence, dtype=np.float32)[order],
            top_labels[order],
            top_scores[order],
            order if rows is None else rows[order],
            **{name: None if column is None else column[order] for name, column in columns.items()},
        )

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def spans(self) -> dict[str, slice]:
        """Where the cells of each label stand."""
        begins = np.flatnonzero(np.r_[True, self.labels[1:] != self.labels[:-1]]) if len(self) else np.zeros(0, int)
        ends = np.r_[begins[1:], len(self)]
        return {str(self.labels[a]): slice(int(a), int(b)) for a, b in zip(begins, ends, strict=True)}

    def hover_texts(self) -> list[str]:
        """Return label, name and best labels of each cell, as plotly shows them; names may hold anything, so it is
        escaped."""
        return ["<br>".join(self._hover_lines(place)) for place in range(len(self))]

    def _hover_lines(self, place: int) -> list[str]:
        label = str(self.labels[place])
        facts = [f"confidence {self.confidence[place]:.2f}"]
        if self.novelty is not None:
            facts.append(f"novelty {self.novelty[place]:.2f}")
        if self.clusters is not None:
            facts.append(f"cluster {html.escape(str(self.clusters[place]))}")
        lines = [f"<b>{html.escape(label)}</b>", " · ".join(facts), html.escape(self.names[place])]
        if self.alone is not None and self.alone[place] != label:
            lines.append(f"by itself: {html.escape(str(self.alone[place]))}")
        best = zip(self.top_labels[place].tolist(), self.top_scores[place].tolist(), strict=True)
        return [*lines, *(f"{html.escape(name)}  <b>{score:.3f}</b>" for name, score in best if name)]


def by_frequency(labels: Sequence[str] | np.ndarray) -> list[str]:
    """Return the different labels, the most frequent first; of equally frequent ones the first in the alphabet."""
    names, counts = np.unique(np.asarray(labels, dtype=str), return_counts=True)
    return [str(names[i]) for i in np.lexsort((names, -counts))]
