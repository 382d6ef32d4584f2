"""The evidence of all groups of one file: genes, profiles and marker lists, gathered once and asked for any label."""

import logging
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from langcell.inference.evidence.comparison import Comparison, compare
from langcell.inference.evidence.groups import CellGroups
from langcell.inference.evidence.label_evidence import EvidenceFinder, LabelEvidence
from langcell.inference.evidence.marker_lists import lists_of_labels, read_marker_lists
from langcell.inference.evidence.moments import GroupMoments
from langcell.inference.evidence.profiles import Profiles, TypeRanks, in_line
from langcell.loading.loaded import LoadedModel
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.cells.gene_index import gene_index_of
from langcell.processing.labels.lookup import look_up
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.terms import Ontology
from langcell.processing.rank_values import keep_first_of_duplicates

logger = logging.getLogger("langcell")

# With fewer other types in the file, the nearest types of the ontology are compared with, too.
_LEAST_OTHERS = 2
_SIBLINGS = 4

_NO_REFERENCE = "The model has no reference cells: genes are ordered by the contrast in the file alone."
_NO_REST = "The file has no other cells: genes are ordered by their mean and the profiles, without an effect."
_NO_LABEL = "No cell of {group!r} has a label: genes are ordered by the contrast in the file alone."
_NO_TERM = "{label!r} is no type that the ontology knows: genes are ordered by the contrast in the file alone."
_STAND_INS = "No reference profile is of {label}; those of the nearest types in the ontology stand in: {names}."


class FileEvidence:
    """What the genes of a file say of its groups of cells.

    Args:
        source: the opened data; read once here.
        loaded: the model, of which the vocabulary and the reference cells are used.
        groups: cells in groups.
        terms: ontology id of each label that the groups are called, "" where it has none.
        markers: marker lists of the user.
        top: largest number of genes per list.
        rows: cells that are read at once.

    Raises:
        ValueError: next to none of the genes is known, or no marker list is of a label.
    """

    def __init__(
        self,
        source: CellSource,
        loaded: LoadedModel,
        groups: CellGroups,
        terms: Mapping[str, str],
        *,
        markers: str | Path | None = None,
        top: int,
        rows: int,
    ) -> None:
        self.ontology = Ontology.cellxgene()
        self.groups, self.terms = groups, dict(terms)
        index = file_gene_index(source, loaded)
        self.moments = GroupMoments.gather(source, groups.codes, len(groups.names), rows_per_chunk=rows)
        self.profiles = profiles_in(source, loaded)
        self.symbols = _symbols(source, loaded, index)
        self.types: dict[str, TypeRanks] = {}
        if self.profiles is not None:
            beside = sorted({term for term in terms.values() if term})
            self.types = {
                label: self.profiles.of_type(term, label, beside=beside) for label, term in terms.items() if term
            }
        names = {*self.symbols, *map(str, self.moments.names)}
        lists = _marker_lists(markers, list(terms), self.ontology, names)
        self._finder = EvidenceFinder(self.moments, self.symbols, self.profiles, lists, top=top)
        self._top = top

    def of(self, place: int, label: str) -> LabelEvidence:
        """Return what speaks for and against a label, in the cells of the group at a place."""
        contrast = self.moments.contrast(place)
        own, notes = self.types.get(label), []
        others = self._others(label) if own is not None else []
        if own is None:
            unnamed = _NO_TERM.format(label=label) if label else _NO_LABEL.format(group=self.groups.names[place])
            notes.append(_NO_REFERENCE if self.profiles is None else unnamed)
            others = [other for name, other in self.types.items() if name != label]
        elif own.stand_ins:
            notes.append(_STAND_INS.format(label=label, names=", ".join(own.stand_ins)))
        if not contrast.n_out:
            notes.append(_NO_REST)
        return LabelEvidence(
            group=self.groups.names[place],
            label=label,
            ontology_term_id=self.terms.get(label, ""),
            cells=int(self.moments.cells[place]),
            n_profiles=0 if own is None else len(own.rows),
            stand_ins=() if own is None else own.stand_ins,
            compared_with=tuple(other.name for other in others),
            supporting=self._finder.supporting(contrast, label, own, others),
            conflicting=self._finder.conflicting(contrast, label, own, others),
            notes=tuple(notes),
        )

    def compared(self, place: int, called: Sequence[str], against: str) -> Comparison:
        """Return the genes between a group and another label, which the file need not have.

        Args:
            place: place of the group.
            called: what each group is called.
            against: name or id of the other type.

        Raises:
            ValueError: one of the two is no type with profiles, or both are the same.
        """
        own = self.types.get(called[place])
        if self.profiles is None or own is None:
            named = called[place] or self.groups.names[place]
            raise ValueError(f"{named!r} has no reference profile; it cannot be compared with {against!r}.")
        term_id = look_up(LabelEntry(against), self.ontology).ontology_term_id
        if term_id is None:
            raise ValueError(f"{against!r} is no type that the ontology knows; give a name or an id that it knows.")
        if term_id == own.term_id:
            raise ValueError(f"{against!r} is the label itself; give another.")
        rest = next((i for i, name in enumerate(called) if self.terms.get(name) == term_id), None)
        other = self.profiles.of_type(term_id, against) if rest is None else self.types[called[rest]]
        notes = [
            _STAND_INS.format(label=one.name, names=", ".join(one.stand_ins)) for one in (own, other) if one.stand_ins
        ]
        if rest is None:
            notes.append(f"The file has no cell of {against}: its genes are those of its profiles.")
        contrast = self.moments.contrast(place, rest)
        genes = compare(contrast, own, other, self.symbols, against_cells=rest is not None, top=self._top)
        n = 0 if rest is None else int(self.moments.cells[rest])
        return Comparison(self.groups.names[place], other.name, int(self.moments.cells[place]), n, genes, tuple(notes))

    def _others(self, label: str) -> list[TypeRanks]:
        """Return the types that a label is compared with: others of the file, and where these are few, near types."""
        assert self.profiles is not None
        own, found = self.types[label], dict[str, TypeRanks]()
        for other in self.types.values():
            # Where a type and a kind of it share profiles, these tell nothing of the one against the other.
            if other.term_id != own.term_id and not (
                len(np.intersect1d(other.rows, own.rows)) and self._line(own, other)
            ):
                found.setdefault(other.term_id, other)
        if len(found) < _LEAST_OTHERS:
            for near in self.profiles.nearest(own.term_id)[:_SIBLINGS]:
                found.setdefault(near, self.profiles.of_type(near, self.ontology.term(near).name))
        return list(found.values())

    def _line(self, one: TypeRanks, other: TypeRanks) -> bool:
        return in_line(one.term_id, other.term_id, self.ontology)


