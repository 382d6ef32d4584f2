"""Several terms in one field ("MONDO:0004975 || MONDO:0100096"), as CELLxGENE writes them, and the aspect of each."""

import re
from collections.abc import Sequence

from langcell.processing.ontology.descriptions import describe_term, describe_tissue
from langcell.processing.ontology.terms import Term, looks_like_id
from langcell.processing.ontology.unknown_values import says_nothing

SEVERAL = " || "

# The aspect that a term is described under, by id or by the prefix of the id. All others are cell types.
_ASPECT_OF = {
    "UBERON": "tissue",
    "CVCL": "tissue",  # a cell line takes the place of the tissue
    "HsapDv": "development stage",
    "MmusDv": "development stage",
    "MONDO": "disease",
    "PATO:0000461": "disease",  # "normal", the disease of healthy cells in CELLxGENE
    "PATO": "sex",
    "HANCESTRO": "self-reported ethnicity",
    "EFO": "assay",
    "CHEBI": "experimental condition",
    "uniprot": "experimental condition",
}


def aspect_of(term_id: str) -> str:
    """Return the aspect that this term is described under.

    >>> aspect_of("UBERON:0000178"), aspect_of("CVCL_0030"), aspect_of("CL:0000236")
    ('tissue', 'tissue', 'cell type')
    """
    return _ASPECT_OF.get(term_id) or _ASPECT_OF.get(re.split("[:_]", term_id)[0], "cell type")


def describe_in_its_aspect(term: Term) -> str:
    """Return the text of a term under its own aspect.

    >>> describe_in_its_aspect(Term("CVCL_0030", "HeLa"))
    'tissue: cell line hela; '
    """
    aspect = aspect_of(term.id)
    return describe_tissue(term) if aspect == "tissue" else describe_term(aspect, term)


def parts_of(value: str) -> list[str]:
    """Return the values in one field that say something, each once.

    >>> parts_of("Alzheimer disease || unknown || COVID-19"), parts_of("NK cell")
    (['Alzheimer disease', 'COVID-19'], ['NK cell'])
    """
    parts = [part.strip() for part in value.split(SEVERAL.strip())]
    return list(dict.fromkeys(part for part in parts if not says_nothing(part)))


def ids_in(value: str) -> list[str]:
    """Return the ids in a field that has the sign of several; none where it has not, or holds names.

    >>> ids_in("MONDO:0004975 || MONDO:0100096"), ids_in("MONDO:0004975"), ids_in("a || b")
    (['MONDO:0004975', 'MONDO:0100096'], [], [])
    """
    parts = parts_of(value) if SEVERAL.strip() in value else []
    return parts if all(map(looks_like_id, parts)) else []


def describe_several(terms: Sequence[Term]) -> tuple[str, str]:
    """Return the names of several terms as one, and the pieces of their texts put together.

    >>> from langcell.processing.ontology.terms import Ontology
    >>> ontology = Ontology.cellxgene()
    >>> describe_several([ontology.term("MONDO:0004975"), ontology.term("MONDO:0100096")])[0]
    'Alzheimer disease || COVID-19'
    """
    text = "".join(describe_in_its_aspect(term) for term in terms)
    return SEVERAL.join(term.name for term in terms), text
