"""Genes that support a label, and genes that conflict with it.

For a group of cells with the label T, let d be the effect of a gene in the file (Cohen's d against all other cells),
and m[c] its mean rank in the reference profiles of a type c (1 for the first gene, 0 for none of the first 1,500).

- A gene supports T where it is high here and in the profiles of T: sqrt(d * p), p = m[T] - (mean + max of m[c]) / 2,
  mean and maximum over the other types c.
- A gene conflicts with T where it is high here, low in nearly all profiles of T, and high in another type c, which it
  then speaks for: sqrt(min(d, 2) * q), q = min(m[c] - h[T], m[c] - mean of the others), h[T] the rank that nine of ten
  profiles of T stay below.

On PBMC 3k with its true labels no conflict is stronger than 0.73; `STRONG_CONFLICT` lies above.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from langcell.inference.evidence.moments import FileContrast, GroupMoments
from langcell.inference.evidence.profiles import Profiles, TypeRanks

STRONG_CONFLICT = 0.8
# Least share of the cells of a group that a gene has to be seen in.
LEAST_SHARE, LEAST_CONFLICT_SHARE = 0.05, 0.15
_MOST_CONFLICT_EFFECT = 2.0
# What a marker list says of its genes, where profiles say less.
_LISTED = 0.5
_PROFILES_NAMED = 3


@dataclass(frozen=True)
class GeneEvidence:
    """One gene that speaks for or against a label.

    Attributes:
        gene: its symbol, or its name in the file where the model does not know it.
        strength: what genes are ordered by.
        effect: Cohen's d against the other cells of the file; None where there are none.
        log2_fold: log2 fold change against them; None likewise.
        share_in, share_out: share of the cells in the group, and of the others, with a count of the gene.
        rank: mean rank in the profiles of the type, 1 first, 0 not among the first genes; None without profiles.
        rank_elsewhere: for a supporting gene the highest mean rank in another type; for a conflicting one that in the
            type that it speaks for.
        speaks_for: label of another candidate whose profiles have the gene; "" for a supporting gene.
        profiles: names of the profiles in which it ranks highest, of the type that it speaks for.
        listed_for: labels whose marker list (`--markers`) has it.
    """

    gene: str
    strength: float
    effect: float | None
    log2_fold: float | None
    share_in: float
    share_out: float | None
    rank: float | None = None
    rank_elsewhere: float | None = None
    speaks_for: str = ""
    profiles: tuple[str, ...] = ()
    listed_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelEvidence:
    """What speaks for and against one label, in one group of cells.

    Attributes:
        group: label or cluster.
        label: what the cells of the group are called; the group itself where labels are explained.
        ontology_term_id: ontology term id of the label, "" where it has none.
        cells: number of cells.
        n_profiles: reference profiles of the type.
        stand_ins: types whose profiles stand in for it, where it has none of its own.
        compared_with: names of the other types that it was compared with.
        supporting: strongest first.
        conflicting: strongest first.
        notes: what a reader should know, a line each.
        origin: names of a cluster's cells, and what its own name goes by; a sentence each.
    """

    group: str
    label: str
    ontology_term_id: str
    cells: int
    n_profiles: int = 0
    stand_ins: tuple[str, ...] = ()
    compared_with: tuple[str, ...] = ()
    supporting: tuple[GeneEvidence, ...] = ()
    conflicting: tuple[GeneEvidence, ...] = ()
    notes: tuple[str, ...] = field(default=())
    origin: tuple[str, ...] = ()

    @property
    def strong_conflicts(self) -> tuple[GeneEvidence, ...]:
        """Conflicting genes that true labels do not have."""
        return tuple(gene for gene in self.conflicting if gene.strength >= STRONG_CONFLICT)

    @property
    def support(self) -> float:
        """Mean strength of the supporting genes; 0 without one."""
        return float(np.mean([gene.strength for gene in self.supporting])) if self.supporting else 0.0

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {**asdict(self), "support": round(self.support, 4), "strong_conflicts": len(self.strong_conflicts)}


class EvidenceFinder:
    """Finds the genes that speak for and against labels in one file.

    Args:
        moments: moments of the groups of the file.
        symbols: what genes are called, shape (genes,).
        profiles: profiles of the model; None where it has none.
        lists: markers of labels, from the user.
        top: largest number of genes per list.
    """

    def __init__(
        self,
        moments: GroupMoments,
        symbols: Sequence[str],
        profiles: Profiles | None,
        lists: Mapping[str, frozenset[str]],
        *,
        top: int,
    ) -> None:
        self.moments, self.symbols, self.profiles, self.top = moments, np.asarray(symbols, dtype=object), profiles, top
        names = np.asarray(moments.names, dtype=object)
        self._listed = {
            label: np.isin(self.symbols, sorted(genes)) | np.isin(names, sorted(genes))
            for label, genes in lists.items()
        }

    def supporting(
        self, contrast: FileContrast, label: str, own: TypeRanks | None, others: Sequence[TypeRanks]
    ) -> tuple[GeneEvidence, ...]:
        """Return the genes that are high here and in the profiles of the label, strongest first."""
        high = _high_here(contrast)
        specific = np.ones_like(high) if own is None else _specific(own, others)
        if label in self._listed:
            specific = np.where(self._listed[label], np.maximum(specific, _LISTED), specific)
        strength = _strength(high, specific, contrast.share_in >= LEAST_SHARE)
        elsewhere = np.max([other.mean for other in others], axis=0) if others else None
        return tuple(
            self._fact(gene, strength, contrast, own, None if elsewhere is None else float(elsewhere[gene]), own)
            for gene in self._first(strength)
        )

    def conflicting(
        self, contrast: FileContrast, label: str, own: TypeRanks | None, others: Sequence[TypeRanks]
    ) -> tuple[GeneEvidence, ...]:
        """Return the genes that are high here, low in the profiles of the label and high in another type, strongest
        first."""
        high = np.minimum(_high_here(contrast), _MOST_CONFLICT_EFFECT)
        best = np.zeros_like(high)
        speaker = np.full(len(high), -1)
        for place, other in enumerate(others):
            said = np.zeros_like(high) if own is None else self._said_for(place, own, others)
            if other.name in self._listed:
                alone = self._listed[other.name] & ~self._listed.get(label, np.zeros(len(high), dtype=bool))
                said = np.where(alone, np.maximum(said, _LISTED), said)
            strength = _strength(high, said, contrast.share_in >= LEAST_CONFLICT_SHARE)
            speaker[strength > best] = place
            best = np.maximum(best, strength)
        found = []
        for gene in self._first(best):
            other = others[speaker[gene]]
            fact = self._fact(gene, best, contrast, own, float(other.mean[gene]), other, speaks_for=other.name)
            found.append(fact)
        return tuple(found)

    def _said_for(self, place: int, own: TypeRanks, others: Sequence[TypeRanks]) -> np.ndarray:
        """How much more each gene is of one of the others than of the own type and of the rest; below 0 where less."""
        mean = others[place].mean
        rest = [other.mean for i, other in enumerate(others) if i != place]
        lower = mean - own.high
        return np.minimum(lower, mean - np.mean(rest, axis=0)) if rest else lower

    def _first(self, strength: np.ndarray) -> list[int]:
        order = np.argsort(-strength, kind="stable")[: self.top]
        return order[strength[order] > 0].tolist()

    def _fact(
        self,
        gene: int,
        strength: np.ndarray,
        contrast: FileContrast,
        own: TypeRanks | None,
        elsewhere: float | None,
        shown: TypeRanks | None,
        *,
        speaks_for: str = "",
    ) -> GeneEvidence:
        has_rest = contrast.n_out > 0
        return GeneEvidence(
            gene=str(self.symbols[gene]),
            strength=round(float(strength[gene]), 4),
            effect=round(float(contrast.effect[gene]), 4) if has_rest else None,
            log2_fold=round(float(contrast.fold[gene]), 4) if has_rest else None,
            share_in=round(float(contrast.share_in[gene]), 4),
            share_out=round(float(contrast.share_out[gene]), 4) if has_rest else None,
            rank=None if own is None else round(float(own.mean[gene]), 4),
            rank_elsewhere=None if elsewhere is None else round(float(elsewhere), 4),
            speaks_for=speaks_for,
            profiles=self._profiles_with(gene, shown),
            listed_for=tuple(label for label, listed in self._listed.items() if listed[gene]),
        )

    def _profiles_with(self, gene: int, shown: TypeRanks | None) -> tuple[str, ...]:
        if shown is None or self.profiles is None:
            return ()
        order = np.argsort(-shown.ranks[:, gene], kind="stable")[:_PROFILES_NAMED]
        return tuple(self.profiles.names_of(shown.rows[order[shown.ranks[order, gene] > 0]]))


def _high_here(contrast: FileContrast) -> np.ndarray:
    """How high each gene is here: its effect, or where no other cell is there half its mean value; never below 0."""
    return np.maximum(contrast.effect, 0) if contrast.n_out else contrast.mean_in / 2


def _specific(own: TypeRanks, others: Sequence[TypeRanks]) -> np.ndarray:
    if not others:
        return own.mean
    means = np.array([other.mean for other in others])
    return own.mean - (means.mean(axis=0) + means.max(axis=0)) / 2


def _strength(high: np.ndarray, specific: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the square root of the product where both are above 0, rounded, so that chunks of cells do not show."""
    return np.where(seen, np.sqrt(np.maximum(high, 0) * np.maximum(specific, 0)), 0.0).round(5)
