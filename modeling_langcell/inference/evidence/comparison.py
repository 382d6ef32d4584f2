"""What would make cells of one label cells of another: genes that are missing, in the way, or there already."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from langcell.inference.evidence.moments import FileContrast
from langcell.inference.evidence.profiles import TypeRanks

# A gene tells two types apart from this difference of their mean ranks on.
_LEAST_DIFFERENCE = 0.15
_KINDS = ("missing", "in the way", "there already")


@dataclass(frozen=True)
class ComparedGene:
    """One gene that tells two types apart.

    Attributes:
        gene: its symbol.
        kind: "missing" (of the other type, low here), "in the way" (of the own type, high here) or "there already" (of
            the other type, and high here).
        strength: what genes are ordered by.
        rank, rank_other: mean rank in the profiles of the own type, and of the other.
        share_in, share_other: share of the cells with a count of it here, and in the cells of the other label; None
            where the file has no such cell.
        effect: Cohen's d of the cells here against those of the other label, or against the rest of the file.
    """

    gene: str
    kind: str
    strength: float
    rank: float
    rank_other: float
    share_in: float
    share_other: float | None
    effect: float


@dataclass(frozen=True)
class Comparison:
    """The genes between two labels.

    Attributes:
        group: label or cluster that the cells are of.
        against: the other label.
        cells, cells_against: numbers of cells.
        genes: genes of the three kinds in their order, each strongest first.
        notes: what a reader should know, a line each.
    """

    group: str
    against: str
    cells: int
    cells_against: int
    genes: tuple[ComparedGene, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def of_kind(self, kind: str) -> list[ComparedGene]:
        """Return the genes of one kind, strongest first."""
        return [gene for gene in self.genes if gene.kind == kind]

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        genes = [vars(gene) for gene in self.genes]
        return {**vars(self), "genes": genes, "notes": list(self.notes)}


def compare(
    here: FileContrast,
    own: TypeRanks,
    other: TypeRanks,
    symbols: Sequence[str],
    *,
    against_cells: bool,
    top: int,
) -> tuple[ComparedGene, ...]:
    """Find the genes between two types.

    Args:
        here: the cells against those of the other label, or against the rest of the file.
        own: profiles of the type that the cells are called.
        other: profiles of the other type.
        symbols: what genes are called, shape (genes,).
        against_cells: whether `here` compares with cells of the other label.
        top: largest number of genes per kind.
    """
    towards = np.where(np.abs(other.mean - own.mean) >= _LEAST_DIFFERENCE, other.mean - own.mean, 0.0)
    lower, higher = np.maximum(-here.effect, 0), np.maximum(here.effect, 0)
    # Without cells of the other label, what a type without a gene would be is not seen: its absence is what counts.
    absent = lower if against_cells else (1 - here.share_in)
    strengths = (
        absent * np.maximum(towards, 0),
        higher * np.maximum(-towards, 0),
        higher * np.maximum(towards, 0),
    )
    found = []
    for kind, product in zip(_KINDS, strengths, strict=True):
        strength = np.sqrt(product).round(5)
        order = np.argsort(-strength, kind="stable")[:top]
        found += [
            ComparedGene(
                gene=str(symbols[gene]),
                kind=kind,
                strength=round(float(strength[gene]), 4),
                rank=round(float(own.mean[gene]), 4),
                rank_other=round(float(other.mean[gene]), 4),
                share_in=round(float(here.share_in[gene]), 4),
                share_other=round(float(here.share_out[gene]), 4) if against_cells else None,
                effect=round(float(here.effect[gene]), 4),
            )
            for gene in order
            if strength[gene] > 0
        ]
    return tuple(found)
