"""Ontology terms (name, definition, synonyms, ancestors) from the bundled CELLxGENE ontologies or from a file."""

import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Literal, Self

from langcell.processing.ontology.abbreviations import Abbreviations
from langcell.processing.ontology.sources import (
    CellxgeneSource,
    FileSource,
    Term,
    TermSource,
)
from langcell.processing.ontology.trusted_names import trusted_synonyms
from langcell.processing.ontology.typeset import plain_signs

__all__ = ["MatchKind", "Ontology", "Term", "looks_like_id", "normalize_name"]

MatchKind = Literal["name", "synonym"]
_NameIndex = tuple[MatchKind, Callable[[str], str], dict[str, list[str]]]  # kind, form of the keys, ids by key

_ID_LIKE = re.compile(r"[A-Za-z]+:\d{2,}|[A-Za-z]+_\d{7}|CVCL_[A-Z0-9]{4}|(?i:uniprot):[A-Z0-9]{6,10}")


def looks_like_id(text: str) -> bool:
    """Return whether a label is meant as an ontology id.

    >>> [looks_like_id(x) for x in ("CL:0000236", "CL_0000236", "CVCL_0023", "B cell", "cluster_12", "CD8_1")]
    [True, True, True, False, False, False]
    """
    return _ID_LIKE.fullmatch(text) is not None


def normalize_name(text: str) -> str:
    """Return the form in which names are compared: case, underscores, runs of blanks and typeset signs do not count.

    Hyphens do: behind a marker they mean "negative" (`CD4-`).

    >>> normalize_name(" CD4-positive,alpha-beta_T  Cell "), normalize_name("CD4⁻ T")
    ('cd4-positive, alpha-beta t cell', 'cd4- t')
    """
    text = re.sub(r"[\s_]+", " ", plain_signs(text).casefold()).strip()
    return re.sub(r" ?, ?", ", ", text)


def _fold(normalized: str) -> str:
    """Fold a name as the last resort: hyphens inside words become blanks, and the plural "s" of the last word goes.

    Between two markers ("cd14-cd16+") a hyphen is a minus and stays.
    """
    text = re.sub(r"(?<=\w)-(?=\w)(?!cd\d|ig[adegm]\b)", " ", normalized)
    return re.sub(r"(?<=\w\w)(?<![sui])s$", "", text)


