"""Which names of a term may stand for it when somebody writes a label for human cells.

Exact synonyms of the Cell Ontology are not all safe. Terms of other animals have names such as "VIP" and "IC", and
some symbols once meant another type ("DC2" was the plasmacytoid dendritic cell). What this goes by, in this order:

- axioms on taxa (`only in taxon`, `in taxon`) where the ontology's file has them: OBO and OWL files do,
  cellxgene-ontology-guide leaves them out;
- marks in names: "(Mmus)", "(Primate)", "(sensu Nematoda ...)", ", mouse";
- definitions that say "of insects", "in fungi" and the like;
- a list of ids, for terms whose taxon is nowhere in what cellxgene-ontology-guide keeps: the neurons of the
  stomatogastric ganglion of crabs (in the Cell Ontology: in taxon Pleocyemata);
- the form of the synonym: a symbol (one short word with capitals or digits) counts for nothing by itself.
  The symbols that do mean their term are in the table of names (`labels/field_names.tsv`).
"""

import re

from langcell.processing.ontology.sources import Term

# Ranks above Homo sapiens, from the root of the NCBI taxonomy. Primates as a whole are left out: terms of primates
# are those of other primates' brains, which have human counterparts of their own.
_TAXA_OF_HUMANS = frozenset(
    f"NCBITaxon:{number}"
    for number in (
        1, 131567, 2759, 33154, 33208, 6072, 33213, 33511, 7711, 89593, 7742, 7776, 117570, 117571, 8287, 1338369,
        32523, 32524, 40674, 32525, 9347, 1437010, 314146, 376913, 314293, 9526, 314295, 9604, 207598, 9605, 9606,
    )
)  # fmt: skip
_MARK_OF_ANOTHER_TAXON = re.compile(r"\((?:Mmus|Primate|sensu (?!Vertebrata)[^)]*)\)|, mouse$")
_DEFINED_IN_ANOTHER_TAXON = re.compile(
    r"\b(?:of|in|by|from) (?:an? |the |certain |some |higher )?"
    r"(?:insects?|arthropods?|fungi|nematodes?|birds|fish(?:es)?)\b"
)
_NEURONS_OF_CRABS = frozenset(f"CL:407001{digit}" for digit in range(8))
_LONGEST_SYMBOL = 6


def is_foreign(term: Term) -> bool:
    """Return whether no human cell is of this type, as far as the ontology says.

    >>> is_foreign(Term("CL:1", "striatal VIP interneuron (Primate)")), is_foreign(Term("CL:2", "B cell"))
    (True, False)
    """
    if term.taxa:
        return not _TAXA_OF_HUMANS.intersection(term.taxa)
    return (
        term.id in _NEURONS_OF_CRABS
        or _MARK_OF_ANOTHER_TAXON.search(term.name) is not None
        or _DEFINED_IN_ANOTHER_TAXON.search(term.definition or "") is not None
    )


def is_symbol(synonym: str) -> bool:
    """Return whether a synonym is a symbol rather than words.

    >>> [is_symbol(word) for word in ("DC2", "IC", "K cell", "pDC", "NK cell", "ovum", "B lymphocyte")]
    [True, True, True, True, False, False, False]
    """
    word = re.sub(r"[- ]cells?$", "", synonym)
    if " " in word or len(word) > _LONGEST_SYMBOL:
        return False
    capitals = sum(letter.isupper() or letter.isdigit() for letter in word)
    return len(word) == 1 or (word == synonym and capitals > 1)


def trusted_synonyms(term: Term) -> tuple[str, ...]:
    """Return the exact synonyms by which a label may mean this term: none of a foreign one, and no symbols."""
    if is_foreign(term):
        return ()
    return tuple(synonym for synonym in term.synonyms if synonym_is_words(synonym, term))


def synonym_is_words(synonym: str, term: Term) -> bool:
    """Return whether a synonym is words, or the term's own name in another spelling ("B-cell" for "B cell").

    >>> synonym_is_words("B-cell", Term("CL:0000236", "B cell"))
    True
    """
    return not is_symbol(synonym) or synonym.replace("-", " ").casefold() == term.name.casefold()
