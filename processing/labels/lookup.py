"""One label looked up: a name, a synonym, a shorthand, an id or a text of the user's, to a `Label`."""

from dataclasses import dataclass
from typing import Literal

from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.descriptions import describe_term
from langcell.processing.ontology.terms import (
    MatchKind,
    Ontology,
    Term,
    looks_like_id,
)

LabelMatch = Literal["id", "name", "synonym", "shorthand", "given"]

# The aspect that a term is described under, by id or by the prefix of the id. All others are cell types.
_ASPECT_OF = {
    "UBERON": "tissue",
    "HsapDv": "development stage",
    "MmusDv": "development stage",
    "MONDO": "disease",
    "PATO:0000461": "disease",  # "normal", the disease of healthy cells in CELLxGENE
    "PATO": "sex",
    "HANCESTRO": "self-reported ethnicity",
    "EFO": "assay",
}


@dataclass(frozen=True)
class Label:
    """A candidate class.

    Attributes:
        name: what results call it: the name as the user typed it; for an id, the name of its term.
        text: what the text encoder reads.
        ontology_term_id: the term behind it, None where none was found.
        match: where the text comes from: a term found by its "id", "name" or "synonym", or by a "shorthand" of its name
            ("Naive CD4 T"), or "given" by the user. None: the name is used as it is, without a definition.
    """

    name: str
    text: str
    ontology_term_id: str | None = None
    match: LabelMatch | None = None


def look_up(entry: LabelEntry, ontology: Ontology) -> Label:
    """Look one label up: by its id, else by its name, else as shorthand; a text that was given is kept.

    A text that looks like an ontology id is one: nobody wants the model to read "CL:0000084".

    Raises:
        ValueError: an empty name, or an ontology id that is unknown or obsolete.

    >>> look_up(LabelEntry("my T cells", "CL:0000084"), Ontology.cellxgene()).text[:26]
    'cell type: t cell. a type '
    """
    if not isinstance(entry.name, str):
        raise ValueError(f"Label {entry.name!r} is not text. Give names or ontology ids as strings.")
    entry = _with_its_id(entry)
    name, term, match = entry.name.strip(), None, None
    if entry.ontology_term_id is not None:
        term, match = _term_of(entry.name, entry.ontology_term_id, ontology), "id"
    elif looks_like_id(name):
        term, match = usable_term(name, ontology), "id"
        name = term.name
    elif found := find_term(name, ontology):
        term, match = found
    elif entry.text is None and "CL" in ontology.prefixes and (read := ontology.find_shorthand(name)):
        term, match = read, "shorthand"
    term_id = term.id if term else None
    if entry.text is not None:
        return Label(name, entry.text, term_id, "given")
    if not name:
        raise ValueError("A label is empty. Give each label a name.")
    return Label(name, describe_term(_aspect(term), term or name), term_id, match)


def plain_label(name: str) -> Label:
    """A name that stands for itself."""
    return Label(name, describe_term("cell type", name))


def find_term(name: str, ontology: Ontology) -> tuple[Term, MatchKind] | None:
    """Look among cell types; in a file without Cell Ontology terms, among all of its terms."""
    prefixes = ("CL",) if "CL" in ontology.prefixes else ontology.prefixes
    return next((found for prefix in prefixes if (found := ontology.find(name, prefix=prefix))), None)


def term_at(text: str, ontology: Ontology) -> Term:
    """The term that an id or a name means.

    Raises:
        ValueError: there is none, or it is obsolete.
    """
    if looks_like_id(text := text.strip()):
        return usable_term(text, ontology)
    if found := find_term(text, ontology):
        return found[0]
    raise ValueError(f"No cell type is called {text!r}; give the name or the id of a term, such as CL:0000542.")


def usable_term(term_id: str, ontology: Ontology) -> Term:
    """The term with this id.

    Raises:
        ValueError: there is none, or it is obsolete; its successor is named.
    """
    term = ontology.term(term_id)
    if not term.obsolete:
        return term
    successor = ontology.current(term_id)
    advice = "Give another id" if successor.obsolete else f"Give its successor {successor.id} ({successor.name})"
    raise ValueError(f"Ontology id {term.id} ({term.name}) is obsolete. {advice}.")


def _with_its_id(entry: LabelEntry) -> LabelEntry:
    """The entry with an id in place of a text that is one."""
    if not isinstance(entry.text, str) or not looks_like_id(text := entry.text.strip()):
        return entry
    if entry.ontology_term_id not in (None, text):
        raise ValueError(f"Label {entry.name!r} has two ontology ids, {entry.ontology_term_id} and {text}. Keep one.")
    return LabelEntry(entry.name, None, text)


def _term_of(name: str, term_id: str, ontology: Ontology) -> Term:
    try:
        return usable_term(term_id, ontology)
    except ValueError as error:
        raise ValueError(f"Label {name!r}: {error}") from error


def _aspect(term: Term | None) -> str:
    if term is None:
        return "cell type"
    return _ASPECT_OF.get(term.id) or _ASPECT_OF.get(term.id.partition(":")[0], "cell type")
