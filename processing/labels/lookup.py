"""One label looked up: a name, a synonym, a shorthand, an id or a text of the user's, to a `Label`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from langcell.processing.labels.field_names import find_field_name
from langcell.processing.labels.id_in_name import name_and_id
from langcell.processing.labels.several import describe_in_its_aspect, describe_several, ids_in, parts_of
from langcell.processing.labels.states import is_short, read_state, state_piece
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.descriptions import describe_term
from langcell.processing.ontology.terms import MatchKind, Ontology, Term, looks_like_id

LabelMatch = Literal["id", "name", "synonym", "table", "shorthand", "given"]


@dataclass(frozen=True)
class Label:
    """A candidate class.

    Attributes:
        name: what results call it: the name as the user typed it; for an id, the name of its term.
        text: what the text encoder reads.
        ontology_term_id: the term behind it, None where none was found, or several.
        match: where the text comes from: a term found by its "id", "name" or "synonym", by the "table" of the names
            that the field's vocabularies use ("CD16 Mono") or by a "shorthand" of its name ("Naive CD4 T"), or "given"
            by the user. None: the name is used as it is, without a definition.
        remark: what else there is to say of the reading, such as that an id is obsolete; None where there is nothing.
    """

    name: str
    text: str
    ontology_term_id: str | None = None
    match: LabelMatch | None = None
    remark: str | None = None


def look_up(entry: LabelEntry, ontology: Ontology, *, context: Iterable[str] = ()) -> Label:
    """Look one label up: by its id, else by its name; a text that was given is kept.

    A text that looks like an ontology id is one: nobody wants the model to read "CL:0000084". So is an id within a
    name, as in "T cell (CL:0000084)". An obsolete id stands for its successor.

    Args:
        entry: the label as written.
        ontology: where it is looked up.
        context: words around it, for names that mean several types (`field_names.context_words`).

    Raises:
        ValueError: an empty name, an ontology id that is unknown or has no successor, or words and an id that mean
            different types.

    >>> look_up(LabelEntry("my T cells", "CL:0000084"), Ontology.cellxgene()).text[:26]
    'cell type: t cell. a type '
    """
    if not isinstance(entry.name, str):
        raise ValueError(f"Label {entry.name!r} is not text. Give names or ontology ids as strings.")
    entry = _with_its_id(entry)
    name = entry.name.strip()
    if entry.ontology_term_id is not None and len(ids := ids_in(entry.ontology_term_id)) > 1:
        terms = [_term_of(entry.name, term_id, ontology)[0] for term_id in ids]
        return _of_several(name, terms, "given" if entry.text else "id", text=entry.text)
    if entry.ontology_term_id is not None:
        term, remark = _term_of(entry.name, entry.ontology_term_id, ontology)
        return _label(name, term, "id", entry.text, remark)
    if entry.text is None and (several := _several(name, ontology, context)):
        return several
    if looks_like_id(name):
        term, remark = current_term(name, ontology)
        return _label(term.name, term, "id", entry.text, remark)
    if (both := name_and_id(name)) and entry.text is None:
        words, term_id = both
        term, remark = _term_of(name, term_id, ontology)
        _check_agreement(name, words, term, ontology)
        return _label(name, term, "id", None, remark)
    found = read_name(name, ontology, context=context, shortened=entry.text is None)
    if label := _in_a_state(name, entry.text, found, ontology, context):
        return label
    term, match = found or (None, None)
    return _label(name, term, match, entry.text, None)


def plain_label(name: str, *, remark: str | None = None) -> Label:
    """Return a name that stands for itself."""
    return Label(name, describe_term("cell type", name), remark=remark)


def read_name(
    name: str, ontology: Ontology, *, context: Iterable[str] = (), shortened: bool = True
) -> tuple[Term, LabelMatch] | None:
    """Return the term that a name means: by the ontology's name, the table of names, an exact synonym, or a shorthand.

    Args:
        name: as it is written.
        ontology: where terms are; names that laboratories use are read in the Cell Ontology alone.
        context: words around it.
        shortened: also read names of the table and shorthands.

    Raises:
        ValueError: the name is that of several terms.
    """
    found = find_term(name, ontology)
    if not shortened or "CL" not in ontology.prefixes or (found and found[1] == "name"):
        return found
    term_id = find_field_name(name, context=context)
    is_usable = term_id is not None and term_id in ontology and not ontology.term(term_id).obsolete
    if is_usable and not (found and found[0].id == term_id):
        return ontology.term(str(term_id)), "table"
    if found:
        return found
    term = ontology.find_abbreviation(name)
    return (term, "shorthand") if term else None


def find_term(name: str, ontology: Ontology) -> tuple[Term, MatchKind] | None:
    """Look among cell types; in a file without Cell Ontology terms, among all of its terms."""
    prefixes = ("CL",) if "CL" in ontology.prefixes else ontology.prefixes
    return next((found for prefix in prefixes if (found := ontology.find(name, prefix=prefix))), None)


def term_at(text: str, ontology: Ontology) -> Term:
    """Return the term that an id or a name means; of an obsolete id the successor.

    Raises:
        ValueError: there is none.
    """
    if looks_like_id(text := text.strip()):
        return current_term(text, ontology)[0]
    if found := read_name(text, ontology):
        return found[0]
    raise ValueError(f"No cell type is called {text!r}; give the name or the id of a term, such as CL:0000542.")


def current_term(term_id: str, ontology: Ontology) -> tuple[Term, str | None]:
    """Return the term that stands for an id today, and a remark where it is not the id as given.

    Raises:
        ValueError: the id is unknown, or obsolete without a successor at hand.
    """
    term_id = _with_colon(term_id, ontology)
    old, term = ontology.term(term_id), ontology.current(term_id)
    called = f" ({old.name})" if old.name else ""
    if term.obsolete:
        raise ValueError(f"Ontology id {old.id}{called} is obsolete, and no successor is known. Give another id.")
    if term.id == old.id:
        return term, None
    return term, f"{old.id}{called} is obsolete; its successor {term.id} ({term.name}) is taken"


def _several(name: str, ontology: Ontology, context: Iterable[str]) -> Label | None:
    """A label of several terms ("A || B"), by their ids or names; None for one term, or where one is not found."""
    if ids := ids_in(name):
        if len(ids) == 1:
            return look_up(LabelEntry(ids[0]), ontology)
        terms = [current_term(term_id, ontology)[0] for term_id in ids]
        return _of_several(describe_several(terms)[0], terms, "id")
    parts = parts_of(name)
    found = [read_name(part, ontology, context=context) for part in parts] if len(parts) > 1 else []
    terms = [read[0] for read in found if read]
    if len(terms) < max(len(parts), 2):
        return None
    return _of_several(name, terms, "name")


def _in_a_state(
    name: str,
    text: str | None,
    found: tuple[Term, LabelMatch] | None,
    ontology: Ontology,
    context: Iterable[str],
) -> Label | None:
    """Return a label of a type in a state ("cycling B cells"), which says so; None where no word says a state.

    A term with the state in its own name ("cycling T cell") stays that term. Others in a state have no id, because the
    id of the type is that of its other cells, too.
    """
    written: object = name if text is None else text  # a text from JSON may be a number, which is refused later
    read = read_state(written) if isinstance(written, str) else None
    if read is None:
        return None
    rest, state = read
    told = f"in the state {state!r}" if state else "in no particular state"
    if text is not None:
        if not is_short(text):
            return None
        plain = rest.rstrip("; ")
        return Label(name, f"{plain}; {state_piece(state)}", None, "given", f"{name} is read as {plain!r} {told}")
    if found and (own := read_state(found[0].name)) and own[1] == state:
        return Label(name, describe_in_its_aspect(found[0]) + state_piece(state), found[0].id, found[1])
    of_rest = read_name(rest, ontology, context=context)
    if of_rest is None or (found and found[1] != "shorthand"):
        return None
    term, match = of_rest
    remark = f"{name} is read as {term.name} ({term.id}) {told}"
    described = describe_in_its_aspect(term) + state_piece(state)
    return Label(name, described, None if state else term.id, match, remark)


def _of_several(name: str, terms: Sequence[Term], match: LabelMatch, *, text: str | None = None) -> Label:
    """Return a label of several terms; it says which, since it has no id of its own."""
    listed = " and ".join(f"{term.name} ({term.id})" for term in terms)
    return Label(name, text or describe_several(terms)[1], None, match, f"{name} is read as {listed}")


def _label(name: str, term: Term | None, match: LabelMatch | None, text: str | None, remark: str | None) -> Label:
    term_id = term.id if term else None
    if text is not None:
        return Label(name, text, term_id, "given", remark)
    if not name:
        raise ValueError("A label is empty. Give each label a name.")
    return Label(
        name, describe_in_its_aspect(term) if term else describe_term("cell type", name), term_id, match, remark
    )


def _check_agreement(name: str, words: str, term: Term, ontology: Ontology) -> None:
    """Refuse "B cell (CL:0000084)": its words and its id mean types of which neither is the other's kind."""
    meant = find_term(words, ontology)
    if meant is None or meant[0].id == term.id:
        return
    if meant[0].id in ontology.ancestors(term.id) or term.id in ontology.ancestors(meant[0].id):
        return
    raise ValueError(
        f"Label {name!r}: its words mean {meant[0].name} ({meant[0].id}), its id {term.name} ({term.id}). Keep one."
    )


def _with_colon(term_id: str, ontology: Ontology) -> str:
    """CL:0000623 for CL_0000623, as addresses on the web write it."""
    with_colon = term_id.strip().replace("_", ":", 1)
    return with_colon if term_id not in ontology and with_colon in ontology else term_id.strip()


def _with_its_id(entry: LabelEntry) -> LabelEntry:
    """Return the entry with an id in place of a text that is one."""
    if not isinstance(entry.text, str) or not looks_like_id(text := entry.text.strip()):
        return entry
    if entry.ontology_term_id not in (None, text):
        raise ValueError(f"Label {entry.name!r} has two ontology ids, {entry.ontology_term_id} and {text}. Keep one.")
    return LabelEntry(entry.name, None, text)


def _term_of(name: str, term_id: str, ontology: Ontology) -> tuple[Term, str | None]:
    try:
        return current_term(term_id, ontology)
    except ValueError as error:
        raise ValueError(f"Label {name!r}: {error}") from error