def file_gene_index(source: CellSource, loaded: LoadedModel) -> np.ndarray:
    """Place of each gene of the file in the vocabulary; of several columns of a gene the first counts."""
    return keep_first_of_duplicates(gene_index_of(source, loaded.processor.feature_extractor))


def profiles_in(source: CellSource, loaded: LoadedModel) -> Profiles | None:
    """Return the reference profiles of a model in the genes of a file; None where it has none."""
    extractor = loaded.processor.feature_extractor
    if extractor.reference_cells is None:
        return None
    index = file_gene_index(source, loaded)
    return Profiles(extractor.reference_cells, extractor.vocabulary, index, Ontology.cellxgene())


def _symbols(source: CellSource, loaded: LoadedModel, index: np.ndarray) -> list[str]:
    """Return what genes are called: the symbol of the vocabulary, or the name in the file."""
    symbols = loaded.processor.feature_extractor.vocabulary.symbols
    return [
        (symbols[place] if place >= 0 else "") or name for place, name in zip(index, source.gene_names, strict=True)
    ]


def _marker_lists(
    path: str | Path | None, labels: Sequence[str], ontology: Ontology, genes: Set[str]
) -> dict[str, frozenset[str]]:
    """Return the marker lists of labels, of which what is not used is said."""
    if path is None:
        return {}
    lists = read_marker_lists(path)
    found = lists_of_labels(lists, labels, ontology)
    if not found:
        raise ValueError(
            f"{path}: none of its lists ({', '.join(list(lists)[:5])}) is of a label of the file "
            f"({', '.join(labels[:5])}); give a list the name of a label."
        )
    wanted = frozenset().union(*found.values())
    if not wanted & genes:
        raise ValueError(
            f"{path}: the file has none of its genes ({', '.join(sorted(wanted)[:5])}); give symbols, or names as in "
            "the file."
        )
    if absent := sorted(wanted - genes):
        some = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        logger.info("Markers: %d of %d genes are not in the file (%s).", len(absent), len(wanted), some)
    if len(found) < len(lists):
        logger.info("Markers: %d of %d lists are of labels of the file: %s.", len(found), len(lists), ", ".join(found))
    return found
