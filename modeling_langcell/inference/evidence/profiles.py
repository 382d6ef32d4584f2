"""What the reference profiles of a type say of each gene of a file, and which profiles stand in for a type without."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from langcell.processing.genes import GeneVocabulary
from langcell.processing.labels.lookup import find_term
from langcell.processing.ontology.description_templates import parse_description
from langcell.processing.ontology.terms import Ontology
from langcell.processing.reference_cells import ReferenceCells

# The rank that most profiles of a type stay below: one of many profiles may have a gene by ambient counts.
_HIGH = 0.9
_NEAREST_TYPES = 2


@dataclass(frozen=True, eq=False)
class TypeRanks:
    """What the profiles of one type say of the genes of a file.

    Attributes:
        term_id: ontology id of the type.
        name: what the file calls it.
        rows: places of the profiles among all, shape (profiles,).
        ranks: float32, shape (profiles, genes); 1 for the first gene of a profile, falling evenly to 0 for those that
            are not among its genes.
        stand_ins: names of the types whose profiles these are, where the type has none of its own.
    """

    term_id: str
    name: str
    rows: np.ndarray
    ranks: np.ndarray
    stand_ins: tuple[str, ...] = ()

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean rank of each gene, shape (genes,)."""
        return self.ranks.mean(axis=0, dtype=np.float64).round(6)

    @cached_property
    def high(self) -> np.ndarray:
        """Rank that nine of ten profiles stay below, shape (genes,)."""
        return np.quantile(self.ranks.astype(np.float64), _HIGH, axis=0).round(6)


class Profiles:
    """The reference profiles of a model, in the genes of a file.

    Args:
        cells: the reference cells of the model.
        vocabulary: that their ids belong to.
        gene_index: int64, shape (genes,); place of each gene of the file in the vocabulary, -1 where unknown; no place
            twice.
        ontology: that tells which types are near to one another.
    """

    def __init__(
        self, cells: ReferenceCells, vocabulary: GeneVocabulary, gene_index: np.ndarray, ontology: Ontology
    ) -> None:
        self._cells, self._ontology = cells, ontology
        self._n_genes = len(gene_index)
        self._column = np.full(vocabulary.n_tokens, -1, dtype=np.int64)
        known = np.flatnonzero(gene_index >= 0)
        self._column[gene_index[known] + vocabulary.first_gene_token_id] = known
        of_text = cells.types or tuple(_type_of(text, ontology) for text in cells.texts)
        self.types = np.array(of_text, dtype=object)[cells.text_of]

    @cached_property
    def known_types(self) -> list[str]:
        """Ontology ids of the types with profiles, sorted."""
        return sorted({term_id for term_id in self.types if term_id and term_id in self._ontology})

    def names_of(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """Return names of some profiles; where the model keeps none, their types and places."""
        if self._cells.names:
            return [self._cells.names[row] for row in rows]
        return [f"{self.types[row] or 'profile'} #{row}" for row in rows]

    def of_type(self, term_id: str, name: str, *, beside: Iterable[str] = ()) -> TypeRanks:
        """Return the profiles of a type and of the types below it; else those of the types nearest in the ontology.

        Args:
            term_id: ontology id of the type.
            name: what the file calls it.
            beside: ids of the other types of a file. Where one of them is a kind of this type, its profiles are left to
                it: beside "CD4 T cell", "T cell" means the others.
        """
        below = self._below(term_id)
        narrower = {other for other in beside if other in below and other != term_id}
        left = below - {one for other in narrower for one in self._below(other)}
        rows = np.flatnonzero(np.isin(self.types, sorted(left)))
        if not len(rows):
            rows = np.flatnonzero(np.isin(self.types, sorted(below)))
        if len(rows):
            return TypeRanks(term_id, name, rows, self._ranks(rows))
        near = self.nearest(term_id)[:_NEAREST_TYPES]
        rows = np.flatnonzero(np.isin(self.types, near))
        names = tuple(self._ontology.term(one).name for one in near)
        return TypeRanks(term_id, name, rows, self._ranks(rows), names)

    def nearest(self, term_id: str) -> list[str]:
        """Return the types with profiles, the nearest first: those that share most of their ancestors; no relatives in
        line."""
        own = self._ontology.ancestors(term_id) | {term_id}
        below = self._ontology.descendants(term_id)
        found = []
        for other in self.known_types:
            if other in own or other in below:
                continue
            theirs = self._ontology.ancestors(other) | {other}
            found.append((-len(own & theirs) / len(own | theirs), other))
        return [other for _, other in sorted(found)]

    def _below(self, term_id: str) -> set[str]:
        return self._ontology.descendants(term_id) | {term_id}

    def _ranks(self, rows: np.ndarray) -> np.ndarray:
        ranks = np.zeros((len(rows), self._n_genes), dtype=np.float32)
        for place, row in enumerate(rows):
            columns = self._column[self._cells.ids_of(row)]
            columns = columns[columns >= 0]
            ranks[place, columns] = 1 - np.arange(len(columns)) / max(len(columns), 1)
        return ranks


def in_line(one: str, other: str, ontology: Ontology) -> bool:
    """Return whether two types are the same, or one is a kind of the other."""
    return one == other or one in ontology.ancestors(other) or other in ontology.ancestors(one)


def _type_of(text: str, ontology: Ontology) -> str:
    """The ontology id of a text of a type, "" where there is no telling: files older than the ids hold texts alone."""
    pieces = parse_description(text)
    found = find_term(pieces[0].name, ontology) if pieces else None
    return found[0].id if found else ""