class Ontology:
    """Terms by id and by name, with one interface for the bundled ontologies and for files.

    Attributes:
        version: what was read, for manifests and cards.

    >>> ontology = Ontology.cellxgene()
    >>> term, how = ontology.find("NK cell")
    >>> term.id, term.name, how
    ('CL:0000623', 'natural killer cell', 'synonym')
    >>> "CL:0000542" in ontology.ancestors(term.id)  # lymphocyte
    True
    """

    def __init__(self, source: TermSource) -> None:
        self._source = source
        self._names: dict[str, list[_NameIndex]] = {}
        self._shorthand: dict[str, Abbreviations] = {}
        self.version = source.version

    @classmethod
    def cellxgene(cls) -> "Ontology":
        """Return the ontologies that CELLxGENE metadata uses, offline: CL, UBERON, EFO, MONDO, HANCESTRO, HsapDv, PATO,
        ...

        Always the same instance; an ontology is read (0.02 s for CL, 18 s for NCBITaxon) at its first use.
        """
        return _cellxgene()

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read an OBO or OWL (RDF/XML) file with `pronto`; its imports are not followed.

        Raises:
            ValueError: the file is missing, malformed, or refers to parents that it does not define.
        """
        return cls(FileSource(path))

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Id prefixes at hand, sorted."""
        return self._source.prefixes()

    def __contains__(self, term_id: str) -> bool:
        return self._source.get(term_id) is not None

    def ids(self, prefix: str) -> list[str]:
        """Return the ids of all terms with this prefix, sorted; obsolete ones too."""
        return sorted(self._source.ids(prefix))

    def term(self, term_id: str) -> Term:
        """Return the term with this id, also when it is obsolete (see `current`).

        Raises:
            ValueError: there is none; a likely id is named where one differs only in case or separator.
        """
        term = self._source.get(term_id)
        if term is not None:
            return term
        prefix, _, local = term_id.strip().replace("_", ":", 1).partition(":")
        real_prefix = next((known for known in self.prefixes if known.casefold() == prefix.casefold()), prefix)
        likely = self._source.get(f"{real_prefix}:{local}")
        hint = f" Did you mean {likely.id} ({likely.name})?" if likely else self._may_be_newer(prefix)
        raise ValueError(f"Unknown ontology id {term_id!r} in {self._source.where}.{hint}")

    def _may_be_newer(self, prefix: str) -> str:
        if prefix in self.prefixes:
            return f" It is newer than {self.version}, or mistyped: give the id of a term that it has."
        return " Give the id of a term that it has."

    def current(self, term_id: str) -> Term:
        """Return the term that stands for this id today: itself or, if obsolete, the last of its successors.

        An obsolete term without a successor at hand comes back as it is (`.obsolete` is True).

        Raises:
            ValueError: no such id.
        """
        term, seen = self.term(term_id), {term_id}
        while term.obsolete and term.replaced_by and term.replaced_by not in seen:
            successor = self._source.get(term.replaced_by)
            if successor is None:  # it lives in an ontology that is not at hand
                break
            seen.add(successor.id)
            term = successor
        return term

    def find(self, text: str, *, prefix: str = "CL") -> tuple[Term, MatchKind] | None:
        """Find a term by its name, then by an exact synonym; None when there is neither.

        Of the Cell Ontology's exact synonyms only `trusted_synonyms` count. Case, underscores and blanks do not count.
        When nothing matches so, a plural last word ("B cells") and hyphens inside words ("T-helper cell") are forgiven.
        Obsolete terms are not found.

        Args:
            text: name or synonym.
            prefix: the ontology to look in, by the prefix of its ids.

        Raises:
            ValueError: the text names several terms equally well.
        """
        wanted = normalize_name(text)
        for kind, form, index in self._name_indexes(prefix):
            ids = index.get(form(wanted), [])
            if len(ids) > 1:
                terms = " and ".join(f"{term_id} ({self.term(term_id).name})" for term_id in ids)
                raise ValueError(f"{text!r} is a {kind} of {terms}. Give the id of the one that is meant.")
            if ids:
                return self.term(ids[0]), kind
        return None

    def find_abbreviation(self, text: str, *, prefix: str = "CL") -> Term | None:
        """Return the term that a name as laboratories shorten it means (`Abbreviations`); None when there is no
        telling.

        Args:
            text: a name that `find` does not find.
            prefix: the ontology to look in, by the prefix of its ids.

        >>> Ontology.cellxgene().find_abbreviation("Naive CD4 T").name
        'naive thymus-derived CD4-positive, alpha-beta T cell'
        """
        if prefix not in self._shorthand:
            terms = [self.term(term_id) for term_id in self.ids(prefix)]
            self._shorthand[prefix] = Abbreviations(terms, ancestors=self.ancestors)
        return self._shorthand[prefix].find(text)

    def ancestors(self, term_id: str) -> set[str]:
        """Return the ids of all terms above this one, without itself.

        The relation is is_a; for anatomy (UBERON) the bundled ontologies also follow part_of.
        """
        return self._source.ancestors(self.term(term_id).id)

    def descendants(self, term_id: str) -> set[str]:
        """Return the ids of all terms below this one, without itself (the inverse of `ancestors`)."""
        return self._source.descendants(self.term(term_id).id)

    def _name_indexes(self, prefix: str) -> list[_NameIndex]:
        """Return what `find` tries, in order: exact names, exact synonyms, folded names, folded synonyms."""
        if prefix not in self._names:
            terms = [term for term_id in sorted(self._source.ids(prefix)) if (term := self._source.get(term_id))]
            terms = [term for term in terms if not term.obsolete]
            names = [(normalize_name(term.name), term.id) for term in terms]
            counted = {term.id: trusted_synonyms(term) if prefix == "CL" else term.synonyms for term in terms}
            synonyms = [(normalize_name(synonym), term.id) for term in terms for synonym in counted[term.id]]
            kinds: list[tuple[MatchKind, list[tuple[str, str]]]] = [("name", names), ("synonym", synonyms)]
            self._names[prefix] = [(kind, form, _index(pairs, form)) for form in (str, _fold) for kind, pairs in kinds]
        return self._names[prefix]


def _index(pairs: Iterable[tuple[str, str]], form: Callable[[str], str]) -> dict[str, list[str]]:
    """Ids by the form of their normalised names; each id once, in the order given."""
    index: dict[str, dict[str, None]] = {}
    for name, term_id in pairs:
        index.setdefault(form(name), {})[term_id] = None
    return {name: list(ids) for name, ids in index.items()}


@cache
def _cellxgene() -> Ontology:
    return Ontology(CellxgeneSource())
