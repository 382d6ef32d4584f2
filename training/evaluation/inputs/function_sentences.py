"""The sentences of function that a model is judged by: what cells do, in words that no training may know.

`function_sentences.tsv` was written before any training on sentences: two per type, none taken from a definition of the
ontology. A sentence may be true of several types ("makes antibodies": B cells and plasma cells).
"""

import csv
from dataclasses import dataclass
from importlib.resources import files

from langcell.processing.ontology.terms import Ontology

SENTENCES_FILE = "function_sentences.tsv"


@dataclass(frozen=True)
class FunctionSentence:
    """A sentence to search cells with.

    Attributes:
        text: the sentence.
        types: Cell Ontology ids of the types that it is true of, and of all types below them.
    """

    text: str
    types: frozenset[str]


def function_sentences(ontology: Ontology) -> list[FunctionSentence]:
    """Read the judged sentences, in the order of their file.

    Args:
        ontology: where the types below each type are looked up.
    """
    file = files("langcell.training.evaluation.inputs").joinpath(SENTENCES_FILE)
    with file.open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t"))
    return [FunctionSentence(row["sentence"], _with_types_below(row["type_ids"], ontology)) for row in rows]


def _with_types_below(type_ids: str, ontology: Ontology) -> frozenset[str]:
    named = {ontology.current(type_id).id for type_id in type_ids.split("|")}
    return frozenset(named.union(*(ontology.descendants(type_id) for type_id in named)))
