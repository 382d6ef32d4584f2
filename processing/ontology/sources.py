"""Where ontology terms are read from: the bundled CELLxGENE ontologies, or one OBO or OWL file."""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Protocol


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _prefix(term_id: str) -> str:
    return re.split(r"[:_]", term_id, maxsplit=1)[0]


@dataclass(frozen=True)
class Term:
    """One ontology term.

    Attributes:
        id: with its prefix.
        name: "" for some obsolete terms.
        definition: None where there is none.
        synonyms: the exact ones, sorted.
        obsolete: no longer used; so are ids that were merged into another term.
        replaced_by: the successor of an obsolete term, where one is known.
        taxa: ids of the taxa that its cells are in, where the ontology's axioms say so.
    """

    id: str
    name: str
    definition: str | None = None
    synonyms: tuple[str, ...] = ()
    obsolete: bool = False
    replaced_by: str | None = None
    taxa: tuple[str, ...] = ()


class TermSource(Protocol):
    """Where terms come from. `ancestors` and `descendants` are asked about known ids only."""

    where: str
    version: str

    def get(self, term_id: str) -> Term | None:
        """Return the term with this id, None where there is none."""
        ...

    def ids(self, prefix: str) -> Iterable[str]:
        """Return the ids of all terms with this prefix; empty for an unknown prefix."""
        ...

    def prefixes(self) -> tuple[str, ...]:
        """Return the id prefixes at hand, sorted."""
        ...

    def ancestors(self, term_id: str) -> set[str]:
        """Return the ids of the named terms above a known one, without itself."""
        ...

    def descendants(self, term_id: str) -> set[str]:
        """Return the ids of the named terms below a known one, without itself."""
        ...


class CellxgeneSource:
    """The ontologies inside `cellxgene-ontology-guide`, each read when one of its terms is first asked for."""

    def __init__(self) -> None:
        from cellxgene_ontology_guide.ontology_parser import OntologyParser

        self._parser = OntologyParser()
        self._schema = self._parser.cxg_schema
        package = "cellxgene-ontology-guide"
        cell_ontology = self._schema.supported_ontologies["CL"]["version"]
        self.version = f"{package} {package_version(package)}, schema {self._schema.version}, CL {cell_ontology}"
        self.where = f"the CELLxGENE ontologies (schema {self._schema.version})"

    def get(self, term_id: str) -> Term | None:
        """Return the term with this id, or None."""
        entry = self._table(_prefix(term_id)).get(term_id) or self._entry_by_parser(term_id)
        if entry is None:
            return None
        return Term(
            id=term_id,
            name=_one_line(entry["label"]),
            definition=_one_line(entry.get("description") or "") or None,
            synonyms=tuple(sorted({_one_line(synonym) for synonym in entry.get("synonyms", [])})),
            obsolete=entry.get("deprecated", False),
            replaced_by=entry.get("replaced_by") or None,
        )

    def _entry_by_parser(self, term_id: str) -> Mapping[str, Any] | None:
        """Return the properties of a term of an ontology that has another name than its ids begin with, such as AfPO.

        The parser checks an id for each property that it is asked for, which takes longer than the rest.
        """
        parser = self._parser
        if not parser.is_valid_term_id(term_id):
            return None
        return {
            "label": parser.get_term_label(term_id),
            "description": parser.get_term_description(term_id),
            "synonyms": parser.get_term_synonyms(term_id),
            "deprecated": parser.is_term_deprecated(term_id),
            "replaced_by": parser.get_term_replacement(term_id),
        }

    def _table(self, prefix: str) -> Mapping[str, Any]:
        return self._schema.ontology(prefix) if prefix in self._schema.supported_ontologies else {}

    def ids(self, prefix: str) -> Iterable[str]:
        """Return the ids with this prefix."""
        return self._table(prefix)

    def prefixes(self) -> tuple[str, ...]:
        """Return the id prefixes at hand, sorted."""
        return tuple(sorted(self._schema.supported_ontologies))

    def ancestors(self, term_id: str) -> set[str]:
        """Return the ids above a known term."""
        return set(self._parser.get_term_ancestors(term_id))

    def descendants(self, term_id: str) -> set[str]:
        """Return the ids below a known term."""
        return set(self._parser.get_term_descendants(term_id))


