"""Descriptions: the metadata of a cell as text, in the one form that training and inference share.

Every text is a run of pieces `<aspect>: <name>. <definition>; `: lower case, aspects in the order of `ASPECTS`, every
run of blanks made one. A piece always ends in "; ", the last one too, so that the text of several aspects is the texts
of each put together. A term without definition gives `<aspect>: <name>; `. The text of a label is the piece of its
term. `description_templates` says the same in other forms, for training.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd

from langcell.processing.ontology.description_templates import ASPECTS, parse_description, render
from langcell.processing.ontology.terms import Ontology, Term, looks_like_id
from langcell.processing.ontology.unknown_values import is_of_every_cell, says_nothing

_COLUMNS_OF_OTHER_NAMES = {"suspension type": "suspension_type", "genetic perturbation": "genetic_perturbation_id"}
ASPECT_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        aspect: _COLUMNS_OF_OTHER_NAMES.get(aspect, f"{re.sub('[ -]', '_', aspect)}_ontology_term_id")
        for aspect in ASPECTS
    }
)
"""The CELLxGENE obs column of each aspect: ontology ids, save for those that hold the names themselves
(`suspension_type`, `genetic_perturbation_id`)."""

TISSUE_TYPE_COLUMN = "tissue_type"
"""The CELLxGENE obs column that says whether a tissue is one: "organoid", "primary cell culture", "cell line"."""

DESCRIBED_COLUMNS = (*ASPECT_COLUMNS.values(), TISSUE_TYPE_COLUMN)
"""All columns that a description depends on."""

NameForUnknownId = Callable[[str, str], str | None]
"""Aspect and id -> the name that takes its place."""

TextForm = Literal["full", "name", "definition"]

_SEPARATOR = re.compile(r"\s*\|\|\s*|\s*,\s*")  # " || " in current CELLxGENE schemas, "," in older ones
_HOLD_NAMES = ("suspension type", "genetic perturbation")
_HOLD_NAMES_TOO = ("experimental condition",)
_SEVERAL_ETHNICITIES = "multiethnic"  # where schemas before "||" have an id
# Notes that older schemas put behind a tissue's id.
_TISSUE_NOTE = re.compile(r"\s*\((?P<kind>organoid|cell culture)\)$")
_OBSOLETE_MARK = re.compile(r"^obsolete(?:d\b|\b(?!\w)|_)[\s.:_]*", re.IGNORECASE)
_HEALTHY = "PATO:0000461"


def describe_term(aspect: str, term: Term | str, *, form: TextForm = "full") -> str:
    """Return the piece of text for one aspect.

    Args:
        aspect: one of `ASPECTS`.
        term: a term, or a name that is used as it is and has no definition.
        form: "full" (name and definition), "name" or "definition" alone.

    Raises:
        ValueError: unknown aspect, an empty name, or the form "definition" for a term that has none.

    >>> term = Term("CL:0000236", "B cell", "A lymphocyte of B lineage.", ("B lymphocyte",))
    >>> describe_term("cell type", term)
    'cell type: b cell. a lymphocyte of b lineage.; '
    >>> describe_term("cell type", "My B cells")
    'cell type: my b cells; '
    """
    if aspect not in ASPECTS:
        raise ValueError(f"Unknown aspect {aspect!r}. Choose among: {', '.join(ASPECTS)}.")
    name, definition = (term, None) if isinstance(term, str) else (term.name, term.definition)
    if isinstance(term, Term):  # the mark of an obsolete term says something about the ontology, not about the cell
        name, definition = _OBSOLETE_MARK.sub("", name), _OBSOLETE_MARK.sub("", definition or "")
    name, definition = _clean(name), _clean(definition or "")
    if not name:
        raise ValueError(f"Empty name for the aspect {aspect!r}. Give a name or leave the aspect out.")
    if form == "definition" and not definition:
        raise ValueError(f"{name!r} has no definition. Use form='full' or form='name'.")
    body = {"full": f"{name}. {definition}" if definition else name, "name": name, "definition": definition}
    if form not in body:
        raise ValueError(f"Unknown form {form!r}. Choose among: {', '.join(body)}.")
    return f"{aspect}: {body[form]}; "


def describe_tissue(term: Term | str, *, kind: str | None = None) -> str:
    """Return the piece of a tissue; an organoid, a culture or a cell line has a name, and no definition of another
    thing.

    Args:
        term: a term of UBERON; of CL for cultures, of CVCL for cell lines; or a name.
        kind: what CELLxGENE's `tissue_type` says, such as "organoid".

    >>> describe_tissue(Term("UBERON:0002113", "kidney", "A paired organ."), kind="organoid")
    'tissue: kidney organoid; '
    """
    return describe_term("tissue", term if isinstance(term, str) else _name_of_tissue(term, kind or ""))


def text_forms(term: Term, *, tissue: Term | None = None) -> list[str]:
    """Return several texts for one cell type, for training: text at inference may be a name, a synonym or a definition.

    In this order, each text once: full, name, each exact synonym as a name, definition, and with `tissue` the name
    with the name of the tissue and both in full.

    >>> term = Term("CL:0000236", "B cell", "A lymphocyte of B lineage.", ("B lymphocyte",))
    >>> for text in text_forms(term, tissue=Term("UBERON:0000178", "blood")):
    ...     print(text.rstrip())
    cell type: b cell. a lymphocyte of b lineage.;
    cell type: b cell;
    cell type: b lymphocyte;
    cell type: a lymphocyte of b lineage.;
    cell type: b cell; tissue: blood;
    cell type: b cell. a lymphocyte of b lineage.; tissue: blood;
    """
    full, name = describe_term("cell type", term), describe_term("cell type", term, form="name")
    texts = [full, name, *(describe_term("cell type", synonym) for synonym in term.synonyms)]
    if term.definition:
        texts.append(describe_term("cell type", term, form="definition"))
    if tissue is not None:
        texts.append(name + describe_term("tissue", tissue, form="name"))
        texts.append(full + describe_term("tissue", tissue))
    return list(dict.fromkeys(texts))


def describe(
    obs_row: Mapping[str, Any],
    *,
    ontology: Ontology,
    aspects: Sequence[str] = ASPECTS,
    template: str = "plain",
    on_unknown: NameForUnknownId | None = None,
) -> str:
    """Return the description of one cell, from its CELLxGENE obs columns (`DESCRIBED_COLUMNS`).

    Aspects without a column, with an unknown value ("unknown", "na", missing) or with a term that is true of every cell
    (CL:0000255, eukaryotic cell) are left out. Several terms ("A || B") give a piece each. An obsolete term gives way
    to its successor. Organoids, cell cultures and cell lines are called so, and a cell line has no healthy donor.

    Args:
        obs_row: columns of obs and their values; others are ignored.
        ontology: where terms are looked up.
        aspects: which to describe; their order is always that of `ASPECTS`.
        template: one of `description_templates.TEMPLATES`. Shards hold plain texts, from which training draws others.
        on_unknown: asked, with the aspect and the id, for an id that the ontology does not have: a name takes its
            place, None leaves it out. Without it such an id is an error.

    Returns:
        The text; "" when no aspect is known.

    Raises:
        ValueError: an aspect, an ontology id or the template is unknown.

    >>> row = {"cell_type_ontology_term_id": "CL:0000233", "disease_ontology_term_id": "unknown"}
    >>> describe(row, ontology=Ontology.cellxgene())[:51]
    'cell type: platelet. a non-nucleated disk-shaped ce'
    """
    of_cell_line, kind, pieces = _is_of_cell_line(obs_row), obs_row.get(TISSUE_TYPE_COLUMN), []
    for aspect in _in_order(aspects):
        if ASPECT_COLUMNS[aspect] in obs_row:
            terms = _known_terms(aspect, obs_row[ASPECT_COLUMNS[aspect]], ontology, on_unknown)
            if aspect == "disease" and of_cell_line:
                terms = [term for term in terms if isinstance(term, str) or term.id != _HEALTHY]
            pieces += [_piece(aspect, term, kind) for term in terms]
    text = "".join(dict.fromkeys(pieces))
    return text if template == "plain" else render(parse_description(text), template)


def known_values(value: str) -> list[str]:
    """Return the parts of a value that say something.

    >>> known_values("HANCESTRO:0005 || unknown || HANCESTRO:0568"), known_values("na")
    (['HANCESTRO:0005', 'HANCESTRO:0568'], [])
    """
    return [part for part in _SEPARATOR.split(value.strip()) if not says_nothing(part)]


def _known_terms(aspect: str, value: Any, ontology: Ontology, on_unknown: NameForUnknownId | None) -> list[Term | str]:
    """Return the terms in a value that say something of the cell, each once; names where the column holds names."""
    if not isinstance(value, str):
        if pd.api.types.is_scalar(value) and pd.isna(value):
            return []
        raise ValueError(f"{ASPECT_COLUMNS[aspect]} holds {value!r}. Expected text, as in CELLxGENE obs columns.")
    known = known_values(value)
    if aspect in _HOLD_NAMES or known == [_SEVERAL_ETHNICITIES]:
        return list(dict.fromkeys(known))
    try:
        found = [term for part in known if (term := _term(aspect, part, ontology, on_unknown)) is not None]
    except ValueError as error:
        raise ValueError(f"{ASPECT_COLUMNS[aspect]}: {error}") from error
    return [term for term in dict.fromkeys(found) if isinstance(term, str) or not is_of_every_cell(term)]


def _term(aspect: str, part: str, ontology: Ontology, on_unknown: NameForUnknownId | None) -> Term | str | None:
    """Return the term of today with this id; of a tissue that is a culture by its note, the text of it.

    What `on_unknown` gives stands for an id that there is not.
    """
    if aspect in _HOLD_NAMES_TOO and not looks_like_id(part):
        return part
    note = _TISSUE_NOTE.search(part) if aspect == "tissue" else None
    term_id = _TISSUE_NOTE.sub("", part) if note else part
    if on_unknown is not None and term_id not in ontology:
        return on_unknown(aspect, term_id)
    term = ontology.current(term_id)
    return _name_of_tissue(term, note["kind"]) if note else term


def _piece(aspect: str, term: Term | str, kind: Any) -> str:
    if aspect == "tissue":
        return describe_tissue(term, kind=kind if isinstance(kind, str) else None)
    return describe_term(aspect, term)


def _name_of_tissue(term: Term, kind: str) -> Term | str:
    """Return what to call a tissue of this type (`tissue_type`, or the note of an older schema); a tissue as it is."""
    kind = " ".join(kind.casefold().split())
    if term.id.startswith("CVCL"):
        return f"cell line {term.name}"
    if "organoid" in kind:
        return f"{term.name} organoid"
    if "culture" in kind or term.id.startswith("CL:"):
        return f"cell culture of {term.name}"
    return term


def _is_of_cell_line(obs_row: Mapping[str, Any]) -> bool:
    """Return whether the cell is one of a cell line, of which there is no healthy donor to speak of."""
    values = (obs_row.get(TISSUE_TYPE_COLUMN), obs_row.get(ASPECT_COLUMNS["tissue"]))
    return any(isinstance(value, str) and value.startswith(("cell line", "CVCL_")) for value in values)


def _in_order(aspects: Sequence[str]) -> list[str]:
    """Return the aspects in the fixed order, whatever order they were asked for in."""
    if unknown := [aspect for aspect in aspects if aspect not in ASPECTS]:
        raise ValueError(f"Unknown aspect {unknown[0]!r}. Choose among: {', '.join(ASPECTS)}.")
    return [aspect for aspect in ASPECTS if aspect in aspects]


def _clean(text: str) -> str:
    """Lower case on one line, without the blanks and semicolons at the end that the form adds itself."""
    return " ".join(text.split()).rstrip("; ").lower()
