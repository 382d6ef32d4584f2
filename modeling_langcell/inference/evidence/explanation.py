"""What `explain` returns for groups of cells: as a table, as JSON, as text and as a dot plot."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from langcell.inference.evidence.comparison import Comparison
from langcell.inference.evidence.label_evidence import STRONG_CONFLICT, GeneEvidence, LabelEvidence
from langcell.inference.evidence.moments import GroupMoments

COLUMNS = (
    "group", "label", "kind", "place", "gene", "strength", "effect", "log2_fold", "share_in", "share_out", "rank",
    "rank_elsewhere", "speaks_for", "profiles", "listed_for",
)  # fmt: skip
_GENES_IN_A_LINE = 6


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """The evidence of labels or clusters in a file.

    Attributes:
        column: column of obs that the groups are of.
        groups: the evidence of each group that was asked for.
        comparison: the genes between a label and another, where that was asked for.
        moments: of all groups of the file, for the plot.
        names: of all groups of the file, in the order of the moments.
        symbols: what genes are called, shape (genes,).
    """

    column: str
    groups: tuple[LabelEvidence, ...]
    comparison: Comparison | None
    moments: GroupMoments
    names: Sequence[str]
    symbols: Sequence[str]

    def __repr__(self) -> str:
        """Return a line per group, as a notebook shows it: what it is called, and its first supporting genes."""
        lines = [f"Explanation of obs[{self.column!r}]; .frame() has all genes, .plot(path) draws them"]
        for group in self.groups:
            called = f" ({group.label})" if group.label and group.label != group.group else ""
            genes = ", ".join(gene.gene for gene in group.supporting[:_GENES_IN_A_LINE]) or "no gene"
            lines.append(f"  {group.group}{called}, {group.cells:,} cells: {genes}")
        return "\n".join(lines)

    def frame(self) -> pd.DataFrame:
        """One row per gene and group; the columns of a comparison where one was asked for."""
        if self.comparison is not None:
            table = pd.DataFrame([vars(gene) for gene in self.comparison.genes])
            table.insert(0, "against", self.comparison.against)
            table.insert(0, "group", self.comparison.group)
            return table
        rows = [_row(group, kind, place, gene) for group in self.groups for kind, place, gene in _genes(group)]
        return pd.DataFrame(rows, columns=pd.Index(COLUMNS))

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        found: dict[str, Any] = {
            "column": self.column,
            "strong_conflict": STRONG_CONFLICT,
            "groups": [group.record() for group in self.groups],
        }
        if self.comparison is not None:
            found["comparison"] = self.comparison.record()
        return found

    def plot(self, path: str | Path, *, genes_per_label: int = 4) -> None:
        """Draw the first supporting genes of each group in all groups of the file, as scanpy draws dot plots.

        Args:
            path: .png, .pdf or .svg file to write.
            genes_per_label: genes of each group; one that several groups have stands with the group of its greatest
                strength.

        Raises:
            ValueError: there is no gene to draw, or another suffix.
        """
        from langcell.inference.evidence.dot_plot import draw_dots

        draw_dots(path, *self.dots(genes_per_label=genes_per_label))

    def dots(self, *, genes_per_label: int = 4) -> tuple[dict[str, list[str]], pd.DataFrame, pd.DataFrame]:
        """Return what a dot plot shows: the first supporting genes by group, and the tables of `means_and_shares`.

        Args:
            genes_per_label: genes of each group; one that several groups have stands with the group of its greatest
                strength.
        """
        best: dict[str, tuple[float, str]] = {}
        for group in self.groups:
            for gene in group.supporting:
                best[gene.gene] = max(best.get(gene.gene, (0.0, "")), (gene.strength, group.group))
        chosen = {
            group.group: [gene.gene for gene in group.supporting if best[gene.gene][1] == group.group][:genes_per_label]
            for group in self.groups
        }
        kept = {name: genes for name, genes in chosen.items() if genes}
        return kept, *self.means_and_shares([gene for genes in kept.values() for gene in genes])

    def means_and_shares(self, genes: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Mean log-normalised value, and share of expressing cells, of some genes; rows are all groups of the file."""
        column = {str(symbol): place for place, symbol in reversed(list(enumerate(self.symbols)))}
        places = np.array([column[gene] for gene in genes])
        used = np.flatnonzero(self.moments.cells[: len(self.names)] > 0)
        n = self.moments.cells[used, None]
        index = pd.Index([self.names[i] for i in used.tolist()], name=self.column)
        mean = pd.DataFrame(self.moments.total[np.ix_(used, places)] / n, index=index, columns=pd.Index(genes))
        share = pd.DataFrame(self.moments.expressing[np.ix_(used, places)] / n, index=index, columns=pd.Index(genes))
        return mean, share


def _genes(group: LabelEvidence) -> Iterator[tuple[str, int, GeneEvidence]]:
    for kind, genes in (("supporting", group.supporting), ("conflicting", group.conflicting)):
        for place, gene in enumerate(genes, 1):
            yield kind, place, gene


def _row(group: LabelEvidence, kind: str, place: int, gene: GeneEvidence) -> dict[str, Any]:
    facts = {**vars(gene), "profiles": "; ".join(gene.profiles), "listed_for": "; ".join(gene.listed_for)}
    return {"group": group.group, "label": group.label, "kind": kind, "place": place, **facts}