class FileSource:
    """One OBO or OWL (RDF/XML) file, read by `pronto`."""

    def __init__(self, path: str | Path) -> None:
        import pronto
        from pronto.utils.warnings import ProntoWarning

        self.where = str(path)
        advice = "Give a whole OBO or OWL (RDF/XML) file, merged with what it imports."
        try:
            with open(path, "rb") as handle, warnings.catch_warnings():
                # pronto names each OWL construct that it skips; none of them holds a name, a definition or is_a.
                warnings.simplefilter("ignore", ProntoWarning)
                # Imports are not followed: reading a local file must not reach for the network.
                self._ontology = pronto.Ontology(handle, import_depth=0, threads=1)
        except KeyError as error:
            raise ValueError(f"Cannot read ontology {path}: {error} is used but not defined. {advice}") from error
        except Exception as error:  # the parsers raise ValueError, SyntaxError, XML errors, OSError and more
            reason = _one_line(str(error)) or type(error).__name__
            raise ValueError(f"Cannot read ontology {path}: {reason}. {advice}") from error
        self._terms = {term.id: _from_pronto(term) for term in self._ontology.terms() if term.name}
        self._merged = _merged(self._ontology, self._terms)
        self._terms |= self._merged
        if not self._terms:
            raise ValueError(f"Cannot read ontology {path}: no term has a name. {advice}")
        self._prefixes = tuple(sorted({_prefix(term_id) for term_id in self._terms}))
        self.version = f"{Path(path).name}, {self._ontology.metadata.data_version or 'version not stated'}"

    def get(self, term_id: str) -> Term | None:
        """Return the term with this id, or None."""
        return self._terms.get(term_id)

    def ids(self, prefix: str) -> Iterable[str]:
        """Return the ids with this prefix."""
        return (term_id for term_id in self._terms if _prefix(term_id) == prefix)

    def prefixes(self) -> tuple[str, ...]:
        """Return the id prefixes at hand, sorted."""
        return self._prefixes

    def ancestors(self, term_id: str) -> set[str]:
        """Return the ids above a known term."""
        related = self._ontology.get_term(self._id_in_file(term_id)).superclasses(with_self=False)
        return set(related.to_set().ids) & self._terms.keys()

    def descendants(self, term_id: str) -> set[str]:
        """Return the ids below a known term."""
        related = self._ontology.get_term(self._id_in_file(term_id)).subclasses(with_self=False)
        return set(related.to_set().ids) & self._terms.keys()

    def _id_in_file(self, term_id: str) -> str:
        """Return the id of the term that a merged id is part of; any other id as it is."""
        merged = self._merged.get(term_id)
        return merged.replaced_by if merged and merged.replaced_by else term_id


def _merged(ontology: Any, terms: Mapping[str, Term]) -> dict[str, Term]:
    """Ids that were merged into another term (alt_id), as obsolete terms that it stands for today."""
    return {
        old_id: Term(old_id, term.name, obsolete=True, replaced_by=term.id)
        for term in ontology.terms()
        if term.id in terms
        for old_id in sorted(term.alternate_ids)
        if old_id not in terms
    }


# `only in taxon` and `in taxon`, by name in OBO files and by id in OWL files.
_IN_TAXON = ("only_in_taxon", "in_taxon", "RO:0002160", "RO:0002162")


def _taxa(term: Any) -> tuple[str, ...]:
    """Taxa that a term's own axioms name; none where the file does not define what they refer to."""
    try:
        related = term.relationships
        return tuple(sorted(taxon.id for kind, taxa in related.items() if kind.id in _IN_TAXON for taxon in taxa))
    except KeyError:
        return ()


def _from_pronto(term: Any) -> Term:
    # Several successors mean that a person has to choose: the same as none.
    successors = sorted(term.replaced_by.ids)
    return Term(
        id=term.id,
        name=_one_line(term.name),
        definition=_one_line(str(term.definition or "")) or None,
        synonyms=tuple(sorted({_one_line(s.description) for s in term.synonyms if s.scope == "EXACT"})),
        obsolete=bool(term.obsolete),
        replaced_by=successors[0] if len(successors) == 1 else None,
        taxa=_taxa(term),
    )
