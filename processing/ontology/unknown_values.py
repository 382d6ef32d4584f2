"""Words and ids by which data sets say that something is not known: no type, no aspect, nothing to learn from."""

import pandas as pd

from langcell.processing.ontology.sources import Term

_NO_VALUE = frozenset(
    {
        "", "-", "--", ".", "?", "na", "n/a", "n.a.", "#n/a", "nan", "<na>", "none", "null", "nil", "nd", "n.d.",
        "unknown", "unknown cell", "unknown cell type", "unknown type", "unkn", "unk", "not known",
        "unassigned", "not assigned", "unclassified", "not classified", "unannotated", "not annotated", "unlabelled",
        "unlabeled", "unidentified", "undefined", "undetermined", "not determined", "unspecified", "not specified",
        "not available", "not applicable", "not provided", "not collected", "missing",
    }
)  # fmt: skip
# Terms that are true of nearly every cell of an animal, and so say nothing of the one at hand.
_OF_EVERY_CELL = frozenset(
    {
        "CL:0000000",  # cell
        "CL:0000003",  # native cell, obsolete
        "CL:0000004",  # cell by organism, obsolete
        "CL:0000012",  # cell by class, obsolete
        "CL:0000144",  # cell by function, obsolete
        "CL:0000063",  # cell by histology, obsolete
        "CL:0000548",  # animal cell, obsolete
        "CL:0000255",  # eukaryotic cell
        "CL:0000226",  # single nucleate cell
        "CL:0002242",  # nucleate cell
        "UBERON:0000465",  # material anatomical entity
        "UBERON:0001062",  # anatomical entity
        "UBERON:0000061",  # anatomical structure
        "UBERON:0000468",  # multicellular organism
        "UBERON:0000062",  # organ
        "UBERON:0000479",  # tissue
        "MONDO:0000001",  # disease
        "MONDO:0700096",  # human disease
        "EFO:0000408",  # disease
        "EFO:0000001",  # experimental factor
        "PATO:0000001",  # quality
        "PATO:0000047",  # biological sex
        "HsapDv:0000000",  # life cycle stage
        "HsapDv:0000001",  # life cycle
        "HANCESTRO:0004",  # ancestry category
    }
)


_NAMES_OF_EVERY_CELL = frozenset({"cell", "cells", "native cell", "animal cell", "eukaryotic cell", "nucleate cell"})


def says_nothing(word: object) -> bool:
    """Return whether a word of a column means that there is no value; case and blanks around it do not count.

    It is one rule for descriptions, for label columns that a model is taught or judged by, and for labels that
    somebody types. A missing value (None, NaN, NA) says nothing either.

    >>> [says_nothing(word) for word in (" NA ", "N/A", "Unclassified", None, float("nan"), "B cell", "other")]
    [True, True, True, True, True, False, False]
    """
    if not isinstance(word, str):
        return bool(pd.api.types.is_scalar(word) and pd.isna(word))
    return " ".join(word.replace("_", " ").split()).casefold() in _NO_VALUE


def names_no_type(name: str) -> bool:
    """Return whether a name in a column of types is that of every cell ("native cell"), and so no type.

    >>> [names_no_type(name) for name in ("Native cell", "animal_cell", "CL:0000000", "B cell")]
    [True, True, True, False]
    """
    text = " ".join(name.replace("_", " ").split())
    return text.casefold() in _NAMES_OF_EVERY_CELL or text in _OF_EVERY_CELL


def is_of_every_cell(term: Term) -> bool:
    """Return whether a term is true of nearly every cell, such as CL:0000255 (eukaryotic cell)."""
    return term.id in _OF_EVERY_CELL
